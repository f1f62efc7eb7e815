//! Where incidents stand: in memory, and each as a file of its own in the folder of the data.
//!
//! `incidents/INC-7.json` holds `{"format": 1, "incident": {..}}`, `INC-7.affected.json` who was affected. A file is
//! written beside its place, made durable, and then put there in one step, so that a crash leaves the one before. What cannot
//! be read is told, left as it is, and its number never given again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use truegreen_model::incident::{AffectedKey, Incident};

/// The version of the files.
const FORMAT: u32 = 1;
/// Incidents that are kept.
pub(crate) const MAX_INCIDENTS: usize = 2_000;
/// Of all records together, without who was affected.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// Of one file.
const MAX_FILE_BYTES: u64 = 64 << 20;
const FOLDER: &str = "incidents";

/// Why an incident cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system.
    #[error("cannot read or write {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What it said.
        source: io::Error,
    },
    /// As many as there can be.
    #[error("{MAX_INCIDENTS} incidents, or {} MiB of them, are kept already", MAX_BYTES >> 20)]
    Full,
}

/// All incidents, by number.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    folder: Option<PathBuf>,
    incidents: BTreeMap<u32, (Incident, usize)>,
    /// Only where nothing is kept: else they are in files.
    affected: BTreeMap<u32, Vec<AffectedKey>>,
    unreadable: Vec<String>,
    next: u32,
}

#[derive(Serialize, Deserialize)]
struct Filed<T> {
    format: u32,
    #[serde(rename = "incident")]
    what: T,
}

impl Shelf {
    /// Of this folder of data; of none nothing outlives the process.
    pub(crate) fn open(data: Option<&Path>) -> io::Result<Shelf> {
        let mut shelf = Shelf { folder: data.map(|data| data.join(FOLDER)), next: 1, ..Shelf::default() };
        let Some(folder) = shelf.folder.clone() else { return Ok(shelf) };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(shelf),
            Err(error) => return Err(error),
        };
        let mut names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into()).collect();
        names.sort_unstable();
        names.iter().for_each(|name| shelf.take(&folder, name));
        Ok(shelf)
    }

    fn take(&mut self, folder: &Path, name: &str) {
        let Some(stem) = name.strip_suffix(".json").filter(|stem| !stem.ends_with(".affected")) else { return };
        let Some(number) = number(stem) else { return };
        self.next = self.next.max(number.saturating_add(1));
        if self.incidents.len() >= MAX_INCIDENTS {
            self.unreadable.push(format!("{name}: {}", Error::Full));
            return;
        }
        match read::<Incident>(&folder.join(name)) {
            Ok((incident, length)) if incident.id == stem => {
                self.incidents.insert(number, (incident, length));
            }
            Ok((incident, _)) => self.unreadable.push(format!("{name}: it holds {}", incident.id)),
            Err(why) => self.unreadable.push(format!("{name}: {why}")),
        }
    }

    /// Whether it outlives the process.
    pub(crate) fn is_kept(&self) -> bool {
        self.folder.is_some()
    }

    pub(crate) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// By number.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values().map(|(incident, _)| incident)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Incident> {
        self.incidents.get(&number(id)?).map(|(incident, _)| incident).filter(|incident| incident.id == id)
    }

    /// What the next one is called.
    pub(crate) fn next_id(&self) -> String {
        format!("INC-{}", self.next)
    }

    /// What would have to be written for this incident, if there is room.
    pub(crate) fn prepared(&self, incident: &Incident) -> Result<Prepared, Error> {
        let filed = Filed { format: FORMAT, what: incident };
        let failed = |source: serde_json::Error| self.failed(&incident.id, source.into());
        let bytes = serde_json::to_vec_pretty(&filed).map_err(failed)?;
        let number = number(&incident.id).unwrap_or(self.next);
        let others = self.incidents.iter().filter(|(other, _)| **other != number);
        let (held, length) = others.fold((0, 0), |(n, sum), (_, (_, length))| (n + 1, sum + length));
        if held >= MAX_INCIDENTS || length + bytes.len() > MAX_BYTES {
            return Err(Error::Full);
        }
        let path = self.folder.as_ref().map(|folder| folder.join(format!("{}.json", incident.id)));
        Ok(Prepared { number, path, bytes })
    }

    /// It is written: from now on it is what is shown.
    pub(crate) fn put(&mut self, incident: Incident, prepared: &Prepared) {
        self.next = self.next.max(prepared.number.saturating_add(1));
        self.incidents.insert(prepared.number, (incident, prepared.bytes.len()));
    }

    /// The file that says who was affected.
    pub(crate) fn affected_path(&self, id: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{id}.affected.json")))
    }

    pub(crate) fn affected_in_memory(&self, id: &str) -> Vec<AffectedKey> {
        number(id).and_then(|number| self.affected.get(&number)).cloned().unwrap_or_default()
    }

    pub(crate) fn put_affected(&mut self, id: &str, keys: Vec<AffectedKey>) {
        if let (None, Some(number)) = (&self.folder, number(id)) {
            self.affected.insert(number, keys);
        }
    }

    fn failed(&self, id: &str, source: io::Error) -> Error {
        Error::Io { file: format!("{id}.json"), source }
    }
}

