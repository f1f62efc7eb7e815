//! What is told of one suspect, by how requests leave their way.

use std::collections::BTreeMap;

use truegreen_model::suspect::SuspectKind;

use super::super::recording::Name;
use super::Found;
use super::cases::FAILING;
use super::chance::{self, Sides};
use super::credit::{Account, Label};
use super::measure::Measure;
use super::structure::{Change, says_error};
use super::ways::{Item, Place, place_of};

/// Slow operations that are told one by one.
const TOLD: usize = 3;
/// Odds of a hundred to one that failing requests gather at one instance by more than chance.
const GATHERED: f64 = 4.6;

pub(super) struct Told {
    pub(super) service: Option<Name>,
    pub(super) instance: Option<Name>,
    pub(super) operation: Option<Name>,
    pub(super) kind: SuspectKind,
    pub(super) log_event: Option<String>,
    pub(super) missing_after: Option<String>,
    pub(super) instead: Option<String>,
    pub(super) evidence: Vec<String>,
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

pub(super) fn leaves(found: &Found<'_>, place_id: u32, account: &Account) -> Told {
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

pub(super) fn slow(found: &Found<'_>, group: u32) -> Told {
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

pub(super) fn repeats(found: &Found<'_>, point: u32) -> Told {
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
pub(super) fn instance(found: &Found<'_>, told: &mut Told, label: Label, account: &Account) {
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

/// Nanoseconds as people say them.
pub(super) fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n >= 1e9 => (n / 1e9, "s"),
        n if n >= 1e6 => (n / 1e6, "ms"),
        n => (n / 1e3, "\u{b5}s"),
    };
    if value >= 99.5 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}
