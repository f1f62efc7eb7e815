//! What the facts amount to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::{Action, Certainty, Chosen, Edited, Entry, Order, Person, StopWhy};

/// So long after the first sending a system that drops a second one is trusted to remember it: a little less than JetStream
/// does by default, which remembers least of all.
const REMEMBERED_SECONDS: i64 = 100;

/// How far a letter is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was done with it.
    Waiting,
    /// It was about to be sent: it may be there, or not.
    Sending,
    /// It was sent and not confirmed: it may be there, or not.
    NotConfirmed,
    /// It was sent and not taken: it is not there.
    Refused,
    /// It is confirmed to be there, and lies here too.
    Confirmed,
    /// It is kept in the journal, and lies here too.
    Kept,
    /// All is done.
    Removed,
    /// It was not here any more.
    Missing,
}

/// One letter of the selection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which.
    pub chosen: Chosen,
    /// How far it is.
    pub stage: Stage,
    /// How often a sending was begun.
    pub sendings: u32,
    /// How many of these the system did not take, for certain.
    pub refusals: u32,
    /// Unix time in seconds of the first of them, where that is known.
    pub first_sending: Option<i64>,
    /// Whether it may be at its target twice.
    pub may_be_doubled: bool,
    /// How sure its confirmation was.
    pub sent: Option<Certainty>,
    /// What the system said last, where it did not do it.
    pub told: String,
}

impl Standing {
    /// Whether nothing is left to do with it.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Removed | Stage::Missing)
    }
}

/// Why a journal cannot be a redrive's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub &'static str);

/// All that is known of one redrive.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    /// What was asked for.
    pub order: Option<Order>,
    /// RFC 3339: when.
    pub began_at: String,
    /// RFC 3339: the last fact.
    pub last_at: String,
    /// The selection.
    pub letters: Vec<Standing>,
    /// What goes in place of a letter's body.
    pub edits: BTreeMap<usize, Edited>,
    /// Whether the selection is whole, so that it is in force.
    pub is_frozen: bool,
    /// Who says that the first few had their effect.
    pub proven: Option<String>,
    /// Why it stopped, where it did and was not resumed.
    pub stopped: Option<(StopWhy, String)>,
    /// Whether nothing is left to do.
    pub is_ended: bool,
    /// Who resumed it, and when.
    pub resumed: Vec<(Person, String)>,
}

