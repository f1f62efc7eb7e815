//! Where a service finds the others: a file that the orchestrator writes once all of them have told their ports, so that
//! all can start at the same time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::Error;

const FILE: &str = "peers.json";

/// Looked up at the first call and kept.
#[derive(Debug)]
pub(crate) struct Peers {
    path: PathBuf,
    addresses: OnceLock<BTreeMap<String, String>>,
}

impl Peers {
    pub(crate) fn in_dir(run_dir: &Path) -> Peers {
        Peers { path: run_dir.join(FILE), addresses: OnceLock::new() }
    }

    /// `addresses`: `http://127.0.0.1:<port>` by name.
    pub(crate) fn write(run_dir: &Path, addresses: &BTreeMap<&str, String>) -> Result<(), Error> {
        let path = run_dir.join(FILE);
        let text =
            serde_json::to_vec_pretty(addresses).map_err(|source| Error::Encode { what: "the addresses", source })?;
        std::fs::write(&path, text).map_err(Error::file("write", &path))
    }

    /// The address of `path` at the service `name`.
    pub(crate) fn url(&self, name: &str, path: &str) -> Result<String, Error> {
        let addresses = match self.addresses.get() {
            Some(addresses) => addresses,
            None => {
                let read = self.read()?;
                self.addresses.get_or_init(|| read)
            }
        };
        let address = addresses.get(name).ok_or_else(|| Error::Role(name.to_owned()))?;
        Ok(format!("{address}{path}"))
    }

    fn read(&self) -> Result<BTreeMap<String, String>, Error> {
        let text = std::fs::read_to_string(&self.path).map_err(Error::file("read", &self.path))?;
        serde_json::from_str(&text).map_err(|source| Error::Json {
            path: self.path.clone(),
            line: source.line(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Peers;

    #[test]
    fn a_peer_is_found_once_the_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let peers = Peers::in_dir(dir.path());
        assert!(peers.url("orders", "/orders").is_err());
        Peers::write(dir.path(), &BTreeMap::from([("orders", "http://127.0.0.1:1".to_owned())])).unwrap();
        assert_eq!(peers.url("orders", "/orders").unwrap(), "http://127.0.0.1:1/orders");
        assert!(peers.url("nobody", "/").is_err());
    }
}
