//! Where a failure could hide: for each arrow of the map the ways in which it could fail without anyone being told, which
//! of them would be seen as things are, and what one line would close each of the others.

use truegreen_model::map::{Arrow, ArrowKind, BlindSpot, Map};
use truegreen_model::observation::Symbol;

use crate::date::rfc3339;
use crate::engine::Engine;
use crate::watch::map::{ArrowId, Carried, End};

/// Shares below this are taken for never, above the other for always: telemetry has gaps.
const HARDLY: f64 = 0.05;
const MOSTLY: f64 = 0.9;

impl Engine {
    /// The map that traffic draws.
    pub fn map(&self) -> Map {
        let arrows = self.watch.paths().arrows();
        Map { arrows: arrows.map(|(id, carried)| self.arrow(id, carried)).collect() }
    }

    /// The ways in which each arrow of the map could fail in silence, those that would not be seen first.
    pub fn blind_spots(&self) -> Vec<BlindSpot> {
        let mut spots = Vec::new();
        for (id, carried) in self.watch.paths().arrows() {
            let judged = match id.kind {
                ArrowKind::Call => self.of_call(id, carried),
                ArrowKind::Publish => vec![self.lost_publish(id)],
                ArrowKind::Process => self.of_processing(id, carried),
                ArrowKind::Database => zero_rows(carried).into_iter().collect(),
                ArrowKind::Cache => vec![stale_entry(carried)],
            };
            let (from, to) = (self.end(id.from), self.end(id.to));
            let spot = |Judged { way, seen }: Judged| {
                let (is_seen, by, closes) = match seen {
                    Ok(by) => (true, by, ""),
                    Err((why, closes)) => (false, why, closes),
                };
                let (way, by, closes) = (way.to_owned(), by.to_owned(), closes.to_owned());
                BlindSpot { kind: id.kind, from: from.clone(), to: to.clone(), way, is_seen, by, closes }
            };
            spots.extend(judged.into_iter().chain(self.sampled(id)).map(spot));
        }
        spots.sort_by_key(|spot| spot.is_seen);
        spots
    }

    fn arrow(&self, id: ArrowId, carried: &Carried) -> Arrow {
        Arrow {
            kind: id.kind,
            from: self.end(id.from),
            to: self.end(id.to),
            count: carried.count,
            errors: carried.errors,
            p50_seconds: carried.quantile(0.5).as_secs_f64(),
            p99_seconds: carried.quantile(0.99).as_secs_f64(),
            last_seen: rfc3339(carried.last_received),
            tied: share(carried.tied, carried),
        }
    }

    fn end(&self, end: End) -> String {
        match end {
            End::Service(name) | End::Peer(name) | End::Destination(name) => self.symbols.text(name).to_owned(),
            End::Store(system, None) => self.symbols.text(system).to_owned(),
            End::Store(system, Some(what)) => format!("{}: {}", self.symbols.text(system), self.symbols.text(what)),
        }
    }

    fn of_call(&self, id: ArrowId, carried: &Carried) -> Vec<Judged> {
        let mut spots = vec![Judged {
            way: "swallowed_timeout",
            seen: Ok(
                "the caller's span: its error, or a server's span that outlives it, below a caller that reports success",
            ),
        }];
        if matches!(id.to, End::Peer(_)) || share(carried.tied, carried) < HARDLY {
            spots.push(Judged {
                way: "not_reporting",
                seen: Err((
                    "who is called sends no spans, so that what it does with a request is not seen",
                    "start it with an OpenTelemetry agent that exports to Truegreen",
                )),
            });
        } else {
            let seen = if carried.with_effects > 0 {
                Ok("children whose parent never comes")
            } else {
                Err(("nothing is seen below the request until it ends", "give what it does first a span of its own"))
            };
            spots.push(Judged { way: "stalled_request", seen });
        }
        spots
    }

    fn lost_publish(&self, id: ArrowId) -> Judged {
        let processing =
            self.watch.paths().arrows().filter(|(other, _)| other.kind == ArrowKind::Process && other.from == id.to);
        let (mut any, mut tied) = (false, true);
        for (_, carried) in processing {
            any = true;
            tied &= share(carried.tied, carried) >= MOSTLY;
        }
        let seen = match (any, tied) {
            (false, _) => Err((
                "nobody is seen to process what is published there",
                "instrument the consumer: a span of kind CONSUMER for each message, linked to its producer's",
            )),
            (true, false) => Err((
                "processed messages are not tied to the spans that published them",
                "hand trace context on in the message's headers, and link to it where the message is processed",
            )),
            (true, true) => Ok("each published message is looked for among the processed ones"),
        };
        Judged { way: "lost_publish", seen }
    }

