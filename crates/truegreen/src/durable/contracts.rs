//! The contracts as they stand in the log, so that a replay judges each journey by what was promised when it entered.

use truegreen_model::flow::Flow;

/// The form of what follows this byte: the compiled flows as JSON.
const FORMAT: u8 = 1;

/// Why there are no contracts to go by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry says them in another form.
    #[error(
        "the contracts at sequence {sequence} of the log are not known to this version of Truegreen\n\
         hint: start the version that wrote them, or a newer one"
    )]
    Unknown {
        /// Which entry.
        sequence: u64,
    },
    /// An entry of the form that we write cannot be read.
    #[error("the contracts at sequence {sequence} of the log cannot be read: {cause}\nhint: `truegreen store verify`")]
    Unreadable {
        /// Which entry.
        sequence: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// These cannot be written down.
    #[error("the contracts cannot be written down: {0}\nhint: is a number in them out of all bounds?")]
    Unwritable(serde_json::Error),
}

/// The body of an entry of kind `Contracts`, and the flows as they are read from it: numbers may lose their last digit on
/// the way, and what is in force must be what the log says.
pub(super) fn written(flows: &[Flow]) -> Result<(Vec<u8>, Vec<Flow>), Error> {
    let mut body = vec![FORMAT];
    serde_json::to_writer(&mut body, flows).map_err(Error::Unwritable)?;
    let flows = serde_json::from_slice(&body[1..]).map_err(Error::Unwritable)?;
    Ok((body, flows))
}

/// What such a body says.
pub(super) fn read(sequence: u64, body: &[u8]) -> Result<Vec<Flow>, Error> {
    match body.split_first() {
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|cause| Error::Unreadable { sequence, cause }),
        _ => Err(Error::Unknown { sequence }),
    }
}

#[cfg(test)]
mod tests {
    use truegreen_engine::flow::Source;

    use super::*;

    /// Every field that a contract may have.
    const CONTRACT: &str = include_str!("../../../truegreen-engine/src/flow/fixtures/order-fulfilment.yaml");

    #[test]
    fn contracts_read_back_as_they_are_taken() {
        // Numbers that have no short form.
        let text = CONTRACT.replace("late: 0.01", "late: 0.30000000000000004");
        let source = Source { path: "orders.yaml".to_owned(), text };
        let (compiled, told) = crate::flows::compiled(&[source], false);
        let flows = compiled.unwrap_or_else(|| panic!("{}", told.join("\n"))).flows;
        let (body, taken) = written(&flows).unwrap();
        assert_eq!(read(1, &body).unwrap(), taken);
        let (again, taken_again) = written(&taken).unwrap();
        assert_eq!((again, taken_again), (body, taken), "and do not change from start to start");
    }

    #[test]
    fn other_forms_are_told_apart_from_damage() {
        assert!(matches!(read(7, &[2, b'['][..]), Err(Error::Unknown { sequence: 7 })));
        assert!(matches!(read(7, &[]), Err(Error::Unknown { sequence: 7 })));
        assert!(matches!(read(7, &[FORMAT, b'[']), Err(Error::Unreadable { sequence: 7, .. })));
    }
}
