//! An engine driven through what happens, its books checked after every input.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_engine::{Effect, Engine, Input, Options, Request};
use truegreen_model::confirmation::{Answer, Confirmation, Question};
use truegreen_model::flow::Flow;
use truegreen_model::report::Report;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Signal, check};

use crate::otlp;
use crate::reference::books::{Books, Line};
use crate::reference::clock::Correction;
use crate::telemetry::{Content, EPOCH, Happening};

/// How often time passes where nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// One engine on its way through a world.
pub struct Run {
    /// The engine.
    pub engine: Engine,
    /// All that it asked for, with the time.
    pub effects: Vec<(Timestamp, Effect)>,
    /// What was kept of it, by key, as of its last checkpoint.
    pub kept: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Accepted requests of spans, as a log holds them.
    traces: Vec<(u64, Timestamp, Vec<u8>)>,
    taken: usize,
    sequence: u64,
    now: Timestamp,
    /// Who is asked, if anybody is.
    systems: Option<Systems>,
    /// Answers on their way, by when they come.
    coming: BTreeMap<(Timestamp, usize), (Confirmation, String)>,
    /// Every question that was asked, and when.
    pub asked: Vec<(Timestamp, Question)>,
    /// Every answer that came, when, and for which key.
    pub answered: Vec<(Timestamp, Confirmation, String)>,
}

/// What systems answer to a question that is asked then, and how long they take.
pub type Systems = Box<dyn FnMut(&Question, Timestamp) -> (Duration, Answer)>;

/// What the engine keeps of itself may be asked for.
fn options() -> Options {
    Options { keeps_changes: true, ..Options::default() }
}

/// How a journey stands by the engine's report.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Standing {
    /// Flow name.
    pub flow: String,
    /// The key's text.
    pub key: String,
    /// Entry.
    pub entered_at: Timestamp,
    /// Verdict as in reports.
    pub verdict: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Last step seen.
    pub after: Option<String>,
    /// Owed to what a system answered.
    pub confirmed: bool,
}

