//! What is done next.

use std::collections::{HashMap, HashSet, VecDeque};

use super::effect::{Canary, Effect, Outcome, Shown};
use super::entry::{Action, Entry, KeptLetter, StopWhy};
use super::memory::{Memory, Stage};

/// How often a place is read again for letters that it did not show, before they count as missing: a broker needs a while
/// to put back what a killed reader held.
const MAX_LOOKS: u32 = 3;
/// So many failures one after the other stop it.
const MAX_FAILS_IN_A_ROW: u32 = 5;
/// Sendings from which on a share is told.
const LEAST_FOR_SHARE: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Open,
    Read,
    Keep(usize, usize),
    Send(usize, usize),
    Remove(usize, usize),
    Close,
    Pause(u64),
    Verify,
    Finish,
}

/// What comes after the reading is ended.
#[derive(Clone, PartialEq, Debug)]
enum After {
    Again(u64),
    Verify,
    Finish(Box<Entry>),
}

#[derive(Clone, PartialEq, Debug)]
enum State {
    /// Look at the next letter.
    Choosing,
    /// Do this, once all that is to be remembered before it is written down.
    Due(Deed),
    /// Written down at this moment; then this.
    Writing(Deed),
    /// This is being done.
    Doing(Deed),
}

/// One reading of the place from its beginning.
#[derive(Clone, PartialEq, Debug, Default)]
struct Pass {
    is_open: bool,
    is_at_end: bool,
    queue: VecDeque<(usize, usize)>,
    seen: HashSet<usize>,
}

/// One redrive, or discard, as far as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Redrive {
    memory: Memory,
    /// The letters of the selection by their ids.
    by_id: HashMap<String, usize>,
    /// Its letters by what they are: some may be the same in everything.
    by_hash: HashMap<String, Vec<usize>>,
    state: State,
    after: Option<After>,
    pass: Pass,
    looks: u32,
    fails_in_a_row: u32,
    /// To be written down with the next.
    pending: Vec<Entry>,
    is_interrupted: bool,
    /// Whether the place may not show a letter that lies there.
    may_hide: bool,
    /// RFC 3339, as it was told last.
    now: String,
}

impl Redrive {
    /// Begins, or goes on, where this memory ends.
    pub fn new(memory: Memory) -> Redrive {
        let mut by_hash: HashMap<String, Vec<usize>> = HashMap::new();
        for letter in &memory.letters {
            by_hash.entry(letter.chosen.hash.clone()).or_default().push(letter.chosen.n);
        }
        let by_id = memory.letters.iter().map(|letter| (letter.chosen.letter.clone(), letter.chosen.n)).collect();
        let mut redrive = Redrive {
            memory,
            by_id,
            by_hash,
            state: State::Due(Deed::Open),
            after: None,
            pass: Pass::default(),
            looks: 0,
            fails_in_a_row: 0,
            pending: Vec::new(),
            is_interrupted: false,
            may_hide: true,
            now: String::new(),
        };
        if redrive.memory.is_ended || !redrive.memory.is_frozen {
            redrive.state = State::Due(Deed::Finish);
        }
        redrive
    }

    /// What is known.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What time it is, as RFC 3339.
    pub fn tick(&mut self, now: String) {
        self.now = now;
    }

    /// The place shows all that lies there, whoever else read it: what it does not show is gone.
    pub fn place_shows_all(&mut self) {
        self.may_hide = false;
    }

    /// It stops before the next letter.
    pub fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// A fact from outside: that it is resumed, or that somebody vouches for the first few.
    pub fn told(&mut self, entry: Entry) {
        self.note(entry);
    }

    /// What is to be done next.
    pub fn next_effect(&mut self) -> Effect {
        loop {
            match self.state.clone() {
                State::Choosing => self.choose(),
                State::Due(deed) if self.pending.is_empty() => {
                    self.state = State::Doing(deed);
                    return self.effect(deed);
                }
                // What must outlive a crash is durable before anything is done in the world.
                State::Due(deed) => {
                    self.state = State::Writing(deed);
                    return Effect::Record(self.pending.clone());
                }
                State::Writing(_) => return Effect::Record(self.pending.clone()),
                State::Doing(deed) => return self.effect(deed),
            }
        }
    }

    fn effect(&self, deed: Deed) -> Effect {
        match deed {
            Deed::Open => Effect::Open,
            Deed::Read => Effect::Read,
            Deed::Keep(n, slot) => Effect::Keep { n, slot },
            Deed::Send(n, slot) => Effect::Send { n, slot },
            Deed::Remove(n, slot) => Effect::Remove { n, slot },
            Deed::Close => Effect::Close,
            Deed::Pause(seconds) => Effect::Pause(seconds),
            Deed::Verify => Effect::Verify,
            Deed::Finish => Effect::Finished,
        }
    }

