//! Whether groups of consumers move.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use truegreen_model::probe::{Check, Standing};

use super::client::Client;
use super::topics::Topics;
use super::{Asker, Kept, assignment};
use crate::Error;
use crate::config::Limit;
use crate::lag::{STILL, Sample, judgement_checks};
use crate::probe::failed;

/// Groups that are looked at in one probe; each has a client of its own.
const MAX_GROUPS: usize = 20;
/// Groups of our own, which remember what was sent back of a dead-letter topic.
pub(super) const OWN: &str = "truegreen-dlq-";
/// From how many seconds of rebalancing on it warns, and fails.
const REBALANCING: Limit = Limit::new(30.0, 120.0);

/// What brokers tell of a group's members; nothing where they do not tell.
#[derive(Debug, Default)]
struct Members {
    state: String,
    count: usize,
    /// Who has which partition, where all of them could be read.
    given: Option<Vec<HashSet<(String, i32)>>>,
}

/// One group, and the topics of it that are wanted.
struct Group {
    name: String,
    topics: Option<Vec<String>>,
    members: Option<Members>,
    committed: Vec<(String, i32, Option<u64>)>,
}

impl Asker {
    /// Checks of all groups, within the bounds.
    pub(super) fn groups(&self, client: &Client, kept: &mut Kept, topics: &Topics, until: Instant) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut groups = match self.wanted(client, &mut checks) {
            Ok(groups) => groups,
            Err(error) => {
                checks.push(failed("groups", &error));
                return checks;
            }
        };
        kept.of_groups.retain(|name, _| groups.iter().any(|group| group.name == *name));
        let mut asked = Vec::new();
        for mut group in groups.drain(..) {
            if Instant::now() >= until {
                let reason = "not asked: the others took too long\nhint: name under `watch` what matters";
                checks.push(Check::new("standing", Standing::Unknown, reason).of(format!("group {}", group.name)));
                continue;
            }
            match self.committed(kept, &group, topics) {
                Ok(committed) => {
                    group.committed = committed;
                    asked.push(group);
                }
                Err(error) => {
                    kept.of_groups.remove(&group.name);
                    checks.push(failed("committed", &error).of(format!("group {}", group.name)));
                }
            }
        }
        // Ends are asked for after all commits, so that no commit is beyond an end that was told before it.
        let mut ends: HashMap<(String, i32), Result<(u64, u64), Error>> = HashMap::new();
        let mut seen = HashSet::new();
        for group in &asked {
            let mut waiting = 0;
            for (topic, partition, committed) in &group.committed {
                let end = ends.entry((topic.clone(), *partition)).or_insert_with(|| {
                    if Instant::now() >= until {
                        return Err(Error::NotAsked("the others took too long".to_owned()));
                    }
                    self.watermarks(client, topic, *partition)
                });
                let place = format!("{topic}/{partition}");
                let of = format!("group {} {place}", group.name);
                match end {
                    Ok((low, high)) => {
                        let sample = Sample {
                            at: self.began.elapsed(),
                            committed: *committed,
                            high: *high,
                            low: *low,
                            consumers: group.members.as_ref().and_then(|members| members.of(topic, *partition)),
                            ..Sample::default()
                        };
                        let key = (group.name.clone(), topic.clone(), *partition);
                        let window = kept.windows.entry(key.clone()).or_default();
                        seen.insert(key);
                        window.look(sample);
                        let judged = window.judge(self.config.limits.get("standing").copied().unwrap_or(STILL));
                        waiting += judged.lag.unwrap_or(0);
                        let said = judgement_checks(&self.config, &judged, &format!("group {}", group.name), &place);
                        checks.extend(said.into_iter().map(|check| check.of(of.clone())));
                    }
                    Err(error) => checks.push(failed("lag_messages", error).of(of)),
                }
            }
            checks.push(self.state(kept, group, waiting).of(format!("group {}", group.name)));
        }
        if Instant::now() < until {
            kept.windows.retain(|key, _| seen.contains(key));
        }
        checks
    }

    /// The groups that are named under `watch`, else those that the brokers tell of.
    fn wanted(&self, client: &Client, checks: &mut Vec<Check>) -> Result<Vec<Group>, Error> {
        let mut named: Vec<Group> = Vec::new();
        for (topic, group) in self.config.watch.iter().filter_map(|watched| watched.split_once('/')) {
            match named.iter_mut().find(|known| known.name == group) {
                Some(known) => known.topics.get_or_insert_default().push(topic.to_owned()),
                None => named.push(Group::new(group, Some(vec![topic.to_owned()]))),
            }
        }
        if named.is_empty() {
            let all = client
                .fetch_group_list(None, self.config.timeout)
                .map_err(|error| self.maker.explain(client, &error, "for its groups"))?;
            for group in all.groups() {
                // Groups of Kafka Connect's workers consume nothing.
                if matches!(group.protocol_type(), "consumer" | "") && !group.name().starts_with(OWN) {
                    named.push(Group { members: Some(Members::of_told(group)), ..Group::new(group.name(), None) });
                }
            }
        } else {
            for group in &mut named {
                let told = client.fetch_group_list(Some(&group.name), self.config.timeout);
                group.members = told.ok().and_then(|told| told.groups().first().map(Members::of_told));
            }
        }
        if named.len() > MAX_GROUPS {
            let reason = format!(
                "{} more groups are not looked at (at most {MAX_GROUPS})\nhint: name under `watch` what matters",
                named.len() - MAX_GROUPS
            );
            checks.push(Check::new("groups", Standing::Unknown, reason));
            named.truncate(MAX_GROUPS);
        }
        Ok(named)
    }

    /// What a group committed: of all partitions of the topics that it is wanted for, or that it committed anything in.
    fn committed(
        &self,
        kept: &mut Kept,
        group: &Group,
        topics: &Topics,
    ) -> Result<Vec<(String, i32, Option<u64>)>, Error> {
        let mut list = TopicPartitionList::new();
        match &group.topics {
            Some(wanted) => {
                for topic in wanted {
                    for partition in topics.partitions_of(topic) {
                        list.add_partition(topic, partition);
                    }
                }
            }
            None => {
                for (topic, partition) in topics.all() {
                    list.add_partition(topic, partition);
                }
            }
        }
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let client = match kept.of_groups.remove(&group.name) {
            Some(client) => client,
            None => self.maker.consumer(Some(&group.name))?,
        };
        let told = client
            .committed_offsets(list, self.config.timeout)
            .map_err(|error| self.maker.explain(&client, &error, "what a group committed"))?;
        kept.of_groups.insert(group.name.clone(), client);
        let all: Vec<(String, i32, Option<u64>)> = told
            .elements()
            .iter()
            .map(|element| {
                let offset = match element.offset() {
                    Offset::Offset(offset) => u64::try_from(offset).ok(),
                    _ => None,
                };
                (element.topic().to_owned(), element.partition(), offset)
            })
            .collect();
        if group.topics.is_some() {
            return Ok(all);
        }
        let mut consumed: HashSet<String> =
            all.iter().filter(|(.., offset)| offset.is_some()).map(|(topic, ..)| topic.clone()).collect();
        consumed.extend(group.members.iter().flat_map(Members::topics));
        Ok(all.into_iter().filter(|(topic, ..)| consumed.contains(topic)).collect())
    }

    /// What the brokers say of the group as a whole.
    fn state(&self, kept: &mut Kept, group: &Group, waiting: u64) -> Check {
        let name = &group.name;
        let Some(members) = &group.members else {
            let reason = format!("the brokers do not tell who is in group {name}");
            return Check::new("state", Standing::Unknown, reason);
        };
        let now = self.began.elapsed();
        if !members.state.contains("Rebalanc") {
            kept.rebalancing.remove(name);
        }
        match members.state.as_str() {
            "Dead" => {
                Check::new("state", Standing::Fail, format!("group {name} is dead: it has no members and no commits"))
            }
            "Empty" if waiting > 0 => Check::new(
                "state",
                Standing::Warn,
                format!("group {name} is empty, and {waiting} messages wait for it"),
            ),
            state if state.contains("Rebalanc") => {
                let since = *kept.rebalancing.entry(name.clone()).or_insert(now);
                let seconds = now.saturating_sub(since).as_secs_f64();
                let words = format!("group {name} is rebalancing for {seconds:.0} s: it consumes nothing meanwhile");
                self.config.judge("state", REBALANCING, seconds, "s", &words)
            }
            state => Check::new("state", Standing::Pass, format!("group {name} is {state}"))
                .observed(members.count as f64, "members"),
        }
    }
}

impl Group {
    fn new(name: &str, topics: Option<Vec<String>>) -> Group {
        Group { name: name.to_owned(), topics, members: None, committed: Vec::new() }
    }
}

impl Members {
    fn of_told(told: &rdkafka::groups::GroupInfo) -> Members {
        let given = told.members().iter().map(|member| assignment::read(member.assignment().unwrap_or_default()));
        let is_stable = told.state() == "Stable";
        Members {
            state: told.state().to_owned(),
            count: told.members().len(),
            given: if is_stable { given.collect() } else { None },
        }
    }

    /// How many consume this partition; none where that is not known.
    fn of(&self, topic: &str, partition: i32) -> Option<u64> {
        if self.count == 0 && matches!(self.state.as_str(), "Empty" | "Dead") {
            return Some(0);
        }
        let place = (topic.to_owned(), partition);
        let given = self.given.as_ref()?;
        Some(given.iter().filter(|of| of.contains(&place)).count() as u64)
    }

    fn topics(&self) -> Vec<String> {
        self.given.iter().flatten().flatten().map(|(topic, _)| topic.clone()).collect()
    }
}
