//! One order followed end to end: by its key, by a trace id, or by a message's id.
//!
//! Read in this order: [`terms`] (what a request mentions), [`indexer`] (the thread that notes it), [`archive`] (log
//! and index as they are read), `search` (which requests to read), `scan` (which of their records), `tree`, `gap` and
//! `passage` (the answer), [`inquiry`] (what systems say that are asked themselves), [`rows`] and [`scale`] (the answer as terminal and page draw it). What an answer is stands in
//! [`truegreen_model::passage`]. Nothing here runs on the engine's thread but the question for journeys.

pub mod archive;
mod gap;
pub mod indexer;
pub mod inquiry;
mod passage;
pub mod rows;
pub mod scale;
mod scan;
mod search;
mod shown;
pub mod terms;
mod tree;
pub(crate) mod when;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use truegreen_engine::Engine;
use truegreen_model::flow::{Flow, Key};
use truegreen_model::observation::Evidence;
use truegreen_model::passage::{GapReport, PassageReport};
use truegreen_model::report::JourneyDetail;
use truegreen_store::Reader;
use truegreen_store::index::Options;

use self::archive::Archive;
use self::indexer::Indexer;
use self::inquiry::Inquiry;
use self::inquiry::subject::Subject;
use self::passage::{Known, hex_trace};
use self::scan::Lens;
use self::search::Search;
use self::shown::Shown;
use self::terms::Names;
use crate::config::Data;
use crate::run_loop::{self, Unavailable};

/// Most journeys of one answer.
const MAX_JOURNEYS: usize = 16;
/// Look-ups that read at the same time; others wait. Each may hold some tens of MiB.
const AT_ONCE: usize = 4;
/// The longest text that anything is looked up by.
pub const MAX_ASKED_BYTES: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No flow has this name.
    #[error("no flow is called {0:?}")]
    UnknownFlow(String),
    /// Beyond [`MAX_ASKED_BYTES`].
    #[error("more than {MAX_ASKED_BYTES} bytes are asked for")]
    TooLong,
    /// The engine does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Whether nothing is known of what was asked for, by telemetry or by any system.
pub fn is_empty(report: &PassageReport) -> bool {
    let has_answer = report.answers.iter().any(|answer| answer.standing == "found");
    report.journeys.is_empty() && report.spans.is_empty() && report.logs.is_empty() && !has_answer
}

/// A question to the engine: the journeys of these flows and keys.
pub type Pairs = Vec<(String, String)>;

/// Finds passages in the log. It knows the contracts, and asks an engine for the rest.
#[derive(Debug)]
pub struct Passages {
    flows: Vec<Flow>,
    lens: Lens,
    /// By flow, for a look-up in that flow only.
    by_flow: Vec<Names>,
    archive: Option<Archive>,
    retention: Duration,
}

/// What tells a journey from all others.
fn identity(detail: &JourneyDetail) -> (String, String, String) {
    let journey = &detail.journey;
    (journey.flow.clone(), journey.key.clone(), journey.entered_at.clone())
}

/// What an engine says to [`Pairs`].
#[derive(Default, Debug)]
pub struct Journeys(Known);

impl Journeys {
    /// Asks this engine.
    pub fn of(engine: &Engine, pairs: &Pairs) -> Journeys {
        let all = pairs.iter().flat_map(|(flow, text)| engine.journeys_of(flow, text));
        // Two names of one journey lead to it twice.
        let once: BTreeMap<_, _> = all.map(|detail| (identity(&detail), detail)).collect();
        let mut journeys: Vec<JourneyDetail> = once.into_values().collect();
        journeys.sort_by_cached_key(|detail| when::nanos(&detail.journey.entered_at));
        let more = journeys.len().saturating_sub(MAX_JOURNEYS);
        journeys.drain(..more);
        let services = if journeys.is_empty() { Vec::new() } else { engine.services() };
        Journeys(Known { journeys, more_journeys: more as u64, services })
    }

    fn add(&mut self, further: Journeys) {
        self.0.more_journeys += further.0.more_journeys;
        for detail in further.0.journeys {
            if self.0.journeys.iter().any(|own| identity(own) == identity(&detail)) {
                continue;
            }
            if self.0.journeys.len() < MAX_JOURNEYS {
                self.0.journeys.push(detail);
            } else {
                self.0.more_journeys += 1;
            }
        }
        self.0.services = further.0.services;
    }
}

impl Passages {
    /// For these flows; without a log only what the engine remembers is found.
    pub fn new(flows: Vec<Flow>, archive: Option<Archive>, retention: Duration) -> Passages {
        let keys: Vec<_> = flows.iter().map(|flow| (flow.name.clone(), Names::new(terms::key_names(flow)))).collect();
        let by_flow = keys.iter().map(|(_, names)| names.clone()).collect();
        let lens = Lens { names: Names::of(&flows), keys, shown: Shown::of(&flows) };
        Passages { flows, lens, by_flow, archive, retention }
    }