    /// What came of the effect.
    pub fn heard(&mut self, outcome: Outcome) {
        match self.state.clone() {
            State::Writing(deed) => {
                self.pending.clear();
                self.state = State::Due(deed);
            }
            State::Doing(deed) => self.came_of(deed, outcome),
            State::Choosing | State::Due(_) => {}
        }
    }

    fn came_of(&mut self, deed: Deed, outcome: Outcome) {
        match (deed, outcome) {
            (Deed::Open | Deed::Read, Outcome::Failed(why)) => self.stop(StopWhy::Unreachable, why),
            (Deed::Open, _) => {
                self.pass = Pass { is_open: true, ..Pass::default() };
                self.state = State::Choosing;
            }
            (Deed::Read, Outcome::Shown(shown)) => {
                self.pass.is_at_end = shown.is_empty();
                shown.into_iter().enumerate().for_each(|(slot, shown)| self.recognise(slot, &shown));
                self.state = State::Choosing;
            }
            (Deed::Keep(n, slot), Outcome::Done) => {
                // Whoever performs has written the letter itself.
                self.learn(&Entry::Kept { n, kept: KeptLetter::default() });
                self.state = State::Due(Deed::Remove(n, slot));
            }
            (Deed::Send(n, slot), Outcome::Sent(sent)) => {
                self.note(Entry::Confirmed { n, sent: sent.into() });
                self.state = State::Due(Deed::Remove(n, slot));
            }
            (Deed::Send(n, _), Outcome::Failed(why)) => self.not_confirmed(n, why, false),
            (Deed::Send(n, _), Outcome::Refused(why)) => self.not_confirmed(n, why, true),
            (Deed::Remove(n, _), Outcome::Done) => {
                self.fails_in_a_row = 0;
                self.note(Entry::Removed { n });
                self.state = State::Choosing;
            }
            (Deed::Remove(n, _) | Deed::Keep(n, _), Outcome::Failed(why)) => {
                self.note(Entry::NotRemoved { n, why: why.clone() });
                self.after_failure(why);
            }
            // What was not removed lies there all the same where a reading ends badly.
            (Deed::Close, _) => self.closed(),
            (Deed::Pause(_), _) => self.state = State::Due(Deed::Open),
            (Deed::Verify, Outcome::Verified(canary)) => self.verified(canary),
            (Deed::Finish, _) => {}
            // An outcome that fits no effect is a mistake of whoever performs them; to stop is always safe.
            (_, _) => self.stop(StopWhy::Unreachable, "an effect had an outcome of another".to_owned()),
        }
    }

    fn not_confirmed(&mut self, n: usize, why: String, is_refused: bool) {
        self.note(Entry::NotConfirmed { n, why: why.clone(), is_refused });
        self.after_failure(why);
    }

    /// Which letter of the selection this is, if any. Later arrivals are none, also under an id that was chosen.
    ///
    /// Letters that are the same in everything stand for each other: some brokers tell them apart only by counting, and count
    /// anew at each reading. Of two such, one may have been removed just before a crash; what lies here still is then the
    /// other, which was not sent yet, and taken for the first it would be removed unsent. So those not sent come first.
    fn recognise(&mut self, slot: usize, shown: &Shown) {
        let Some(own) = self.by_id.get(&shown.id).copied() else { return };
        let alike = self.by_hash.get(&shown.hash).map(Vec::as_slice).unwrap_or_default();
        let is_left = |n: &usize| !self.memory.letters[*n].is_over() && !self.pass.seen.contains(n);
        let is_sent = |n: &usize| matches!(self.memory.letters[*n].stage, Stage::Confirmed | Stage::Kept);
        let is_it = self.memory.letters[own].chosen.hash == shown.hash && is_left(&own) && !is_sent(&own);
        let others = || alike.iter().copied().filter(is_left);
        let meant = if is_it { Some(own) } else { others().find(|n| !is_sent(n)).or_else(|| others().next()) };
        if let Some(n) = meant {
            self.pass.seen.insert(n);
            self.pass.queue.push_back((n, slot));
        }
    }

    fn choose(&mut self) {
        if self.is_interrupted {
            return self.stop(StopWhy::Interrupted, "somebody wanted it".to_owned());
        }
        let is_full = self.is_canary_full();
        if is_full && self.sent_ones_are_over() {
            return self.leave(After::Verify);
        }
        let Some((n, slot)) = self.pass.queue.pop_front() else {
            return if self.pass.is_at_end { self.at_end() } else { self.state = State::Due(Deed::Read) };
        };
        let stage = self.memory.letters[n].stage;
        match (stage, self.memory.action()) {
            (Stage::Removed | Stage::Missing, _) => {}
            // The rest goes only once the first few had their effect.
            (Stage::Waiting, _) if is_full => {}
            (Stage::Confirmed | Stage::Kept, _) => self.state = State::Due(Deed::Remove(n, slot)),
            (_, Action::Discard) => self.state = State::Due(Deed::Keep(n, slot)),
            (_, Action::Redrive) => {
                self.note(Entry::Sending { n });
                self.state = State::Due(Deed::Send(n, slot));
            }
        }
    }

