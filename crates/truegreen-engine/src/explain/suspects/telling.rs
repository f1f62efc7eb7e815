//! Suspects in words, with their numbers.

use truegreen_model::suspect::{Certainty, Diagnosis, Suspect, SuspectKind};

use super::super::recording::{LeftOut, Name};
use super::cases::{Cases, FAILING};
use super::credit::{Account, Label};
use super::structure::Change;
use super::told::{instance, leaves, repeats, slow};
use super::ways::Item;
use super::{Found, ruled_out};

/// Examples of failing requests.
const EXAMPLES: usize = 3;
/// What all services take longer by, from which on it is told.
const TOLD_LOAD: f64 = 0.1;

pub(super) fn nothing_to_compare(cases: &Cases<'_>) -> Diagnosis {
    let side = if cases.totals[FAILING] == 0 { "failing" } else { "normal" };
    let summary = format!("Nothing to compare: there are no {side} requests.");
    blank(cases, Certainty::Inconclusive, summary)
}

fn blank(cases: &Cases<'_>, verdict: Certainty, summary: String) -> Diagnosis {
    let [first, second, failing] = cases.totals.map(u64::from);
    Diagnosis {
        verdict,
        summary,
        suspects: Vec::new(),
        ruled_out: Vec::new(),
        normal_requests: first + second,
        failing_requests: failing,
        comparisons: 0,
        notes: notes(cases),
    }
}

fn notes(cases: &Cases<'_>) -> Vec<String> {
    let LeftOut { spans, logs, attributes, events, links, texts, refused, broken, .. } = *cases.recording.left_out();
    let told = [
        (spans, "spans found no room"),
        (logs, "logs found no room"),
        (attributes, "attributes found no room"),
        (events, "span events found no room"),
        (links, "links found no room"),
        (texts, "texts found no room"),
        (refused, "records went beyond the limits on single records"),
        (broken, "requests could not be read to their end"),
    ];
    let mut notes: Vec<String> =
        told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}: left out")).collect();
    let loose = cases.recording.loose_logs().len();
    if loose > 0 {
        notes.push(format!("{loose} log records name no trace, so they belong to no request: compared by time only, and only for what is new"));
    }
    notes
}

pub(super) fn diagnosis(
    found: &Found<'_>,
    ranked: Vec<(u32, Label)>,
    verdict: Certainty,
    comparisons: usize,
) -> Diagnosis {
    let mut suspects = Vec::new();
    for (rank, label) in &ranked {
        let Some(account) = found.accounts.get(label) else { continue };
        let suspect = suspect(found, *rank, *label, account);
        let other_end = other_end(found, *label, &suspect);
        suspects.push(suspect);
        suspects.extend(other_end);
    }
    let tied = suspects.get(1).is_some_and(|second| second.rank == 1);
    let verdict = if tied && verdict == Certainty::Confirmed { Certainty::Likely } else { verdict };
    let summary = summary(&suspects, verdict, found.cases);
    let ruled_out = ruled_out::ruled_out(found, &ranked);
    let mut diagnosis = blank(found.cases, verdict, summary);
    if found.pace.load() >= TOLD_LOAD {
        let percent = 100.0 * found.pace.load();
        diagnosis.notes.push(format!(
            "most services take {percent:.0} % longer than normal: taken as another load, and times were compared without it"
        ));
    }
    Diagnosis { suspects, ruled_out, comparisons: comparisons as u64, ..diagnosis }
}

fn summary(suspects: &[Suspect], verdict: Certainty, cases: &Cases<'_>) -> String {
    let [first, second, failing] = cases.totals;
    let Some(top) = suspects.first() else {
        let normal = first + second;
        return format!(
            "Nothing to explain: {failing} failing requests differ from {normal} normal ones by no more than chance."
        );
    };
    let how = if verdict == Certainty::Confirmed { "The cause is" } else { "The cause is probably" };
    let others = suspects.iter().filter(|other| other.rank == 1).count() - 1;
    let tie = if others > 0 { format!(" {others} more cannot be told apart from it.") } else { String::new() };
    let requests =
        format!("{} of {failing} failing requests, {} of {} normal ones", top.failing, top.normal, first + second);
    format!("{how} in {}: {} ({requests}).{tie}", place_name(top), what(top))
}

/// What is different, in half a sentence.
fn what(suspect: &Suspect) -> String {
    let Suspect { kind, log_event, missing_after, instead, evidence, .. } = suspect;
    // Without what stands in brackets.
    let first = || evidence.first().and_then(|line| line.split(" (").next()).unwrap_or_default().to_owned();
    match (kind, log_event, missing_after, instead) {
        (SuspectKind::Error | SuspectKind::MissingEvent, Some(event), Some(after), Some(instead)) => {
            format!("after \"{after}\" comes \"{instead}\" instead of \"{event}\"")
        }
        (SuspectKind::MissingEvent, Some(event), Some(after), None) => {
            format!("\"{event}\" no longer comes after \"{after}\"")
        }
        (SuspectKind::Error | SuspectKind::NewEvent, Some(event), Some(after), None) => {
            format!("after \"{after}\" comes \"{event}\", which is new")
        }
        (SuspectKind::Vanished, Some(event), ..) => {
            format!("it is called, and \"{event}\" no longer shows")
        }
        _ => first(),
    }
}

