//! Suspects in words, with their numbers.

use std::collections::BTreeMap;

use truegreen_model::suspect::{Certainty, Diagnosis, Suspect, SuspectKind};

use super::super::recording::{LeftOut, Name};
use super::cases::{Cases, FAILING};
use super::chance::{self, Sides};
use super::credit::{Account, Label};
use super::pace::Measure;
use super::structure::{Change, says_error};
use super::ways::{Item, Place, place_of};
use super::{Found, ruled_out};

/// Examples of failing requests.
const EXAMPLES: usize = 3;
/// Slow operations that are told one by one.
const TOLD: usize = 3;
/// What all services take longer by, from which on it is told.
const TOLD_LOAD: f64 = 0.1;
/// Odds of a hundred to one that failing requests gather at one instance by more than chance.
const GATHERED: f64 = 4.6;

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

struct Told {
    service: Option<Name>,
    instance: Option<Name>,
    operation: Option<Name>,
    kind: SuspectKind,
    log_event: Option<String>,
    missing_after: Option<String>,
    instead: Option<String>,
    evidence: Vec<String>,
}

impl Told {
    fn at(place: Place, kind: SuspectKind) -> Told {
        Told {
            service: Some(place.service),
            instance: None,
            operation: Some(place.operation),
            kind,
            log_event: None,
            missing_after: None,
            instead: None,
            evidence: Vec::new(),
        }
    }
}

impl Found<'_> {
    pub(super) fn text(&self, name: Name) -> &str {
        self.cases.recording.text(name)
    }

    /// An event as its author called it.
    fn event(&self, point: u32) -> String {
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

    fn item(&self, point: u32) -> Item {
        self.ways.points.get(point as usize).map_or(Item::Start, |point| point.item)
    }

    /// Shares of failing and normal requests that show this change.
    fn shares(&self, change: Change) -> (f64, f64) {
        let tested = self.structure.tested.iter().find(|tested| tested.what == change);
        tested.map_or((0.0, 0.0), |tested| tested.shares)
    }

    fn is_seen(&self, service: Name) -> bool {
        let cases = self.cases;
        let failing = (0..cases.all.len()).filter(|case| usize::from(cases.sides[*case]) == FAILING);
        failing
            .flat_map(|case| self.ways.of_case[case].clone())
            .any(|walk| self.ways.places[self.ways.walks[walk].place as usize].service == service)
    }
}

fn leaves(found: &Found<'_>, place_id: u32, account: &Account) -> Told {
    let place = found.ways.places[place_id as usize];
    let mut changes: Vec<(Change, u32)> = account.changes.iter().map(|(change, n)| (*change, *n)).collect();
    // The most frequent first; of those alike what says most: a log line or an exception before a mere status.
    let says = |change: Change| u8::from(found.item(change.point()) == Item::Failed);
    changes.sort_by_key(|(change, n)| (std::cmp::Reverse(*n), says(*change), *change));
    let missing = changes.iter().map(|(change, _)| *change).find(|change| matches!(change, Change::Missing { .. }));
    let new = changes.iter().map(|(change, _)| *change).find(|change| matches!(change, Change::New { .. }));
    if new.is_some_and(|new| found.item(new.point()) == Item::Orphaned) {
        return no_return(found, place_id);
    }
    let bad = changes.iter().any(|(change, _)| matches!(change, Change::New { point, .. } if says_error(found.cases.recording, found.item(*point))));
    let kind = match () {
        () if bad => SuspectKind::Error,
        () if missing.is_some() => SuspectKind::MissingEvent,
        () => SuspectKind::NewEvent,
    };
    let mut told = Told::at(place, kind);
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    if let Some(change) = missing {
        let (event, after, (now, before)) =
            (found.event(change.point()), found.event(change.after()), found.shares(change));
        told.evidence.push(format!(
            "after \"{after}\" \"{event}\" is missing in {} of the requests that get there (normally {})",
            percent(now),
            percent(before)
        ));
        told.log_event = Some(event);
        told.missing_after = Some(after);
    }
    if let Some(change) = new {
        let (event, after, (now, before)) =
            (found.event(change.point()), found.event(change.after()), found.shares(change));
        told.evidence.push(format!(
            "\"{event}\" comes in {} of the requests that get here (normally {})",
            percent(now),
            percent(before)
        ));
        match missing {
            Some(_) => told.instead = Some(event),
            None => (told.log_event, told.missing_after) = (Some(event), Some(after)),
        }
    }
    vanished(found, place, missing, &mut told);
    told
}

/// A call whose other side does not show is the other side's.
fn vanished(found: &Found<'_>, place: Place, missing: Option<Change>, told: &mut Told) {
    let Some(Item::Child(service, operation)) = missing.map(|change| found.item(change.point())) else { return };
    let silent = service != place.service && (place.is_client() || !found.is_seen(service));
    if silent {
        told.kind = SuspectKind::Vanished;
        let caller = format!("it is called by `{}` of {}", found.text(place.operation), found.text(place.service));
        (told.service, told.operation) = (Some(service), Some(operation));
        told.evidence.push(caller);
    }
}

