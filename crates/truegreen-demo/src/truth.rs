//! What the services really did, in their own words: one file of JSON lines each, written as it happens.
//!
//! Only the demo's report and tests read it. Nothing of it reaches Truegreen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What became of all orders of one run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Truth {
    /// Orders that were accepted.
    pub entered: u64,
    /// Ids of orders that were accepted, and of which neither the stock was updated nor a reason given. Sorted.
    pub lost: Vec<String>,
    /// Orders refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Orders whose stock was updated.
    pub updated: u64,
}

/// One thing that a service did with one order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub(crate) enum Deed {
    /// The storefront accepted it.
    Entered { order: String },
    /// Its stock was updated, and that is committed.
    Updated { order: String },
    /// It was acknowledged without doing anything.
    Skipped { order: String },
    /// It was refused.
    Rejected { order: String, reason: String },
}

/// The truth file of one service, open for appending.
#[derive(Debug)]
pub(crate) struct TruthFile {
    file: File,
    path: PathBuf,
}

const EXTENSION: &str = "truth.jsonl";

impl TruthFile {
    pub(crate) fn open(run_dir: &Path, service: &str) -> Result<Self, Error> {
        let path = run_dir.join(format!("{service}.{EXTENSION}"));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::file("open", &path))?;
        Ok(TruthFile { file, path })
    }

    /// One write for the whole line, so that lines of several threads do not mix and a kill leaves none by halves.
    pub(crate) fn record(&self, deed: &Deed) -> Result<(), Error> {
        let mut line = serde_json::to_vec(deed).map_err(|source| Error::Encode { what: "a deed", source })?;
        line.push(b'\n');
        (&self.file).write_all(&line).map_err(Error::file("write", &self.path))
    }
}

impl Truth {
    /// Reads the truth files of all services in `run_dir`. A file that is not there counts as empty.
    pub(crate) fn read(run_dir: &Path, services: &[&str]) -> Result<Truth, Error> {
        let mut deeds = Vec::new();
        for service in services {
            read_file(&run_dir.join(format!("{service}.{EXTENSION}")), &mut deeds)?;
        }
        Ok(Truth::of(deeds))
    }

    fn of(deeds: Vec<Deed>) -> Truth {
        let mut entered = BTreeSet::new();
        let mut updated = BTreeSet::new();
        let mut rejected = BTreeMap::new();
        for deed in deeds {
            match deed {
                Deed::Entered { order } => drop(entered.insert(order)),
                Deed::Updated { order } => drop(updated.insert(order)),
                Deed::Rejected { order, reason } => drop(rejected.insert(order, reason)),
                // Being skipped is no end: an order that is only skipped is lost.
                Deed::Skipped { .. } => {}
            }
        }
        // Delivered twice, refused once and updated once: the update is what counts.
        rejected.retain(|order, _| !updated.contains(order));
        let mut truth = Truth { entered: entered.len() as u64, updated: updated.len() as u64, ..Truth::default() };
        truth.lost =
            entered.into_iter().filter(|order| !updated.contains(order) && !rejected.contains_key(order)).collect();
        for reason in rejected.into_values() {
            *truth.rejected.entry(reason).or_default() += 1;
        }
        truth
    }
}

fn read_file(path: &Path, deeds: &mut Vec<Deed>) -> Result<(), Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    // What follows the last newline is still being written.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    for (index, line) in complete.lines().enumerate() {
        let deed = serde_json::from_str(line).map_err(|source| Error::Json {
            path: path.to_owned(),
            line: index + 1,
            source,
        })?;
        deeds.push(deed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::{Deed, Truth, TruthFile};
    use crate::Error;

    fn order(n: u32) -> String {
        format!("ord-{n}")
    }

    #[test]
    fn an_order_neither_updated_nor_refused_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let storefront = TruthFile::open(dir.path(), "storefront").unwrap();
        let inventory = TruthFile::open(dir.path(), "inventory").unwrap();
        for n in 1..=5 {
            storefront.record(&Deed::Entered { order: order(n) }).unwrap();
        }
        inventory.record(&Deed::Updated { order: order(1) }).unwrap();
        inventory.record(&Deed::Updated { order: order(1) }).unwrap();
        inventory.record(&Deed::Skipped { order: order(2) }).unwrap();
        inventory.record(&Deed::Rejected { order: order(3), reason: "missing_sku".into() }).unwrap();
        inventory.record(&Deed::Rejected { order: order(4), reason: "missing_sku".into() }).unwrap();
        let truth = Truth::read(dir.path(), &["storefront", "orders", "inventory"]).unwrap();
        let expected = Truth {
            entered: 5,
            lost: vec![order(2), order(5)],
            rejected: BTreeMap::from([("missing_sku".to_owned(), 2)]),
            updated: 1,
        };
        assert_eq!(truth, expected);
    }

    #[test]
    fn a_line_still_being_written_is_left_out_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = TruthFile::open(dir.path(), "storefront").unwrap();
        file.record(&Deed::Entered { order: order(1) }).unwrap();
        (&file.file).write_all(br#"{"did":"ente"#).unwrap();
        assert_eq!(Truth::read(dir.path(), &["storefront"]).unwrap().entered, 1);
        (&file.file).write_all(b"\n").unwrap();
        let error = Truth::read(dir.path(), &["storefront"]).unwrap_err();
        assert!(matches!(error, Error::Json { line: 2, .. }), "{error}");
    }
}