/// A record that is to be written.
pub(crate) struct Prepared {
    number: u32,
    path: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl Prepared {
    /// Writes it. Blocks until it is durable.
    pub(crate) fn write(&self) -> Result<(), Error> {
        self.path.as_ref().map_or(Ok(()), |path| write(path, &self.bytes))
    }
}

/// Who was affected, as it was written; nobody where nothing was. What cannot be read is not to be written over.
pub(crate) fn read_affected(path: &Path) -> Result<Vec<AffectedKey>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |why: String| Error::Io { file: path.display().to_string(), source: io::Error::other(why) };
    read(path).map(|(keys, _)| keys).map_err(failed)
}

/// Writes who was affected. Blocks until it is durable.
pub(crate) fn write_affected(path: &Path, keys: &[AffectedKey]) -> Result<(), Error> {
    let failed = |source: serde_json::Error| Error::Io { file: path.display().to_string(), source: source.into() };
    write(path, &serde_json::to_vec(&Filed { format: FORMAT, what: keys }).map_err(failed)?)
}

/// `INC-7`: 7.
fn number(id: &str) -> Option<u32> {
    let digits = id.strip_prefix("INC-").filter(|digits| !digits.starts_with(['0', '+']))?;
    digits.parse().ok()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, usize), String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is longer than {MAX_FILE_BYTES} bytes"));
    }
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match json["format"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => return Err(format!("format {format} is of a newer Truegreen\nhint: use that one")),
        None => return Err("it is no incident".to_owned()),
    }
    let filed: Filed<T> = serde_json::from_value(json).map_err(|error| error.to_string())?;
    Ok((filed.what, bytes.len()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Io { file: path.display().to_string(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    // Nobody else's to read, and gone by itself where a write fails.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder).map_err(failed)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shelf: &mut Shelf, title: &str) -> String {
        let incident = Incident { id: shelf.next_id(), title: title.to_owned(), ..Incident::default() };
        let prepared = shelf.prepared(&incident).unwrap();
        prepared.write().unwrap();
        let id = incident.id.clone();
        shelf.put(incident, &prepared);
        id
    }

    #[test]
    fn incidents_outlive_a_restart_and_numbers_are_given_once() {
        let data = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(Some(data.path())).unwrap();
        assert_eq!((put(&mut shelf, "one"), put(&mut shelf, "two")), ("INC-1".to_owned(), "INC-2".to_owned()));
        let shelf = Shelf::open(Some(data.path())).unwrap();
        assert_eq!(shelf.all().map(|incident| incident.title.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!((shelf.next_id().as_str(), shelf.get("INC-02").is_none()), ("INC-3", true));
    }

    /// Guarantee: what cannot be read is told and left alone, and the others are there.
    #[test]
    fn what_cannot_be_read_is_told_and_never_written_over() {
        let data = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(Some(data.path())).unwrap();
        put(&mut shelf, "one");
        let folder = data.path().join(FOLDER);
        for (name, text) in [
            ("INC-4.json", "{\"format\": 9}"),
            ("INC-5.json", "{\"format\": 1, \"incident\": {"),
            ("INC-6.json", "{\"format\": 1, \"incident\": 7}"),
            ("notes.txt", "not ours"),
            (".tmpAbC", "a crash left it"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut shelf = Shelf::open(Some(data.path())).unwrap();
        assert_eq!((shelf.all().count(), shelf.unreadable().len()), (1, 3), "{:?}", shelf.unreadable());
        assert!(shelf.unreadable()[0].contains("newer Truegreen"));
        assert_eq!(put(&mut shelf, "after"), "INC-7");
        assert_eq!(fs::read_to_string(folder.join("INC-4.json")).unwrap(), "{\"format\": 9}");
    }

    #[test]
    fn a_write_that_fails_leaves_the_one_before() {
        let data = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(Some(data.path())).unwrap();
        put(&mut shelf, "one");
        let mut changed = shelf.get("INC-1").unwrap().clone();
        changed.title = "changed".to_owned();
        let prepared = shelf.prepared(&changed).unwrap();
        drop(prepared);
        assert_eq!(Shelf::open(Some(data.path())).unwrap().get("INC-1").unwrap().title, "one");
        let path = data.path().join(FOLDER).join("INC-1.json");
        let folder_in_its_place = data.path().join("INC-1.json");
        fs::create_dir_all(folder_in_its_place.join("x")).unwrap();
        assert!(write(&folder_in_its_place, b"{}").is_err());
        let left: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "nothing half written is left: {left:?}");
        assert!(path.exists());
    }
}
