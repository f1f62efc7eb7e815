//! Changes as they stand in the log.

use truegreen_model::change::Change;

/// The form of what follows this byte: the changes as JSON.
const FORMAT: u8 = 1;

/// Why changes in the log cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry says them in another form.
    #[error(
        "the changes at sequence {sequence} of the log are not known to this version of Truegreen\n\
         hint: start the version that wrote them, or a newer one"
    )]
    Unknown {
        /// Which entry.
        sequence: u64,
    },
    /// An entry of the form that we write cannot be read.
    #[error("the changes at sequence {sequence} of the log cannot be read: {cause}\nhint: `truegreen store verify`")]
    Unreadable {
        /// Which entry.
        sequence: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// The body of an entry of kind `Changes`.
pub(crate) fn written(changes: &[Change]) -> serde_json::Result<Vec<u8>> {
    let mut body = vec![FORMAT];
    serde_json::to_writer(&mut body, changes)?;
    Ok(body)
}

/// What such a body says.
pub(crate) fn read(sequence: u64, body: &[u8]) -> Result<Vec<Change>, Error> {
    match body.split_first() {
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|cause| Error::Unreadable { sequence, cause }),
        _ => Err(Error::Unknown { sequence }),
    }
}
