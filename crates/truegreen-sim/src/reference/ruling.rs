//! The verdict.

use std::time::Duration;

use truegreen_model::flow::{ExitOutcome, ReasonSource, StepId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Why};

use super::coverage::{Coverage, Leeway, Meaning, Wait};
use super::fact::{Role, Sighting};
use super::passage::{Passage, steps};

/// How a journey stands; reasons as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ruling {
    /// Not decided.
    Open,
    /// Every owed step seen in time, or proven by a later one.
    Completed,
    /// Completed, with an owed step past its deadline.
    Late,
    /// Refused with this reason.
    Rejected(String),
    /// Put aside with this reason.
    DeadLettered(String),
    /// A step is missing although it would have been seen; whether an attempt at it was seen.
    Unaccounted {
        /// The last that was seen is a failed attempt.
        failed_attempt: bool,
    },
    /// A step is said to be done, and the system that should show its effect does not.
    EffectMissing,
    /// A step is missing, and it might not have been seen.
    Unknown(Why),
}

impl Ruling {
    /// As in reports: the verdict, and its reason.
    pub fn in_report(&self) -> (&'static str, Option<String>) {
        match self {
            Ruling::Open => ("open", None),
            Ruling::Completed => ("completed", None),
            Ruling::Late => ("late", None),
            Ruling::Rejected(reason) => ("rejected", Some(reason.clone())),
            Ruling::DeadLettered(reason) => ("dead_lettered", Some(reason.clone())),
            Ruling::Unaccounted { failed_attempt: false } => ("unaccounted", Some("vanished".into())),
            Ruling::Unaccounted { failed_attempt: true } => ("unaccounted", Some("failed_without_exit".into())),
            Ruling::EffectMissing => ("unaccounted", Some("effect_missing".into())),
            Ruling::Unknown(why) => ("unknown", Some(why.name().into())),
        }
    }

    /// What kind of loss, where it is one.
    pub fn loss(&self) -> Option<Loss> {
        match self {
            Ruling::Unaccounted { failed_attempt: true } => Some(Loss::FailedWithoutExit),
            Ruling::Unaccounted { failed_attempt: false } => Some(Loss::Vanished),
            Ruling::EffectMissing => Some(Loss::EffectMissing),
            _ => None,
        }
    }
}

/// One journey and its verdict.
#[derive(Clone, PartialEq, Debug)]
pub struct Judged {
    /// Flow name.
    pub flow: String,
    /// The key's text.
    pub key: String,
    /// Event time of its earliest start.
    pub entered_at: Timestamp,
    /// By the plain reading.
    pub ruling: Ruling,
    /// Readings on a knife's edge, each as right as the plain one.
    pub or_else: Vec<Ruling>,
    /// Where it is open, unaccounted or unknown for want of a step: which.
    pub hop: Option<Hop>,
    /// As of when.
    pub judged_at: Timestamp,
    /// When each of its sightings was received.
    pub received: Vec<Timestamp>,
    /// Without what systems answered it would not be so.
    pub confirmed: bool,
}

/// Completed or late, else dead-lettered, else rejected, else what the missing step means, else open. A step of which the
/// system that should show its effect says that it is not there is missing, whatever telemetry says.
pub fn judge(passage: &Passage, coverage: &Coverage, now: Timestamp) -> Judged {
    let missing = passage.missing();
    let denied: Vec<StepId> = steps(passage.flow).filter(|step| passage.is_denied(*step)).collect();
    let contradicted = denied.iter().copied().find(|step| passage.satisfied(*step));
    let decisive = match contradicted {
        Some(step) => Some((passage.deadline(step), step)),
        None => missing.first().copied(),
    };
    let (ruling, or_else) = match decisive {
        None => (completed(passage, coverage.doubt(passage)), Vec::new()),
        Some((deadline, step)) => match exit(passage) {
            Some(ruling) => (ruling, Vec::new()),
            None if contradicted.is_some() => (Ruling::EffectMissing, Vec::new()),
            None if !denied.is_empty() => {
                (Ruling::Unaccounted { failed_attempt: attempted(passage, step) }, Vec::new())
            }
            None => on_missing(passage, step, deadline, coverage, now),
        },
    };
    let gone_without_exit =
        matches!(ruling, Ruling::Open | Ruling::Unaccounted { .. } | Ruling::EffectMissing | Ruling::Unknown(_));
    let confirmed = match ruling {
        Ruling::Completed | Ruling::Late => {
            steps(passage.flow).any(|step| passage.owed(step) && !passage.is_shown(step))
        }
        Ruling::Unaccounted { .. } | Ruling::EffectMissing => !denied.is_empty(),
        _ => false,
    };
    Judged {
        flow: passage.flow.name.clone(),
        key: passage.key.to_owned(),
        entered_at: passage.entered_at,
        ruling,
        or_else,
        hop: decisive
            .filter(|_| gone_without_exit)
            .map(|(_, before)| Hop { after: passage.last_before(before), before }),
        judged_at: now,
        received: passage.seen.iter().map(|(received_at, _)| *received_at).collect(),
        confirmed,
    }
}

fn completed(passage: &Passage, doubt: Duration) -> Ruling {
    let is_late = |step: StepId| {
        passage.owed(step)
            && passage.fulfilled(step).is_some_and(|at| step != StepId::START && at > passage.deadline(step) + doubt)
    };
    if steps(passage.flow).any(is_late) { Ruling::Late } else { Ruling::Completed }
}

/// A dead letter goes before a refusal; of several alike the earliest gives the reason.
fn exit(passage: &Passage) -> Option<Ruling> {
    let earliest = |outcome: ExitOutcome| -> Option<String> {
        let exits = passage.seen.iter().filter_map(|(_, sighting)| match &sighting.role {
            Role::Exit(exit, reason) if passage.flow.exits[usize::from(exit.0)].outcome == outcome => {
                Some((*sighting, exit, reason))
            }
            _ => None,
        });
        let (_, exit, reason) =
            exits.min_by_key(|(sighting, ..): &(&Sighting, _, _)| (sighting.at, &sighting.identity))?;
        Some(match &passage.flow.exits[usize::from(exit.0)].reason {
            ReasonSource::Fixed(text) => text.clone(),
            ReasonSource::Attributes(_) => reason.clone().unwrap_or_else(|| "no_reason".into()),
        })
    };
    earliest(ExitOutcome::DeadLettered)
        .map(Ruling::DeadLettered)
        .or_else(|| earliest(ExitOutcome::Rejected).map(Ruling::Rejected))
}

fn attempted(passage: &Passage, step: StepId) -> bool {
    passage.of_step(step).any(|sighting| sighting.attempt)
}

fn on_missing(
    passage: &Passage,
    step: StepId,
    deadline: Timestamp,
    coverage: &Coverage,
    now: Timestamp,
) -> (Ruling, Vec<Ruling>) {
    let wait = Wait { passage, step, deadline: deadline + coverage.doubt(passage) };
    let failed_attempt = attempted(passage, step);
    let mut rulings = Leeway::all().map(|leeway| match coverage.judge(wait, now, leeway) {
        None => Ruling::Open,
        Some(Meaning::Missing) => Ruling::Unaccounted { failed_attempt },
        Some(Meaning::CannotTell(why)) => Ruling::Unknown(why),
    });
    let plain = rulings.next().unwrap_or(Ruling::Open);
    let mut or_else: Vec<Ruling> = rulings.filter(|ruling| *ruling != plain).collect();
    or_else.sort();
    or_else.dedup();
    (plain, or_else)
}