    /// Everything that is known of a key, a trace id or a message id; in one flow only, where one is named. Blocks.
    ///
    /// # Errors
    /// [`Error`], and what `ask` fails with.
    pub fn find(
        &self,
        asked: &str,
        flow: Option<&str>,
        ask: &mut dyn FnMut(Pairs) -> Result<Journeys, Unavailable>,
    ) -> Result<PassageReport, Error> {
        self.find_named(asked, flow, ask).map(|(report, _)| report)
    }

    /// As [`find`](Passages::find), with the flows and keys that the log names.
    fn find_named(
        &self,
        asked: &str,
        flow: Option<&str>,
        ask: &mut dyn FnMut(Pairs) -> Result<Journeys, Unavailable>,
    ) -> Result<(PassageReport, Pairs), Error> {
        if asked.len() > MAX_ASKED_BYTES {
            return Err(Error::TooLong);
        }
        let lens = self.lens_of(flow)?;
        let flows = || self.flows.iter().filter(|own| flow.is_none_or(|name| own.name == name));
        let trace = trace_id(asked);
        let mut pairs: Pairs = flows().map(|flow| (flow.name.clone(), asked.to_owned())).collect();
        if let Some(id) = trace.map(hex_trace).filter(|id| *id != asked) {
            pairs.extend(flows().map(|flow| (flow.name.clone(), id.clone())));
        }
        let mut journeys = ask(pairs)?;
        let is_known = !journeys.0.journeys.is_empty();

        let mut search = Search::default();
        search.text(asked);
        trace.into_iter().for_each(|id| search.trace(id));
        self.read(&mut search, &journeys, &lens);
        let found_as = found_as(&search, &journeys, trace, &self.flows);

        let own = &search.catch.keys;
        // A consumer's trace may name the order only by its link to the producer's.
        let keys = if own.is_empty() { &search.catch.linked_keys } else { own }.clone();
        // By a trace or a message one asks for the order that it belongs to.
        if !is_known || trace.is_some() {
            let mut pairs: Pairs = keys.iter().cloned().collect();
            let keyed_by_trace = || flows().filter(|flow| flow.key == Key::TraceId);
            for id in &search.wanted.traces {
                pairs.extend(keyed_by_trace().map(|flow| (flow.name.clone(), hex_trace(*id))));
            }
            if !pairs.is_empty() {
                journeys.add(ask(pairs)?);
                keys.iter().for_each(|(_, key)| search.text(key));
                self.read(&mut search, &journeys, &lens);
            }
        }
        let is_known = !journeys.0.journeys.is_empty();
        let mut report = passage::report(asked, journeys.0, &search, &self.flows, self.retention);
        report.found_as = found_as;
        report.notes = self.notes(&search, is_known, &report);
        Ok((report, keys.into_iter().collect()))
    }

    /// How attributes are read; in one flow only its own key names count.
    fn lens_of(&self, flow: Option<&str>) -> Result<Lens, Error> {
        let Some(name) = flow else { return Ok(self.lens.clone()) };
        let at = self.lens.keys.iter().position(|(own, _)| own == name);
        let at = at.ok_or_else(|| Error::UnknownFlow(name.to_owned()))?;
        let keys = vec![self.lens.keys[at].clone()];
        Ok(Lens { names: self.by_flow[at].clone(), keys, shown: self.lens.shown.clone() })
    }

    fn read(&self, search: &mut Search, journeys: &Journeys, lens: &Lens) {
        for seen in journeys.0.journeys.iter().flat_map(|detail| &detail.seen) {
            search.evidence(Evidence { sequence: seen.sequence, offset: seen.offset });
            seen.trace_id.as_deref().and_then(trace_id).into_iter().for_each(|id| search.trace(id));
        }
        if let Some(archive) = &self.archive {
            search.run(archive, lens);
        }
    }

    fn notes(&self, search: &Search, is_known: bool, report: &PassageReport) -> Vec<String> {
        let mut notes = Vec::new();
        if self.archive.is_none() {
            notes.push(
                "no log is kept here (`--no-data`): only what the engine remembers is shown, no other spans and no log \
                 lines"
                    .to_owned(),
            );
        }
        if !is_known && report.found_as.iter().any(|how| how == "key") {
            notes.push(
                "no journey of this key is in memory any more, and so no verdict: ended ones are forgotten after \
                 `retention`"
                    .to_owned(),
            );
        }
        if search.behind > 0 {
            notes.push(format!("the index is {} requests behind: what arrived last is missing here", search.behind));
        }
        notes.extend(search.faults.iter().cloned());
        notes
    }

    /// Whether there is a log, and how the index of it stands.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }
}