    fn is_canary_full(&self) -> bool {
        self.memory.is_canary() && self.memory.sent_ones().count() >= self.memory.canary()
    }

    fn sent_ones_are_over(&self) -> bool {
        self.memory.sent_ones().all(super::memory::Standing::is_over)
    }

    /// The place has shown all that it has.
    fn at_end(&mut self) {
        let is_full = self.is_canary_full();
        let in_scope = |letter: &&super::Standing| !letter.is_over() && (!is_full || letter.stage != Stage::Waiting);
        let left: Vec<(usize, Stage)> =
            self.memory.letters.iter().filter(in_scope).map(|letter| (letter.chosen.n, letter.stage)).collect();
        let unseen: Vec<(usize, Stage)> = left.iter().copied().filter(|(n, _)| !self.pass.seen.contains(n)).collect();
        let are_removed = unseen.iter().all(|(_, stage)| matches!(stage, Stage::Confirmed | Stage::Kept));
        if !unseen.is_empty() && (self.may_hide || !are_removed) && self.looks < MAX_LOOKS {
            self.looks += 1;
            return self.leave(After::Again(1 << self.looks));
        }
        for (n, stage) in &unseen {
            // What was confirmed or kept and is not there any more was removed by us, before a crash.
            let gone = if matches!(stage, Stage::Confirmed | Stage::Kept) {
                Entry::Removed { n: *n }
            } else {
                Entry::Missing { n: *n }
            };
            self.note(gone);
        }
        let failed = left.len() - unseen.len();
        let is_canary = self.memory.is_canary();
        if failed > 0 {
            let (why, told) = match is_canary {
                true => (StopWhy::CanaryFailed, format!("{failed} of the first ones could not be sent or removed")),
                false => (StopWhy::SomeLeft, format!("{failed} could not be sent or removed, and lie there as before")),
            };
            return self.stop(why, told);
        }
        if is_canary && self.memory.sent_ones().next().is_some() {
            return self.leave(After::Verify);
        }
        self.leave(After::Finish(Box::new(Entry::Ended)));
    }

    fn after_failure(&mut self, why: String) {
        self.fails_in_a_row += 1;
        let sent = self.memory.sent_ones().count();
        let failed = self.memory.count(Stage::NotConfirmed) + self.memory.count(Stage::Refused);
        let percent = self.memory.order.as_ref().map_or(0, |order| order.max_failed_percent) as usize;
        if self.memory.is_canary() {
            self.stop(StopWhy::CanaryFailed, why);
        } else if self.fails_in_a_row >= MAX_FAILS_IN_A_ROW
            || (sent >= LEAST_FOR_SHARE && failed * 100 > percent * sent)
        {
            self.stop(StopWhy::TooManyFailed, format!("{failed} of {sent} are not confirmed; the last: {why}"));
        } else {
            self.state = State::Choosing;
        }
    }

    fn verified(&mut self, canary: Canary) {
        match canary {
            Canary::Proven(how) => {
                self.note(Entry::Proven { how });
                self.looks = 0;
                let is_over = self.memory.letters.iter().all(super::Standing::is_over);
                if is_over {
                    self.leave(After::Finish(Box::new(Entry::Ended)))
                } else {
                    self.state = State::Due(Deed::Open)
                }
            }
            Canary::Failed(why) => self.stop(StopWhy::CanaryFailed, why),
            Canary::Undecided(why) => self.stop(StopWhy::CanaryWaits, why),
            Canary::Interrupted => self.stop(StopWhy::Interrupted, "somebody wanted it".to_owned()),
        }
    }

    fn stop(&mut self, why: StopWhy, told: String) {
        self.leave(After::Finish(Box::new(Entry::Stopped { why, told })));
    }

    fn leave(&mut self, after: After) {
        self.after = Some(after);
        if self.pass.is_open { self.state = State::Due(Deed::Close) } else { self.closed() }
    }

    fn closed(&mut self) {
        self.pass = Pass::default();
        self.state = match self.after.take() {
            Some(After::Again(seconds)) => State::Due(Deed::Pause(seconds)),
            Some(After::Verify) => State::Due(Deed::Verify),
            Some(After::Finish(entry)) => {
                self.note(*entry);
                State::Due(Deed::Finish)
            }
            None => State::Due(Deed::Finish),
        };
    }

    fn note(&mut self, entry: Entry) {
        self.learn(&entry);
        self.pending.push(entry);
    }

    fn learn(&mut self, entry: &Entry) {
        // The machine only notes what fits; its own tests would see it otherwise.
        let learned = self.memory.learn(&self.now, entry);
        debug_assert!(learned.is_ok(), "{learned:?}: {entry:?}");
    }
}
