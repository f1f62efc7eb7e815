//! A place read from its beginning, without changing anything.

use truegreen_connect::dead_letters::DeadLetters;
use truegreen_connect::dead_letters::group::{By, Group, Groups};
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;

use super::Error;
use super::choice::Choice;

/// Letters asked for at once.
pub const BATCH: usize = 100;
/// Letters of one place that are looked through; a longer place is looked through in part, and that is said.
pub const MAX_LOOKED: usize = 1_000_000;

/// What a look came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Looked {
    /// Letters looked at.
    pub looked: usize,
    /// Those that fit.
    pub fitting: usize,
    /// Whether more lie there than were looked at.
    pub is_cut: bool,
}

/// Shows every letter of a place that fits to `see`, until it wants no more. Reads at most `most`.
///
/// # Errors
/// What the system said. The reading is ended in any case.
pub async fn look(
    (letters, system): (&dyn DeadLetters, &str),
    place: &str,
    (choice, redaction): (&Choice, &Redaction),
    most: usize,
    see: &mut (dyn FnMut(Letter) + Send),
) -> Result<Looked, Error> {
    let mut reading = letters.open(place).await.map_err(Error::of(system))?;
    let mut looked = Looked::default();
    let read = loop {
        if choice.limit.is_some_and(|limit| looked.fitting >= limit) {
            break Ok(());
        }
        if looked.looked >= most.min(MAX_LOOKED) {
            looked.is_cut = true;
            break Ok(());
        }
        match reading.next(BATCH).await {
            Ok(batch) if batch.is_empty() => break Ok(()),
            Ok(batch) => {
                for letter in batch {
                    looked.looked += 1;
                    let is_wanted = choice.limit.is_none_or(|limit| looked.fitting < limit);
                    if is_wanted && choice.fits(&letter, redaction) {
                        looked.fitting += 1;
                        see(letter);
                    }
                }
            }
            Err(error) => break Err(error),
        }
    };
    let closed = reading.close().await;
    read.and(closed).map_err(Error::of(system))?;
    Ok(looked)
}

/// The groups of a place.
///
/// # Errors
/// What the system said.
pub async fn groups(
    (letters, system): (&dyn DeadLetters, &str),
    place: &str,
    (choice, redaction): (&Choice, &Redaction),
    (by, most): (By, usize),
) -> Result<(Vec<Group>, u64, Looked), Error> {
    let mut groups = Groups::new(by);
    let mut see = |letter: Letter| groups.add(&letter);
    let looked = look((letters, system), place, (choice, redaction), most, &mut see).await?;
    let (mut groups, beyond) = groups.counted();
    for group in &mut groups {
        group.error = redaction.text(&group.error);
    }
    Ok((groups, beyond, looked))
}