fn found_as(search: &Search, journeys: &Journeys, trace: Option<u128>, flows: &[Flow]) -> Vec<String> {
    let is_keyed_by_trace =
        |detail: &JourneyDetail| flows.iter().any(|flow| flow.name == detail.journey.flow && flow.key == Key::TraceId);
    let by_key = search.catch.named_as_key || journeys.0.journeys.iter().any(|detail| !is_keyed_by_trace(detail));
    let by_trace = trace.is_some_and(|id| {
        search.catch.spans.values().any(|span| span.trace == id)
            || search.catch.logs.values().any(|log| log.trace == id)
            || journeys.0.journeys.iter().any(is_keyed_by_trace)
    });
    let found = [(by_key, "key"), (by_trace, "trace_id"), (search.catch.named_as_message, "message_id")];
    found.into_iter().filter(|(so, _)| *so).map(|(_, how)| how.to_owned()).collect()
}

/// Reads 32 hex digits, or a whole `traceparent`.
fn trace_id(text: &str) -> Option<u128> {
    let digits = match text.split('-').collect::<Vec<_>>()[..] {
        [version, id, span, flags] if (version.len(), span.len(), flags.len()) == (2, 16, 2) => id,
        _ => text,
    };
    let is_id = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u128::from_str_radix(digits, 16).ok().filter(|id| is_id && *id != 0)
}

/// Begins to follow a log; where none is kept there is nothing to follow.
pub(crate) fn follow(
    data: Option<&Data>,
    reader: Option<Reader>,
    flows: &[Flow],
) -> std::io::Result<(Option<Archive>, Option<Indexer>)> {
    let Some((data, reader)) = data.zip(reader) else { return Ok((None, None)) };
    let options = Options { min_free_bytes: data.min_free_bytes, ..Options::default() };
    let (archive, indexer) = Indexer::start(reader, &data.dir.join("index"), options, Names::of(flows))?;
    Ok((Some(archive), Some(indexer)))
}

/// Look-ups as pages and API ask for them. Cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    passages: Arc<Passages>,
    run: run_loop::Handle,
    turns: Arc<Semaphore>,
    inquiry: Option<Inquiry>,
}

impl Lookup {
    /// Looks things up in this log and engine.
    pub fn new(passages: Passages, run: run_loop::Handle) -> Lookup {
        Lookup { passages: Arc::new(passages), run, turns: Arc::new(Semaphore::new(AT_ONCE)), inquiry: None }
    }

    /// And asks systems, too.
    #[must_use]
    pub fn asking(self, inquiry: Inquiry) -> Lookup {
        Lookup { inquiry: Some(inquiry), ..self }
    }

    /// See [`Passages::find`]; with what systems say of it, where they are to be asked.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn trace(&self, asked: String, flow: Option<String>, asks: bool) -> Result<PassageReport, Error> {
        let (mut report, named) = self.search(asked, flow.clone()).await?;
        let Some(inquiry) = self.inquiry.as_ref().filter(|_| asks) else { return Ok(report) };
        let flows = &self.passages.flows;
        let subject = Subject::of(&report, &named, flow.as_deref(), flows);
        let told = inquiry.ask(subject, flows).await;
        report.answers.clone_from(&told.answers);
        report.cut.extend(told.cut.iter().cloned());
        report.conclusion = inquiry::conclusion::of(&report);
        Ok(report)
    }

    async fn search(&self, asked: String, flow: Option<String>) -> Result<(PassageReport, Pairs), Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Unavailable)?;
        let (passages, run) = (Arc::clone(&self.passages), self.run.clone());
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            let _turn = turn;
            let mut ask = |pairs: Pairs| runtime.block_on(run.ask(move |engine| Journeys::of(engine, &pairs)));
            passages.find_named(&asked, flow.as_deref(), &mut ask)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Unavailable)?
    }

    /// The gaps of these journeys.
    pub fn gaps(
        &self,
        journeys: &[JourneyDetail],
        services: &[truegreen_model::report::ServiceReport],
    ) -> Vec<GapReport> {
        gap::gaps(journeys, &self.passages.flows, services)
    }

    /// See [`Passages::archive`].
    pub fn archive(&self) -> Option<&Archive> {
        self.passages.archive()
    }
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn trace_ids_are_known_by_their_form() {
        let id = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        assert_eq!(trace_id("0af7651916cd43dd8448eb211c80319c"), Some(id));
        assert_eq!(trace_id("0AF7651916CD43DD8448EB211C80319C"), Some(id));
        assert_eq!(trace_id("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), Some(id));
        for other in [
            "",
            "ord-1",
            "0af7651916cd43dd8448eb211c80319",
            "+af7651916cd43dd8448eb211c80319c",
            "0000000000000000000000000000000000000000",
        ] {
            assert_eq!(trace_id(other), None, "{other}");
        }
        assert_eq!(trace_id(&"0".repeat(32)), None);
    }
}
