//! Five rules on the last ten commits of a partition, as lag checkers of Kafka have them: no lag at some time is fine;
//! commits that stopped; offsets that went back; an offset that does not move while there is lag; lag that never falls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Rule;
use crate::campaign::broker::Topic;
use crate::campaign::fleet::Service;
use crate::campaign::record::Content;
use crate::campaign::system::Offset;

const COMMITS: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Commit {
    at: f64,
    offset: u64,
    lag: u64,
}

#[derive(Debug, Default)]
pub(super) struct Burrow {
    commits: BTreeMap<(Topic, usize), VecDeque<Commit>>,
    /// What the broker says now, commits or not.
    lags: BTreeMap<(Topic, usize), u64>,
}

impl Rule for Burrow {
    fn hear(&mut self, _: f64, _: Service, _: &Content) {}

    fn offsets(&mut self, at: f64, offsets: &[Offset]) {
        for offset in offsets {
            let place = (offset.topic, offset.partition);
            let lag = offset.end - offset.committed;
            self.lags.insert(place, lag);
            if offset.commits {
                let commits = self.commits.entry(place).or_default();
                commits.push_back(Commit { at, offset: offset.committed, lag });
                if commits.len() > COMMITS {
                    commits.pop_front();
                }
            }
        }
    }

    fn firing(&mut self, now: f64) -> BTreeSet<String> {
        let is_bad = |place: &(Topic, usize), commits: &VecDeque<Commit>| {
            let lag = self.lags.get(place).copied().unwrap_or_default();
            commits.len() == COMMITS && verdict(now, commits, lag)
        };
        let bad = self.commits.iter().filter(|(place, commits)| is_bad(place, commits));
        bad.map(|((topic, partition), _)| format!("{} {partition}", topic.name())).collect()
    }
}

fn verdict(now: f64, commits: &VecDeque<Commit>, lag: u64) -> bool {
    let (Some(first), Some(last)) = (commits.front(), commits.back()) else { return false };
    let pairs = || commits.iter().zip(commits.iter().skip(1));
    if now - last.at > last.at - first.at && lag > 0 {
        return true;
    }
    if commits.iter().any(|commit| commit.lag == 0) {
        return false;
    }
    let went_back = pairs().any(|(a, b)| b.offset < a.offset);
    let is_unmoved = first.offset == last.offset;
    let never_falls = pairs().all(|(a, b)| b.lag >= a.lag) && last.lag > first.lag;
    went_back || is_unmoved || never_falls
}
