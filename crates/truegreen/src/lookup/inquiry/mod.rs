//! One key asked for everywhere: each system is asked itself for what it knows of the key that is followed, and what they
//! say stands beside what telemetry says.
//!
//! Read in this order: `subject` (what is asked for), `plan` (who is asked what), `questions`, `letters` and `messages` (how),
//! `shown` (what of an answer is shown), `conclusion` (what it comes to).
//!
//! A page that is looked at again and again floods nobody: an answer is kept for some seconds, few keys are asked for at the
//! same time, and each of them has an end.

pub(crate) mod conclusion;
mod letters;
mod messages;
mod plan;
mod questions;
mod shown;
pub(crate) mod subject;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use truegreen_connect::SystemConfig;
use truegreen_model::answer::SystemAnswer;
use truegreen_model::flow::Flow;
use truegreen_model::passage::CutReport;

use self::letters::Graves;
use self::plan::{Chain, Plan};
use self::subject::Subject;
use super::when;
use crate::clock::wall_clock;
use crate::confirming::Sources;
use crate::dead_letters::desk::Desk;
use crate::systems::Systems;

/// How long all systems together may take, the wait for a turn included.
const WHOLE: Duration = Duration::from_secs(10);
/// Keys asked for at the same time; others wait.
const AT_ONCE: usize = 4;
/// How long an answer is shown before it is asked for anew.
const KEPT: Duration = Duration::from_secs(5);
/// Answers that are kept.
const MAX_KEPT: usize = 16;

/// In which order answers stand.
const WAYS: [&str; 4] = ["effect", "question", "dead_letters", "messages"];

/// What all systems said of one subject.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) answers: Vec<SystemAnswer>,
    /// What was left out.
    pub(crate) cut: Vec<CutReport>,
}

/// Asks systems for a key. Cheap to clone.
#[derive(Clone)]
pub struct Inquiry(Arc<Inside>);

pub(super) struct Inside {
    systems: Systems,
    sources: Sources,
    desk: Desk,
    graves: Graves,
    turns: Semaphore,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    subject: Subject,
    answers: Cell,
}

/// What they said and when they were done; empty while they are asked.
type Cell = Arc<OnceCell<(Instant, Arc<Answers>)>>;

impl Inquiry {
    /// Asks nobody yet.
    pub fn new(systems: &Systems, sources: &Sources, desk: &Desk) -> Inquiry {
        Inquiry(Arc::new(Inside {
            systems: systems.clone(),
            sources: sources.clone(),
            desk: desk.clone(),
            graves: Graves::default(),
            turns: Semaphore::new(AT_ONCE),
            kept: Mutex::default(),
        }))
    }

    /// What they say, within ten seconds. Whoever asks for the same within five more gets the same answer.
    pub(crate) async fn ask(&self, subject: Subject, flows: &[Flow]) -> Arc<Answers> {
        let configs: Vec<&SystemConfig> = self.0.systems.all().map(|system| system.config()).collect();
        let plan = Plan::of(&subject, flows, &configs);
        if plan.chains.is_empty() {
            return Arc::new(Answers { answers: Vec::new(), cut: plan.cut });
        }
        let kept = self.kept(subject);
        // Where whoever began to ask goes away, the next one who waits asks.
        let asked = kept.get_or_init(|| async {
            let answers = Arc::new(self.ask_all(plan).await);
            (Instant::now(), answers)
        });
        Arc::clone(&asked.await.1)
    }

    fn kept(&self, subject: Subject) -> Cell {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|one| one.answers.get().is_none_or(|(done, _)| now < *done + KEPT));
        if let Some(one) = kept.iter().find(|one| one.subject == subject) {
            return Arc::clone(&one.answers);
        }
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        let answers = Cell::default();
        kept.push(Kept { subject, answers: Arc::clone(&answers) });
        answers
    }

    async fn ask_all(&self, plan: Plan) -> Answers {
        let until = Instant::now() + WHOLE;
        let Plan { chains, mut cut } = plan;
        let Ok(_turn) = timeout_at(until, self.0.turns.acquire()).await else {
            let busy = format!("{AT_ONCE} other keys are asked for at this moment");
            let answers = chains.iter().flat_map(Chain::blanks).map(|blank| cannot_tell(blank, &busy)).collect();
            return Answers { answers, cut };
        };
        let mut asked = JoinSet::new();
        for (place, chain) in chains.into_iter().enumerate() {
            let inside = Arc::clone(&self.0);
            asked.spawn(async move { (place, inside.follow(chain, until).await) });
        }
        let mut told = Vec::new();
        while let Some(one) = asked.join_next().await {
            // A chain tells of its own panics.
            told.extend(one.ok());
        }
        told.sort_by_key(|(place, _)| *place);
        let mut answers = Vec::new();
        for (_, one) in told {
            answers.extend(one.answers);
            cut.extend(one.cut);
        }
        // What a step came to first, then what lies dead; by system within.
        answers.sort_by_key(|answer| WAYS.iter().position(|way| *way == answer.way));
        Answers { answers, cut }
    }
}

