//! Topics: which there are, and whether their partitions have leaders and copies.

use std::collections::BTreeMap;

use rdkafka::metadata::Metadata;
use truegreen_model::probe::{Check, Standing};

use crate::SystemConfig;

/// Partitions that are looked at in one probe.
pub(super) const MAX_PARTITIONS: usize = 1_000;
/// Partitions that are named in one reason.
const MAX_NAMED: usize = 10;

/// One partition, as the brokers tell of it.
#[derive(Clone, Debug)]
struct Partition {
    id: i32,
    has_leader: bool,
    copies: usize,
    in_step: usize,
}

/// The topics that are looked at.
#[derive(Debug, Default)]
pub(super) struct Topics {
    partitions: BTreeMap<String, Vec<Partition>>,
    /// Named under `watch`, and not there.
    missing: Vec<String>,
    /// Partitions that are left out.
    left: usize,
}

impl Topics {
    /// Those that are named under `watch`, else all but internal ones.
    pub(super) fn of(metadata: &Metadata, config: &SystemConfig) -> Topics {
        let named: Vec<&str> =
            config.watch.iter().map(|watched| watched.split('/').next().unwrap_or_default()).collect();
        let mut topics = Topics::default();
        let mut count = 0;
        for topic in metadata.topics() {
            let is_wanted =
                if named.is_empty() { !topic.name().starts_with("__") } else { named.contains(&topic.name()) };
            if !is_wanted || topic.error().is_some() {
                continue;
            }
            let of = topic.partitions();
            count += of.len();
            if count > MAX_PARTITIONS {
                topics.left += of.len();
                continue;
            }
            let partitions = of.iter().map(|partition| Partition {
                id: partition.id(),
                has_leader: partition.leader() >= 0,
                copies: partition.replicas().len(),
                in_step: partition.isr().len(),
            });
            topics.partitions.insert(topic.name().to_owned(), partitions.collect());
        }
        let is_missing =
            |name: &&&str| !metadata.topics().iter().any(|topic| topic.name() == **name && topic.error().is_none());
        topics.missing = named.iter().filter(is_missing).map(|name| (*name).to_owned()).collect();
        topics.missing.dedup();
        topics
    }

    /// All partitions of a topic; none where it is not looked at.
    pub(super) fn partitions_of(&self, topic: &str) -> impl Iterator<Item = i32> {
        self.partitions.get(topic).into_iter().flatten().map(|partition| partition.id)
    }

    /// Every topic and partition.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, i32)> {
        self.partitions.iter().flat_map(|(topic, of)| of.iter().map(move |partition| (topic.as_str(), partition.id)))
    }

    /// A partition that can be read, where there is one.
    pub(super) fn readable(&self) -> Option<(&str, i32)> {
        self.partitions.iter().find_map(|(topic, of)| {
            of.iter().find(|partition| partition.has_leader).map(|partition| (topic.as_str(), partition.id))
        })
    }

    /// Leaders and copies: of each topic that lacks some, and else of all.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for topic in &self.missing {
            checks.push(
                Check::new("topic", Standing::Fail, format!("there is no topic {topic}")).of(format!("topic {topic}")),
            );
        }
        let mut whole = 0;
        for (topic, of) in &self.partitions {
            let without: Vec<&Partition> = of.iter().filter(|partition| !partition.has_leader).collect();
            let behind: Vec<&Partition> =
                of.iter().filter(|partition| partition.has_leader && partition.in_step < partition.copies).collect();
            if !without.is_empty() {
                let reason = format!(
                    "partitions {} of {topic} have no leader: nothing can be written to them or read\nhint: see which \
                     brokers are down",
                    named(&without)
                );
                let check = Check::new("leader", Standing::Fail, reason).observed(without.len() as f64, "partitions");
                checks.push(check.of(format!("topic {topic}")));
            }
            if !behind.is_empty() {
                let least = behind.iter().map(|partition| partition.in_step).min().unwrap_or(0);
                let copies = behind.iter().map(|partition| partition.copies).max().unwrap_or(0);
                let reason = format!(
                    "partitions {} of {topic} are under-replicated: as few as {least} of {copies} copies are in step",
                    named(&behind)
                );
                let check = Check::new("replicas", Standing::Warn, reason).observed(behind.len() as f64, "partitions");
                checks.push(check.of(format!("topic {topic}")));
            }
            whole += of.len() - without.len() - behind.len();
        }
        if self.left > 0 {
            let reason = format!(
                "{} more partitions are not looked at (at most {MAX_PARTITIONS})\nhint: name under `watch` what matters",
                self.left
            );
            checks.push(Check::new("topics", Standing::Unknown, reason));
        }
        checks.push(Check::pass("partitions").observed(whole as f64, "partitions"));
        checks
    }
}

fn named(partitions: &[&Partition]) -> String {
    let mut names: Vec<String> = partitions.iter().take(MAX_NAMED).map(|partition| partition.id.to_string()).collect();
    if partitions.len() > MAX_NAMED {
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_leaders_fail_and_lost_copies_warn() {
        let partition = |id, has_leader, in_step| Partition { id, has_leader, copies: 3, in_step };
        let mut topics = Topics { missing: vec!["gone".into()], ..Topics::default() };
        let of = vec![partition(0, true, 3), partition(1, false, 0), partition(2, true, 2)];
        topics.partitions.insert("orders".into(), of);
        let said: Vec<(Standing, String)> =
            topics.checks().into_iter().map(|check| (check.standing, check.reason)).collect();
        assert_eq!(said[0], (Standing::Fail, "there is no topic gone".into()));
        assert!(said[1].0 == Standing::Fail && said[1].1.starts_with("partitions 1 of orders have no leader"));
        assert!(said[2].0 == Standing::Warn && said[2].1.contains("as few as 2 of 3 copies"), "{}", said[2].1);
        assert_eq!(topics.readable(), Some(("orders", 0)));
    }
}
