//! Which queues there are, and where what dies in them goes.

use std::collections::BTreeSet;

use super::management::{Binding, Management, Queue};
use crate::{Error, SystemConfig};

/// How the names of dead-letter queues end.
const DEAD_ENDINGS: &[&str] = &[
    ".dlq",
    "-dlq",
    "_dlq",
    ":dlq",
    ".dead",
    "-dead",
    "_dead",
    ":dead",
    ".dead-letter",
    "-dead-letter",
    ".deadletter",
    ".dead-letters",
    "-dead-letters",
    ".dead_letter",
    "_dead_letter",
    ".poison",
    "_error",
    "_skipped",
];

/// The queues that are looked at, and the way from one to another.
pub(super) struct Topology {
    pub(super) queues: Vec<Queue>,
    /// Queues that there are besides.
    pub(super) left_out: usize,
    /// Those that the configuration names and that cannot be asked.
    pub(super) failed: Vec<(String, Error)>,
    exchanges: Option<BTreeSet<String>>,
    bindings: Option<Vec<Binding>>,
    dead: BTreeSet<String>,
}

/// Where what dies in a queue goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// Nowhere: it is dropped.
    None,
    /// To an exchange that is not there.
    Missing(String),
    /// To an exchange that leads to no queue.
    Unbound(String),
    /// By this exchange, and whether it cannot be lost on the way.
    To(String, bool),
}

impl Topology {
    /// Of the queues that are named, else of all within the bound.
    pub(super) async fn read(management: &Management, config: &SystemConfig) -> Result<Topology, Error> {
        let (mut queues, mut failed, mut left_out) = (Vec::new(), Vec::new(), 0);
        if config.watch.is_empty() {
            let (all, total) = management.queues().await?;
            left_out = total.saturating_sub(all.len());
            queues = all;
        } else {
            for name in &config.watch {
                match management.queue(name).await {
                    Ok(queue) => queues.push(queue),
                    // The API itself is not there: then no other queue can be asked either.
                    Err(error @ (Error::Unreachable(_) | Error::TimedOut { .. } | Error::Denied(_))) => {
                        return Err(error);
                    }
                    Err(error) => failed.push((name.clone(), error)),
                }
            }
        }
        // Without them less is told, and nothing is wrong.
        let exchanges = management.exchanges().await.ok().map(|names| names.into_iter().collect());
        let bindings = management.bindings().await.ok();
        let mut topology = Topology { queues, left_out, failed, exchanges, bindings, dead: BTreeSet::new() };
        topology.dead = topology.dead_queues(&config.dead_letters);
        Ok(topology)
    }

    /// Where dead letters lie.
    pub(super) fn dead(&self) -> &BTreeSet<String> {
        &self.dead
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// As the configuration says; else by name, and queues that other queues' letters go to and nobody reads. A queue that
    /// has a path for its own dead is a stage of a retry, not their end.
    fn dead_queues(&self, named: &[String]) -> BTreeSet<String> {
        if !named.is_empty() {
            return named.iter().cloned().collect();
        }
        let is_end = |queue: &Queue| queue.text("dead-letter-exchange").is_none() && queue.consumers == Some(0);
        let targets: BTreeSet<String> = self.queues.iter().flat_map(|queue| self.targets(queue)).collect();
        let is_dead = |queue: &&Queue| {
            !queue.is_stream() && (alive(&queue.name).is_some() || (targets.contains(&queue.name) && is_end(queue)))
        };
        self.queues.iter().filter(is_dead).map(|queue| queue.name.clone()).collect()
    }

    /// The queues that the dead of this one go to.
    fn targets(&self, queue: &Queue) -> Vec<String> {
        let key = queue.text("dead-letter-routing-key");
        match queue.text("dead-letter-exchange") {
            None => Vec::new(),
            Some("") => key.into_iter().map(str::to_owned).collect(),
            Some(exchange) => {
                let of = self.bindings.iter().flatten().filter(|binding| binding.source == exchange);
                of.map(|binding| binding.destination.clone()).collect()
            }
        }
    }

    /// Where what dies in this queue goes.
    pub(super) fn path(&self, queue: &Queue) -> Path {
        let Some(exchange) = queue.text("dead-letter-exchange") else { return Path::None };
        let is_sure = queue.is_quorum() && queue.text("dead-letter-strategy") == Some("at-least-once");
        if exchange.is_empty() {
            return Path::To("the default exchange".to_owned(), is_sure);
        }
        if self.exchanges.as_ref().is_some_and(|exchanges| !exchanges.contains(exchange)) {
            return Path::Missing(exchange.to_owned());
        }
        if self.bindings.as_ref().is_some_and(|bindings| bindings.iter().all(|binding| binding.source != exchange)) {
            return Path::Unbound(exchange.to_owned());
        }
        Path::To(format!("the exchange `{exchange}`"), is_sure)
    }
}

/// The name of the queue whose dead are in a queue of this name; none where it is not named so.
pub(super) fn alive(name: &str) -> Option<&str> {
    DEAD_ENDINGS.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len()).filter(|at| *at > 0)?;
        name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(ending)).then(|| &name[..at])
    })
}