/// `cart`, `cart (instance cart-0)`, `GET /cart of cart (instance cart-0)`.
fn place_name(suspect: &Suspect) -> String {
    let service = suspect.service.as_deref().unwrap_or("an unknown service");
    let instance = suspect.instance.as_ref().map(|instance| format!(" (instance {instance})")).unwrap_or_default();
    match &suspect.operation {
        Some(operation) => format!("`{operation}` of {service}{instance}"),
        None => format!("{service}{instance}"),
    }
}

fn suspect(found: &Found<'_>, rank: u32, label: Label, account: &Account) -> Suspect {
    let mut told = match label {
        Label::Leaves(place) => leaves(found, place, account),
        Label::Slow(group) => slow(found, group),
        Label::Loop(point) => repeats(found, point),
    };
    let [first, second, failing] = found.cases.totals;
    let requests = account.requests;
    told.evidence.push(format!(
        "{} of {failing} failing requests first leave their usual way here, {} of {} normal ones",
        requests[FAILING],
        requests[0] + requests[1],
        first + second
    ));
    if !matches!(label, Label::Slow(_)) && told.instance.is_none() {
        instance(found, &mut told, label, account);
    }
    let traces: Vec<String> =
        account.failing.iter().filter_map(|(case, _)| trace_id(found, *case)).take(EXAMPLES).collect();
    if !traces.is_empty() {
        told.evidence.push(format!("for example trace {}", traces.join(", ")));
    }
    let text = |name: Option<Name>| name.map(|name| found.text(name).to_owned()).filter(|text| !text.is_empty());
    Suspect {
        rank,
        service: text(told.service),
        instance: text(told.instance),
        operation: text(told.operation),
        log_event: told.log_event,
        missing_after: told.missing_after,
        instead: told.instead,
        kind: told.kind,
        evidence: told.evidence,
        failing: requests[FAILING].into(),
        normal: (requests[0] + requests[1]).into(),
        weight: (account.weight * 10.0).round() / 10.0,
        traces,
    }
}

/// The other end of a call that explains just as much.
fn other_end(found: &Found<'_>, label: Label, of: &Suspect) -> Option<Suspect> {
    let Label::Slow(group) = label else { return None };
    let (service, instance) = found.slow.get(group as usize)?.or?;
    let text = |name: Name| Some(found.text(name).to_owned()).filter(|text| !text.is_empty());
    Some(Suspect { service: text(service), instance: text(instance), ..of.clone() })
}

impl Found<'_> {
    pub(super) fn text(&self, name: Name) -> &str {
        self.cases.recording.text(name)
    }

    /// An event as its author called it.
    pub(super) fn event(&self, point: u32) -> String {
        let Some(point) = self.ways.points.get(point as usize) else { return String::new() };
        let place = self.ways.places[point.place as usize];
        match point.item {
            Item::Start => format!("start of {}", self.text(place.operation)),
            Item::End => format!("end of {}", self.text(place.operation)),
            Item::Failed => "status ERROR".to_owned(),
            Item::Orphaned => "start without the caller".to_owned(),
            Item::Log(text, _) => self.text(text).to_owned(),
            Item::Child(_, operation) => self.text(operation).to_owned(),
            Item::Answer(code) => format!("HTTP status {}", self.text(code)),
            Item::Event(name, Name::EMPTY) => self.text(name).to_owned(),
            Item::Event(name, kind) => format!("{} {}", self.text(name), self.text(kind)),
        }
    }

    pub(super) fn item(&self, point: u32) -> Item {
        self.ways.points.get(point as usize).map_or(Item::Start, |point| point.item)
    }

    /// Shares of failing and normal requests that show this change.
    pub(super) fn shares(&self, change: Change) -> (f64, f64) {
        let tested = self.structure.tested.iter().find(|tested| tested.what == change);
        tested.map_or((0.0, 0.0), |tested| tested.shares)
    }

    pub(super) fn is_seen(&self, service: Name) -> bool {
        let cases = self.cases;
        let failing = (0..cases.all.len()).filter(|case| usize::from(cases.sides[*case]) == FAILING);
        failing
            .flat_map(|case| self.ways.of_case[case].clone())
            .any(|walk| self.ways.places[self.ways.walks[walk].place as usize].service == service)
    }
}

fn trace_id(found: &Found<'_>, case: u32) -> Option<String> {
    let trace = found.cases.traces(case as usize).next()?;
    Some(format!("{:032x}", trace.id))
}
