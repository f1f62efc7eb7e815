//! Answers as they stand in the log, so that a replay judges by what was answered then.

use truegreen_model::confirmation::Confirmation;

/// The form of what follows this byte: the answers as JSON.
const FORMAT: u8 = 1;

/// Why answers in the log cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry says them in another form.
    #[error(
        "the answers at sequence {sequence} of the log are not known to this version of Truegreen\n\
         hint: start the version that wrote them, or a newer one"
    )]
    Unknown {
        /// Which entry.
        sequence: u64,
    },
    /// An entry of the form that we write cannot be read.
    #[error("the answers at sequence {sequence} of the log cannot be read: {cause}\nhint: `truegreen store verify`")]
    Unreadable {
        /// Which entry.
        sequence: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// The body of an entry of kind `Confirmations`.
pub(crate) fn written(answers: &[Confirmation]) -> serde_json::Result<Vec<u8>> {
    let mut body = vec![FORMAT];
    serde_json::to_writer(&mut body, answers)?;
    Ok(body)
}

/// What such a body says.
pub(crate) fn read(sequence: u64, body: &[u8]) -> Result<Vec<Confirmation>, Error> {
    match body.split_first() {
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|cause| Error::Unreadable { sequence, cause }),
        _ => Err(Error::Unknown { sequence }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use truegreen_model::confirmation::{Answer, NoAnswer, QuestionId};
    use truegreen_model::flow::{FlowId, StepId};
    use truegreen_model::observation::KeyHash;
    use truegreen_model::time::Timestamp;

    use super::*;

    #[test]
    fn answers_read_back_as_they_were() {
        let behind = Some(Duration::from_millis(1_500));
        let all = [
            Answer::There,
            Answer::NotThere { behind },
            Answer::NotThere { behind: None },
            Answer::CannotTell(NoAnswer::TimedOut),
        ];
        let answers = all.map(|answer| Confirmation {
            id: QuestionId { flow: FlowId(3), key: KeyHash(u128::MAX - 7), step: StepId(63) },
            flow: "orders".to_owned(),
            step: "stock \"updated\"".to_owned(),
            asked_at: Timestamp(u64::MAX - 1),
            answer,
        });
        assert_eq!(read(1, &written(&answers).unwrap()).unwrap(), answers);
        assert!(matches!(read(7, &[9, b'[']), Err(Error::Unknown { sequence: 7 })));
        assert!(matches!(read(7, &[FORMAT, b'[']), Err(Error::Unreadable { sequence: 7, .. })));
    }
}