impl Memory {
    /// Of these facts, each with its time as RFC 3339.
    ///
    /// # Errors
    /// Where they contradict each other.
    pub fn of<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Entry)>) -> Result<Memory, Nonsense> {
        let mut memory = Memory::default();
        for (at, entry) in entries {
            memory.learn(at, entry)?;
        }
        Ok(memory)
    }

    /// One fact more.
    ///
    /// # Errors
    /// Where it contradicts what is known.
    pub fn learn(&mut self, at: &str, entry: &Entry) -> Result<(), Nonsense> {
        if self.order.is_none() && !matches!(entry, Entry::Begun(_)) {
            return Err(Nonsense("it does not begin with what was asked for"));
        }
        if !at.is_empty() {
            at.clone_into(&mut self.last_at);
        }
        match entry {
            Entry::Begun(_) if self.order.is_some() => return Err(Nonsense("it begins twice")),
            Entry::Begun(order) => {
                at.clone_into(&mut self.began_at);
                self.order = Some(order.clone());
            }
            Entry::Chosen(chosen) => self.choose(chosen)?,
            Entry::Edited { n, edited } => {
                self.standing(*n)?;
                self.edits.insert(*n, edited.clone());
            }
            Entry::Frozen { letters } if *letters != self.letters.len() || self.is_frozen => {
                return Err(Nonsense("the selection is not whole"));
            }
            Entry::Frozen { .. } => self.is_frozen = true,
            Entry::Proven { how } => self.proven = Some(how.clone()),
            Entry::Stopped { why, told } => self.stopped = Some((*why, told.clone())),
            Entry::Resumed { by } => {
                self.stopped = None;
                self.resumed.push((by.clone(), at.to_owned()));
            }
            Entry::Ended => self.is_ended = true,
            _ => self.progress(at, entry)?,
        }
        Ok(())
    }

    fn choose(&mut self, chosen: &Chosen) -> Result<(), Nonsense> {
        if chosen.n != self.letters.len() || self.is_frozen {
            return Err(Nonsense("the selection is out of order"));
        }
        self.letters.push(Standing {
            chosen: chosen.clone(),
            stage: Stage::Waiting,
            sendings: 0,
            refusals: 0,
            first_sending: None,
            may_be_doubled: false,
            sent: None,
            told: String::new(),
        });
        Ok(())
    }

    fn progress(&mut self, at: &str, entry: &Entry) -> Result<(), Nonsense> {
        if !self.is_frozen {
            return Err(Nonsense("something was done before the selection was whole"));
        }
        match entry {
            Entry::Sending { n } => {
                let letter = self.standing(*n)?;
                letter.sendings += 1;
                letter.first_sending = letter.first_sending.or_else(|| seconds(at));
                letter.stage = Stage::Sending;
            }
            Entry::Confirmed { n, sent } => {
                let letter = self.standing(*n)?;
                letter.stage = Stage::Confirmed;
                letter.sent = Some(*sent);
                letter.told.clear();
                // Where the system drops a second one of the same key, no number of sendings doubles it, as long as it
                // remembers the first.
                let waited = seconds(at).zip(letter.first_sending).map(|(now, first)| now - first);
                let is_doubtful = match sent {
                    Certainty::AtLeastOnce => true,
                    Certainty::Once => waited.is_some_and(|waited| waited > REMEMBERED_SECONDS),
                    Certainty::Already => false,
                };
                letter.may_be_doubled |= letter.sendings > letter.refusals + 1 && is_doubtful;
            }
            Entry::NotConfirmed { n, why, is_refused } => {
                let letter = self.standing(*n)?;
                letter.refusals += u32::from(*is_refused);
                // An earlier sending may be there all the same.
                let is_nowhere = letter.refusals == letter.sendings;
                letter.stage = if is_nowhere { Stage::Refused } else { Stage::NotConfirmed };
                letter.told.clone_from(why);
            }
            Entry::Kept { n, .. } => self.standing(*n)?.stage = Stage::Kept,
            Entry::Removed { n } => {
                let letter = self.standing(*n)?;
                if !matches!(letter.stage, Stage::Confirmed | Stage::Kept) {
                    return Err(Nonsense("a letter was removed before it was confirmed or kept"));
                }
                letter.stage = Stage::Removed;
                letter.told.clear();
            }
            Entry::NotRemoved { n, why } => self.standing(*n)?.told.clone_from(why),
            Entry::Missing { n } => self.standing(*n)?.stage = Stage::Missing,
            _ => return Err(Nonsense("a fact of no kind")),
        }
        Ok(())
    }

    fn standing(&mut self, n: usize) -> Result<&mut Standing, Nonsense> {
        self.letters.get_mut(n).ok_or(Nonsense("it names a letter that is not of the selection"))
    }

    /// What is done; a redrive where nothing says.
    pub fn action(&self) -> Action {
        self.order.as_ref().map_or(Action::Redrive, |order| order.action)
    }

    /// Whether the first few have still to prove that they have their effect.
    pub fn is_canary(&self) -> bool {
        self.proven.is_none() && self.canary() > 0
    }

    /// How many go first.
    pub fn canary(&self) -> usize {
        self.order.as_ref().map_or(0, |order| order.canary)
    }

    /// The first few: those of which a sending was begun.
    pub fn sent_ones(&self) -> impl Iterator<Item = &Standing> {
        self.letters.iter().filter(|letter| letter.sendings > 0)
    }

    /// How many letters are at this stage.
    pub fn count(&self, stage: Stage) -> usize {
        self.letters.iter().filter(|letter| letter.stage == stage).count()
    }
}

fn seconds(rfc3339: &str) -> Option<i64> {
    rfc3339.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}