impl Inside {
    /// One system asked one thing after the other. Whatever its client does, there is an answer, and by then.
    async fn follow(self: &Arc<Inside>, chain: Chain, until: Instant) -> Answers {
        let blanks = chain.blanks();
        let name = chain.system.clone();
        let mut asked = JoinSet::new();
        let inside = Arc::clone(self);
        asked.spawn(async move {
            match chain.way {
                plan::Way::Questions(questions) => inside.put(&chain.system, questions, until).await,
                plan::Way::DeadLetters(sought) => inside.dig(&chain.system, &sought, until).await,
                plan::Way::Messages(places, sought) => inside.glance(&chain.system, places, &sought, until).await,
            }
        });
        // What it is asked in has ended by then; only a client that never lets others have their turn comes here.
        let told = timeout_at(until + Duration::from_secs(1), asked.join_next()).await;
        let why = match told {
            Ok(Some(Ok(mut told))) => {
                told.answers.iter_mut().for_each(|answer| self.complete(&name, answer));
                return told;
            }
            Ok(_) => "asking it ended by a bug; its message stands in our log",
            Err(_) => "it was not done in time",
        };
        let mut answers: Vec<SystemAnswer> = blanks.into_iter().map(|blank| cannot_tell(blank, why)).collect();
        answers.iter_mut().for_each(|answer| self.complete(&name, answer));
        Answers { answers, cut: Vec::new() }
    }

    /// Nothing that an answer says shows a secret.
    fn complete(&self, system: &str, answer: &mut SystemAnswer) {
        let address = self.systems.get(system).map(|system| &system.config().address);
        let redaction = self.desk.redaction();
        let safe = |text: &str| {
            let text = redaction.text(text);
            shown::line(&address.map_or(text.clone(), |address| address.without_secrets(&text)), shown::MAX_SAID)
        };
        answer.kind = address.map(|address| address.kind().name().to_owned()).unwrap_or_default();
        answer.says = safe(&answer.says);
        answer.question = answer.question.as_deref().map(safe);
    }

    fn config(&self, system: &str) -> Option<&SystemConfig> {
        self.systems.get(system).map(|system| system.config())
    }
}

/// An answer that is none, and why.
fn cannot_tell(blank: SystemAnswer, why: &str) -> SystemAnswer {
    let says = format!("cannot tell: {}", first_line(why));
    let asked_at = if blank.asked_at.is_empty() { now() } else { blank.asked_at.clone() };
    SystemAnswer { standing: "cannot_tell".to_owned(), says, asked_at, ..blank }
}

/// Without the hint, which is for whoever configures.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn now() -> String {
    when::rfc3339(wall_clock())
}

/// What of the configuration's further questions cannot be asked, and why, a sentence each.
pub fn mistakes(configs: &[SystemConfig], flows: &[Flow], sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for config in configs {
        for question in &config.trace {
            let name = format!("`systems.{}.trace`: `{}`", config.name, question.name);
            let checked = sources.find(&config.name).and_then(|source| match source.confirm() {
                Some(confirm) => confirm.check(&question.ask),
                None => Ok(()),
            });
            found.extend(checked.err().map(|why| format!("{name} is not asked: {why}")));
            let Some(flow) = &question.flow else { continue };
            // One that is learned later may be meant.
            let Some(flow) = flows.iter().find(|known| known.name == *flow) else { continue };
            let has_hop = |hop: &String| flow.steps.iter().any(|step| step.name == *hop);
            if let Some(hop) = question.hop.as_ref().filter(|hop| !has_hop(hop)) {
                found.push(format!("{name}: no step of flow `{}` is called `{hop}`", flow.name));
            }
        }
    }
    found
}
