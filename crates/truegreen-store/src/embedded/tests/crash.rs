//! Any history of appends, commits, failures and crashes, against a plain list of what was appended.

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::simulated::{Faults, SimulatedDisk};

#[derive(Clone, Debug)]
enum Step {
    Append {
        length: usize,
    },
    /// A body that holds the end of a segment, as a hostile sender might guess it.
    AppendCopy,
    Commit,
    /// The process ends; what it had written stays in the system's memory.
    Restart,
    /// The power fails.
    Crash,
    FailWrite,
    FailSync,
    FailSyncNames,
    /// The next opening fails half-way.
    FailOpening,
    Drop {
        max_bytes: u64,
    },
    Look {
        at: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_usize..400).prop_map(|length| Step::Append { length }),
        1 => Just(Step::AppendCopy),
        6 => Just(Step::Commit),
        2 => Just(Step::Restart),
        3 => Just(Step::Crash),
        1 => Just(Step::FailWrite),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailSyncNames),
        1 => Just(Step::FailOpening),
        1 => (0_u64..8000).prop_map(|max_bytes| Step::Drop { max_bytes }),
        2 => any::<u64>().prop_map(|at| Step::Look { at }),
    ]
}

struct History {
    disk: SimulatedDisk,
    log: Option<Log<SimulatedDisk>>,
    /// What must be there, by sequence - 1; then what may be.
    committed: Vec<Entry>,
    appended: Vec<Entry>,
    /// Something was made to fail since the log was opened.
    is_faulty: bool,
    is_poisoned: bool,
}

impl History {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let log = Some(Log::open_on(disk.clone(), SMALL).unwrap());
        History { disk, log, committed: Vec::new(), appended: Vec::new(), is_faulty: false, is_poisoned: false }
    }

    fn log(&mut self) -> &mut Log<SimulatedDisk> {
        self.log.as_mut().unwrap()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append { length } => {
                let entry = sample((self.committed.len() + self.appended.len() + 1) as u64, length);
                self.append(entry);
            }
            Step::AppendCopy => {
                let body = self.disk.files().pop().map(|(_, bytes)| bytes).unwrap_or_default();
                let entry = sample((self.committed.len() + self.appended.len() + 1) as u64, 0);
                self.append(Entry { body, ..entry });
            }
            Step::Commit => {
                let result = self.log().commit();
                if self.outcome(result).is_some() {
                    self.committed.append(&mut self.appended);
                }
            }
            Step::Restart => self.reopen(),
            Step::Crash => {
                self.log = None;
                self.disk.crash();
                self.reopen();
            }
            Step::FailWrite => self.fail(Faults { write: true, ..Faults::default() }),
            Step::FailSync => self.fail(Faults { sync: true, ..Faults::default() }),
            Step::FailSyncNames => self.fail(Faults { sync_names: true, ..Faults::default() }),
            Step::FailOpening => {
                self.log = None;
                self.disk.fail(Faults { sync: true, sync_names: true, ..Faults::default() });
                assert!(Log::open_on(self.disk.clone(), SMALL).is_err());
                self.reopen();
            }
            Step::Drop { max_bytes } => self.drop_oldest(max_bytes),
            Step::Look { at } => self.look(at),
        }
    }

    fn fail(&mut self, faults: Faults) {
        self.disk.fail(faults);
        self.is_faulty = true;
    }

    fn append(&mut self, entry: Entry) {
        let was_poisoned = self.is_poisoned;
        let result = self.log().append(entry.received_at, entry.kind, &entry.body);
        if let Some(sequence) = self.outcome(result) {
            assert_eq!(sequence, entry.sequence);
        }
        // The append that fails may have handed its entry on, or not; those refused behind it have not.
        if !was_poisoned {
            self.appended.push(entry);
        }
    }

    /// A log that failed once refuses everything until it is opened again.
    fn outcome<T: std::fmt::Debug>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                assert!(!self.is_poisoned, "a poisoned log took {value:?}");
                Some(value)
            }
            Err(Error::Poisoned { cause }) => {
                assert!(self.is_poisoned || self.is_faulty, "nothing failed, and yet: {cause}");
                self.is_poisoned = true;
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn drop_oldest(&mut self, max_bytes: u64) {
        let log = self.log();
        log.options.max_bytes = max_bytes;
        match log.enforce_retention(Timestamp(0)) {
            Ok(_) => assert!(log.stats().segments <= 1 || log.stats().disk_bytes <= max_bytes),
            Err(Error::Poisoned { .. } | Error::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn look(&mut self, at: u64) {
        let at = at % (self.committed.len() + self.appended.len() + 2) as u64;
        let found = self.log().get(at).unwrap();
        let first = self.log().first_sequence();
        let expected = at.checked_sub(1).and_then(|at| self.committed.iter().chain(&self.appended).nth(at as usize));
        if at < first {
            assert_eq!(found, None);
        } else if at <= self.committed.len() as u64 || found.is_some() {
            assert_eq!(found.as_ref(), expected);
        }
    }

    fn reopen(&mut self) {
        self.log = None;
        self.disk.fail(Faults::default());
        let log = Log::open_on(self.disk.clone(), SMALL).unwrap();
        let found = all(&log);
        self.committed.append(&mut self.appended);
        let first = log.first_sequence();
        let expected = &self.committed[first as usize - 1..];
        assert!(found.len() <= expected.len(), "entries that no one appended");
        assert_eq!(found, expected[..found.len()]);
        assert_eq!(log.next_sequence(), first + found.len() as u64);
        // What is shown once must stay, so it counts as committed from here on.
        self.committed.truncate(first as usize - 1 + found.len());
        assert_eq!(super::super::verify::verify_on(&self.disk).unwrap().damage, None);
        self.log = Some(log);
        (self.is_faulty, self.is_poisoned) = (false, false);
    }
}

/// Guarantee: whatever fails and whenever, each committed entry is there, in order, byte for byte; of the others a
/// prefix may be; nothing else is; and no sequence that was shown as durable is given twice.
fn holds(seed: u64, steps: Vec<Step>) {
    let mut history = History::new(seed);
    for step in steps {
        let kept = history.committed.len();
        history.take(step);
        assert!(history.committed.len() >= kept, "{} of {kept} committed entries left", history.committed.len());
    }
    history.take(Step::Crash);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn committed_entries_survive_any_history(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..80)) {
        holds(seed, steps);
    }
}

/// A sync failed, the process began again and read what only the system's memory held; then the power failed.
#[test]
fn what_was_read_after_a_failed_sync_survives_the_next_crash() {
    for seed in 0..50 {
        let mut steps = vec![Step::Append { length: 300 }, Step::Commit, Step::Append { length: 300 }];
        steps.extend([Step::FailSync, Step::Commit, Step::Restart, Step::Crash]);
        holds(seed, steps);
    }
}
