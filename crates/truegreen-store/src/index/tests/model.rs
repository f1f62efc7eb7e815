//! Any history of calls, failures and crashes, against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::simulated::Faults;

#[derive(Clone, Debug)]
enum Step {
    /// So many entries with terms out of a few or of many.
    Add {
        entries: u16,
        few: bool,
    },
    Skip {
        entries: u64,
    },
    Flush,
    Drop {
        percent: u64,
    },
    Restart,
    Crash,
    FailSoon {
        changes: u64,
    },
    FailSync,
    FailRemove,
    Look {
        at: u64,
        most: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..400_u16, any::<bool>()).prop_map(|(entries, few)| Step::Add { entries, few }),
        1 => (1..50_u64).prop_map(|entries| Step::Skip { entries }),
        3 => Just(Step::Flush),
        1 => (0..100_u64).prop_map(|percent| Step::Drop { percent }),
        2 => Just(Step::Restart),
        2 => Just(Step::Crash),
        2 => (0..30_u64).prop_map(|changes| Step::FailSoon { changes }),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailRemove),
        3 => (any::<u64>(), 0..2000_usize).prop_map(|(at, most)| Step::Look { at, most }),
    ]
}

struct History {
    disk: SimulatedDisk,
    index: Option<Index<SimulatedDisk>>,
    /// The log: its first sequence, and for each entry its terms.
    first: u64,
    log: BTreeMap<u64, Vec<Term>>,
    next: u64,
    random: fastrand::Rng,
    /// Something was made to fail since the index was opened.
    is_faulty: bool,
}

impl History {
    fn index(&mut self) -> &mut Index<SimulatedDisk> {
        self.index.as_mut().unwrap()
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Add { entries, few } => {
                for _ in 0..entries {
                    let most = if few { 20 } else { u64::MAX };
                    let terms = (0..self.random.u8(..4)).map(|_| Term(self.random.u64(..most))).collect::<Vec<_>>();
                    let added = self.index.as_mut().unwrap().add(self.next, terms.clone());
                    self.log.insert(self.next, terms);
                    self.next += 1;
                    self.expect(added);
                }
            }
            Step::Skip { entries } => self.next += entries,
            Step::Flush => {
                let flushed = self.index().flush();
                self.expect(flushed);
            }
            Step::Drop { percent } => {
                self.first += (self.next - self.first) * percent / 100;
                let first = self.first;
                self.log.retain(|sequence, _| *sequence >= first);
                let dropped = self.index().drop_before(first).map(drop);
                self.expect(dropped);
            }
            Step::Restart => {
                self.index = None;
                self.reopen();
            }
            Step::Crash => {
                self.index = None;
                self.disk.crash();
                self.reopen();
            }
            Step::FailSoon { changes } => {
                self.disk.fail_after(changes);
                self.is_faulty = true;
            }
            Step::FailSync => self.fail(Faults { sync: true, ..Faults::default() }),
            Step::FailRemove => self.fail(Faults { remove: true, ..Faults::default() }),
            Step::Look { at, most } => self.look(at, most),
        }
    }

    fn fail(&mut self, faults: Faults) {
        self.disk.fail(faults);
        self.is_faulty = true;
    }

    /// What fails may fail; then the disk is mended, and the index goes on.
    fn expect(&mut self, done: Result<(), Error>) {
        match done {
            Ok(()) => {}
            Err(Error::IndexStopped { .. }) if self.is_faulty => {
                self.index = None;
                self.disk.crash();
                self.reopen();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn reopen(&mut self) {
        let log = self.first..self.next;
        let opened = Index::open_on(self.disk.clone(), SMALL, log.clone());
        let mut index = match opened {
            Ok(index) => index,
            Err(error) => {
                assert!(self.is_faulty, "{error}");
                self.disk.crash();
                open(&self.disk, log)
            }
        };
        self.disk.fail(Faults::default());
        self.disk.fail_after(u64::MAX);
        self.is_faulty = false;
        assert!(index.next_sequence() <= self.next);
        let missing = self.log.range(index.next_sequence()..).map(|(sequence, terms)| (*sequence, terms.clone()));
        for (sequence, terms) in missing.collect::<Vec<_>>() {
            index.add(sequence, terms).unwrap();
        }
        self.index = Some(index);
    }

    fn look(&mut self, at: u64, most: usize) {
        let mut known: Vec<Term> = self.log.values().flatten().copied().collect();
        known.push(Term(at));
        let term = known[at as usize % known.len()];
        let expected: Vec<u64> =
            self.log.iter().filter(|(_, terms)| terms.contains(&term)).map(|(sequence, _)| *sequence).collect();
        let found = self.index().finder().find(term, most).unwrap();
        assert_eq!(found.is_cut, expected.len() > most);
        assert_eq!(found.sequences, expected[..expected.len().min(most)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Guarantee: a look-up gives exactly the entries that mention the term, in order, whatever happened to the disk.
    #[test]
    fn any_history_is_found(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..60)) {
        let disk = SimulatedDisk::new(seed);
        let mut history = History {
            index: Some(open(&disk, 1..1)),
            disk,
            first: 1,
            log: BTreeMap::new(),
            next: 1,
            random: fastrand::Rng::with_seed(seed),
            is_faulty: false,
        };
        for step in &steps {
            history.take(step);
        }
        history.index = None;
        history.reopen();
        for at in 0..40 {
            history.look(at * 7919, 1000);
        }
    }
}