    fn of_processing(&self, id: ArrowId, carried: &Carried) -> Vec<Judged> {
        let End::Service(consumer) = id.to else { return Vec::new() };
        let has_step = self.has_step_behind(consumer);
        let skipped = if has_step {
            Ok("a contract asks for what the message brings about")
        } else if share(carried.with_effects, carried) >= MOSTLY {
            Ok("what is usually done with a message is missed where it is not done")
        } else {
            Err((
                "a message that is acknowledged and not worked on looks like any other",
                "write a contract whose step is the effect, or set `truegreen.outcome` on the processing span",
            ))
        };
        let dead = if self.has_dead_letters(consumer) {
            Ok("a contract names the exit for dead letters")
        } else {
            Err((
                "where a message that cannot be processed goes is not said",
                "add an exit `dead_lettered` to the contract, or set `truegreen.outcome=dead_lettered` with a reason",
            ))
        };
        let partition = if carried.with_partition > 0 {
            Ok("`messaging.destination.partition.id` on the processing spans")
        } else {
            Err((
                "one partition that stands still is hidden by the others",
                "set `messaging.destination.partition.id` on the processing span, where there are partitions",
            ))
        };
        [("skipped_message", skipped), ("no_dead_letters", dead), ("stuck_partition", partition)]
            .map(|(way, seen)| Judged { way, seen })
            .into()
    }

    /// Whether an owed step of some contract is of this service, other than the taking of a message itself.
    fn has_step_behind(&self, service: Symbol) -> bool {
        let consumes =
            |pattern: &truegreen_model::flow::Pattern| pattern.kind == Some(truegreen_model::flow::SpanKind::Consumer);
        self.matcher.plans.iter().any(|plan| {
            let steps = plan.steps.iter().zip(&plan.flow.steps).skip(1);
            steps.into_iter().any(|(step, text)| step.services.contains(&service) && !text.any_of.iter().any(consumes))
        })
    }

    fn has_dead_letters(&self, service: Symbol) -> bool {
        self.matcher.plans.iter().any(|plan| {
            let concerns = plan.steps.iter().any(|step| step.services.contains(&service));
            let dead = |exit: &crate::matcher::plan::ExitPlan| {
                exit.declared && exit.outcome == truegreen_model::flow::ExitOutcome::DeadLettered
            };
            concerns && plan.exits.iter().any(dead)
        })
    }

    /// A service that keeps only a sample shows only a sample of its failures.
    fn sampled(&self, id: ArrowId) -> Option<Judged> {
        let (End::Service(service), _) = (id.from, id.to) else { return None };
        let mut known = self.coverage.services().iter().filter(|known| known.name == service);
        known.any(|service| service.sampled().is_some()).then_some(Judged {
            way: "sampled",
            seen: Err((
                "only a sample of its traces is kept, and what is missing may merely not be in it",
                "keep all traces of the flows that matter, or sample by outcome in a collector behind Truegreen",
            )),
        })
    }
}

/// One way to fail: what would see it, or why nothing would and what closes it.
struct Judged {
    way: &'static str,
    seen: Result<&'static str, (&'static str, &'static str)>,
}

fn zero_rows(carried: &Carried) -> Option<Judged> {
    if carried.writes == 0 {
        return None;
    }
    let seen = if carried.with_rows as f64 >= MOSTLY * carried.writes as f64 {
        Ok("the rows that each statement says it touched")
    } else {
        Err((
            "a statement that changes no row looks like one that does",
            "record the number of rows touched as `db.response.affected_rows` on the statement's span",
        ))
    };
    Some(Judged { way: "zero_rows", seen })
}

fn stale_entry(carried: &Carried) -> Judged {
    let seen = if share(carried.with_hit, carried) >= MOSTLY {
        Ok("hits of a key after the write of the same key")
    } else {
        Err((
            "which entry is served is not said",
            "set `cache.key` and `cache.hit` on look-ups, and `cache.key` on what writes or removes the entry",
        ))
    };
    Judged { way: "stale_entry", seen }
}

fn share(of: u64, carried: &Carried) -> f64 {
    of as f64 / carried.count.max(1) as f64
}