impl Run {
    /// A new engine at [`EPOCH`].
    pub fn new(flows: Vec<Flow>) -> Run {
        Run {
            traces: Vec::new(),
            engine: Engine::new(flows, options()),
            effects: Vec::new(),
            kept: BTreeMap::new(),
            taken: 0,
            sequence: 0,
            now: EPOCH,
            systems: None,
            coming: BTreeMap::new(),
            asked: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// The same, with systems that can be asked.
    pub fn asking(mut self, systems: Systems) -> Run {
        self.systems = Some(systems);
        self
    }

    /// The same, to which these answers come, whoever asked for them.
    pub fn told(mut self, answers: impl IntoIterator<Item = (Timestamp, Confirmation, String)>) -> Run {
        let numbered = answers.into_iter().enumerate();
        self.coming = numbered.map(|(n, (at, confirmation, key))| ((at, n), (confirmation, key))).collect();
        self
    }

    /// What happens until `end`, from where it was left off, then time passes until then.
    ///
    /// # Errors
    /// Where the books do not balance after some input (INV-BOOKS-1): when, and which line; or a request is refused.
    pub fn through(&mut self, happenings: &[(Timestamp, Happening)], end: Timestamp) -> Result<(), String> {
        while let Some((at, happening)) = happenings.get(self.taken).filter(|(at, _)| *at <= end) {
            self.taken += 1;
            self.take(*at, happening)?;
        }
        let down_since = match happenings.get(self.taken) {
            Some((_, Happening::Resumed { down_since })) => *down_since,
            _ => end,
        };
        self.pass(end.min(down_since))
    }

    /// One thing happens; until then time passes second by second, save while we were down.
    ///
    /// # Errors
    /// As [`Run::through`].
    pub fn take(&mut self, at: Timestamp, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Accepted(content) => {
                self.pass(at)?;
                let body = otlp::encode(content);
                self.sequence += 1;
                let request = Request { sequence: self.sequence, body: &body };
                let (signal, input) = match content {
                    Content::Spans(_) => (Signal::Traces, Input::Traces(request)),
                    Content::Logs(_) => (Signal::Logs, Input::Logs(request)),
                    Content::Metrics(_) => (Signal::Metrics, Input::Metrics(request)),
                };
                check(signal, &body, &Limits::default()).map_err(|error| format!("at {}: {error}", offset(at)))?;
                self.apply(at, input)?;
                if signal == Signal::Traces {
                    self.traces.push((self.sequence, at, body));
                }
                Ok(())
            }
            Happening::Refused { service, instance } => {
                self.pass(at)?;
                let instance = instance.as_deref();
                self.apply(at, Input::Refused { service, instance })
            }
            Happening::Resumed { down_since } => {
                self.pass(*down_since)?;
                self.now = self.now.max(at);
                let down_since = *down_since;
                self.apply(at, Input::Resumed { down_since })?;
                self.ask_again();
                Ok(())
            }
        }
    }

    /// From now on these contracts are in force.
    ///
    /// # Errors
    /// As [`Run::through`].
    pub fn revise(&mut self, flows: &[Flow]) -> Result<(), String> {
        self.apply(self.now, Input::Contracts(flows))
    }

    /// Keeps what changed since the last time.
    pub fn checkpoint(&mut self) {
        let kept = &mut self.kept;
        self.engine.checkpoint(&mut |key, value| match value {
            Some(value) => drop(kept.insert(key.to_vec(), value.to_vec())),
            None => drop(kept.remove(key)),
        });
    }

    /// The engine is gone, and another takes its place by what was kept of it.
    ///
    /// # Errors
    /// Where that gives no engine.
    pub fn restart(&mut self) -> Result<(), String> {
        let records = self.kept.clone().into_iter();
        let restored = Engine::restore(options(), records);
        self.engine = restored.map_err(|error| error.to_string())?;
        let from = self.engine.recalls_from().unwrap_or(u64::MAX);
        for (sequence, at, body) in self.traces.iter().filter(|(sequence, ..)| *sequence >= from) {
            self.engine.recall(*at, Input::Traces(Request { sequence: *sequence, body }));
        }
        self.ask_again();
        Ok(())
    }

    /// Who was to answer is gone.
    fn ask_again(&mut self) {
        self.coming.clear();
        for question in self.engine.unanswered() {
            self.ask(self.now, question);
        }
    }

    fn ask(&mut self, at: Timestamp, question: Question) {
        if let Some(systems) = &mut self.systems {
            let (takes, answer) = systems(&question, at);
            let Question { id, flow, step, key, .. } = question.clone();
            let confirmation = Confirmation { id, flow, step, asked_at: at, answer };
            self.coming.insert((at + takes, self.asked.len()), (confirmation, key));
        }
        self.asked.push((at, question));
    }

    /// Takes the answers that come by then.
    fn hear_answers(&mut self, until: Timestamp) -> Result<(), String> {
        while let Some(first) = self.coming.first_entry().filter(|first| first.key().0 <= until) {
            let at = first.key().0.max(self.now);
            let (confirmation, key) = first.remove();
            self.answered.push((at, confirmation.clone(), key));
            self.apply(at, Input::Confirmed(&confirmation))?;
        }
        Ok(())
    }

    /// Nothing but time passes.
    ///
    /// # Errors
    /// As [`Run::through`].
    pub fn pass(&mut self, until: Timestamp) -> Result<(), String> {
        while self.now + TICK <= until {
            let next = self.now + TICK;
            self.hear_answers(next)?;
            self.now = next;
            self.apply(self.now, Input::Tick)?;
        }
        self.hear_answers(until)
    }

    fn apply(&mut self, at: Timestamp, input: Input) -> Result<(), String> {
        let effects = self.engine.apply(at, input);
        for effect in effects {
            if let Effect::Confirm(question) = &effect {
                self.ask(at, question.clone());
            }
            self.effects.push((at, effect));
        }
        books_balance(&self.engine).map_err(|line| format!("INV-BOOKS-1 at {}: {line}", offset(at)))
    }

    /// Every correction of a clock, for the reference to go by.
    pub fn corrections(&self) -> Vec<Correction> {
        let of_engine = self.engine.clock_corrections().into_iter();
        of_engine
            .map(|one| Correction {
                service: one.service,
                instance: one.instance,
                from: one.from,
                ahead_nanos: one.ahead_nanos,
                error: one.error,
            })
            .collect()
    }

    /// Every journey, by flow, key and entry.
    pub fn standings(&self) -> Vec<Standing> {
        let mut standings: Vec<Standing> = self
            .engine
            .journeys()
            .map(|journey| Standing {
                entered_at: parse(&journey.entered_at),
                flow: journey.flow,
                key: journey.key,
                verdict: journey.verdict,
                reason: journey.reason,
                after: journey.after,
                confirmed: journey.confirmed,
            })
            .collect();
        standings.sort();
        standings
    }

    /// The books by flow and minute: counts by verdict and reason, as the reference counts them; no zeroes.
    pub fn books(&self) -> Books {
        let mut books = Books::new();
        for flow in names(&self.engine) {
            for line in self.engine.minutes(&flow).unwrap_or_default() {
                let plain = [
                    ("open", line.open),
                    ("completed", line.completed),
                    ("late", line.late),
                    ("unaccounted", line.unaccounted),
                ];
                let mut counts: Line = plain.map(|(verdict, n)| ((verdict.to_owned(), None), n)).into();
                let reasoned =
                    [("rejected", line.rejected), ("dead_lettered", line.dead_lettered), ("unknown", line.unknown)];
                for (verdict, reasons) in reasoned {
                    counts.extend(reasons.into_iter().map(|(reason, n)| ((verdict.to_owned(), Some(reason)), n)));
                }
                counts.retain(|_, n| *n > 0);
                if !counts.is_empty() {
                    books.insert((flow.clone(), parse(&line.minute).minute()), counts);
                }
            }
        }
        books
    }
}

/// INV-BOOKS-1, by minute and by flow, and that the minutes add up to the flow.
fn books_balance(engine: &Engine) -> Result<(), String> {
    let report: Report = engine.report();
    for name in &names(engine) {
        let flow = report.flows.get(name).ok_or_else(|| format!("no report of flow {name}"))?;
        let decided = flow.completed
            + flow.late
            + flow.rejected.values().sum::<u64>()
            + flow.dead_lettered.values().sum::<u64>()
            + flow.unaccounted
            + flow.unknown.values().sum::<u64>();
        if flow.entered != flow.open + decided {
            return Err(format!("{name}: {flow:?}"));
        }
        let (mut entered, mut open) = (0, 0);
        for line in engine.minutes(name).unwrap_or_default() {
            let decided = line.completed
                + line.late
                + line.rejected.values().sum::<u64>()
                + line.dead_lettered.values().sum::<u64>()
                + line.unaccounted
                + line.unknown.values().sum::<u64>();
            if line.entered != line.open + decided {
                return Err(format!("{name}: {line:?}"));
            }
            entered += line.entered;
            open += line.open;
        }
        if (entered, open) != (flow.entered, flow.open) {
            return Err(format!("{name}: minutes add up to {entered} entered, {open} open; {flow:?}"));
        }
    }
    Ok(())
}

fn names(engine: &Engine) -> Vec<String> {
    engine.flows().map(|flow| flow.name.clone()).collect()
}

/// A report's RFC 3339 time; zero where it is none.
fn parse(text: &str) -> Timestamp {
    let nanos = text.parse::<jiff::Timestamp>().map(|time| time.as_nanosecond()).unwrap_or_default();
    Timestamp(u64::try_from(nanos).unwrap_or_default())
}

/// Seconds since [`EPOCH`], for people.
pub fn offset(at: Timestamp) -> String {
    format!("+{:.3}s", at.since(EPOCH).as_secs_f64())
}