/// Whoever usually calls what lost its caller never ended.
fn no_return(found: &Found<'_>, place_id: u32) -> Told {
    let place = found.ways.places[place_id as usize];
    let spans = found.cases.recording.spans();
    let mut callers: BTreeMap<Place, u32> = BTreeMap::new();
    for case in (0..found.cases.all.len()).filter(|case| usize::from(found.cases.sides[*case]) != FAILING) {
        for walk in &found.ways.walks[found.ways.of_case[case].clone()] {
            let span = walk.span.filter(|_| walk.place == place_id).map(|at| &spans[at as usize]);
            if let Some(parent) = span.and_then(|span| span.parent) {
                *callers.entry(place_of(&spans[parent as usize])).or_default() += 1;
            }
        }
    }
    let caller = callers.iter().max_by_key(|(place, n)| (**n, std::cmp::Reverse(**place))).map(|(place, _)| *place);
    let mut told = Told::at(caller.unwrap_or(place), SuspectKind::NoReturn);
    told.evidence.push(format!(
        "what it called (`{}` of {}) shows, it does not: it never ended, or its span was lost",
        found.text(place.operation),
        found.text(place.service)
    ));
    told
}

fn slow(found: &Found<'_>, group: u32) -> Told {
    let slow = &found.slow[group as usize];
    let mut told = Told::at(Place { service: slow.service, operation: Name::EMPTY, role: 0 }, slow.kind);
    told.operation = slow.operation;
    told.instance = slow.instance;
    for measure in slow.measures.iter().take(TOLD) {
        let Some(size) = found.pace.sizes.get(measure) else { continue };
        let what = match found.pace.measures[*measure as usize] {
            Measure::Own(place, _) => format!("`{}`'s own work", found.text(place.operation)),
            Measure::Way((from, _), (to, _)) => {
                format!("the way from {} to {} and back", found.text(from), found.text(to))
            }
            Measure::Repeats(_) => continue,
        };
        let (middle, slowest) = (size.middle, size.slowest);
        told.evidence.push(format!(
            "{what} takes {} instead of {} (the slowest tenth more than {} instead of {})",
            time(middle.1),
            time(middle.0),
            time(slowest.1),
            time(slowest.0)
        ));
    }
    told.evidence.push(format!(
        "slow beyond chance there: {} of {} operations and calls that were compared",
        slow.measures.len(),
        slow.compared
    ));
    told
}

fn repeats(found: &Found<'_>, point: u32) -> Told {
    let of = found.ways.points[point as usize];
    let mut told = Told::at(found.ways.places[of.place as usize], SuspectKind::Loop);
    let event = found.event(point);
    let id = found.pace.measures.iter().position(|measure| *measure == Measure::Repeats(point));
    if let Some(size) = id.and_then(|id| found.pace.sizes.get(&(id as u32))) {
        told.evidence.push(format!(
            "\"{event}\" comes {:.0} times in one request instead of {:.0} (in a tenth of them {:.0} times instead of {:.0})",
            size.middle.1, size.middle.0, size.slowest.1, size.slowest.0
        ));
    }
    told.log_event = Some(event);
    told
}

/// The instance, where failing requests gather at one, or there is only one.
fn instance(found: &Found<'_>, told: &mut Told, label: Label, account: &Account) {
    if matches!(told.kind, SuspectKind::Vanished | SuspectKind::NoReturn) {
        return;
    }
    let place = match label {
        Label::Leaves(place) => place,
        Label::Loop(point) => found.ways.points[point as usize].place,
        Label::Slow(_) => return,
    };
    let mut all: BTreeMap<Name, f64> = BTreeMap::new();
    for case in (0..found.cases.all.len()).filter(|case| usize::from(found.cases.sides[*case]) == FAILING) {
        let walks = found.ways.walks[found.ways.of_case[case].clone()].iter().filter(|walk| walk.place == place);
        walks.for_each(|walk| *all.entry(walk.instance).or_default() += 1.0);
    }
    let mut here: BTreeMap<Name, f64> = BTreeMap::new();
    for (_, walk) in &account.failing {
        *here.entry(found.ways.walks[*walk as usize].instance).or_default() += 1.0;
    }
    let Some((top, n)) = here.iter().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(a.0))) else { return };
    let (of, total) = (account.failing.len() as f64, all.values().sum::<f64>());
    let passing = all.get(top).copied().unwrap_or(0.0);
    if all.len() == 1 {
        told.instance = Some(*top);
        return;
    }
    let elsewhere = Sides { failing: passing, failing_shown: *n, normal: total - passing, normal_shown: of - n };
    if chance::weight(&[elsewhere]) >= GATHERED && 2.0 * n >= of {
        told.instance = Some(*top);
        told.evidence.push(format!(
            "{n:.0} of these {of:.0} are at instance {}, through which {passing:.0} of {total:.0} pass",
            found.text(*top)
        ));
    }
}

fn trace_id(found: &Found<'_>, case: u32) -> Option<String> {
    let trace = found.cases.traces(case as usize).next()?;
    Some(format!("{:032x}", trace.id))
}

/// Nanoseconds as people say them.
pub(super) fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n >= 1e9 => (n / 1e9, "s"),
        n if n >= 1e6 => (n / 1e6, "ms"),
        n => (n / 1e3, "\u{b5}s"),
    };
    if value >= 99.5 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}
