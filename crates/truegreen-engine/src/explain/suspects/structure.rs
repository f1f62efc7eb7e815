//! What is missing, and what is new: the events of each place against what is usual there.
//!
//! An event is *missing after* another one if requests pass the other without passing it. What comes behind the missing
//! one is missing too, and no finding of its own, since it is only looked for where its own predecessor was passed.
//! An event is *new* if more requests than usual that come to the place pass it. Mere order is no difference: what is
//! done side by side comes in any.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::recording::{Name, Recording};
use super::cases::{ALL, Cases, FAILING, Stratum, Tally};
use super::chance::{self, Sides};
use super::ways::{Item, Ways};

/// Part of an event's occurrences that must follow another for that to be a predecessor: of five at most.
const OFTEN: f64 = 0.2;
/// Normal requests that must have shown what is to be called missing.
const SEEN: u32 = 5;

/// How requests leave their way at a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Change {
    /// The second point no longer follows the first.
    Missing { after: u32, point: u32 },
    /// The second is new, and mostly follows the first.
    New { after: u32, point: u32 },
}

impl Change {
    pub(super) fn after(self) -> u32 {
        match self {
            Change::Missing { after, .. } | Change::New { after, .. } => after,
        }
    }

    pub(super) fn point(self) -> u32 {
        match self {
            Change::Missing { point, .. } | Change::New { point, .. } => point,
        }
    }
}

/// A change with its weight, and the weight of the same between the halves of normal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tested<K> {
    pub(super) what: K,
    /// Whether it says by itself that something failed.
    pub(super) is_error: bool,
    pub(super) weight: f64,
    pub(super) natural: f64,
    /// Share of the requests on the failing side that come by and show it, and of the normal ones.
    pub(super) shares: (f64, f64),
}

/// All comparisons of events.
#[derive(Debug, Default)]
pub(super) struct Structure {
    pub(super) tested: Vec<Tested<Change>>,
}

/// Which points a case passes, without clearing a list for each.
pub(super) struct Passed {
    stamps: Vec<u32>,
    case: u32,
    points: Vec<u32>,
}

impl Passed {
    pub(super) fn new(ways: &Ways) -> Passed {
        Passed { stamps: vec![0; ways.points.len()], case: 0, points: Vec::new() }
    }

    pub(super) fn case(&mut self, case: usize, ways: &Ways) {
        self.case = case as u32 + 1;
        self.points.clear();
        for walk in &ways.walks[ways.of_case[case].clone()] {
            for step in ways.steps(walk) {
                let stamp = &mut self.stamps[step.point as usize];
                if *stamp != self.case {
                    *stamp = self.case;
                    self.points.push(step.point);
                }
            }
        }
    }

    pub(super) fn has(&self, point: u32) -> bool {
        self.stamps[point as usize] == self.case
    }
}

pub(super) fn compare(cases: &Cases<'_>, ways: &Ways) -> Structure {
    let mut passed = Passed::new(ways);
    let mut at_place: Tally<u32> = Tally::new();
    let mut at_point: Tally<u32> = Tally::new();
    let mut places = Vec::new();
    for case in 0..cases.all.len() {
        let (stratum, side) = (cases.strata[case], cases.sides[case]);
        passed.case(case, ways);
        passed.points.iter().for_each(|point| at_point.add(*point, stratum, side));
        places.clear();
        places.extend(ways.walks[ways.of_case[case].clone()].iter().map(|walk| walk.place));
        places.sort_unstable();
        places.dedup();
        places.iter().for_each(|place| at_place.add(*place, stratum, side));
    }
    let follows = Follows::of(cases, ways);
    let mut structure = Structure::default();
    structure.missing(cases, ways, &at_point, &follows, &mut passed);
    structure.new_ones(cases, ways, &at_place, &at_point, &follows);
    structure
}

/// What follows what, counted on both sides.
struct Follows {
    /// For each point its predecessors, the most frequent first, with how often: in normal, in failing.
    normal: HashMap<u32, Vec<(u32, u32)>, FixedState>,
    failing: HashMap<u32, Vec<(u32, u32)>, FixedState>,
}

impl Follows {
    fn of(cases: &Cases<'_>, ways: &Ways) -> Follows {
        let mut counts: HashMap<(u32, u32), [u32; 2], FixedState> = HashMap::default();
        for case in 0..cases.all.len() {
            let failing = usize::from(usize::from(cases.sides[case]) == FAILING);
            for walk in &ways.walks[ways.of_case[case].clone()] {
                for pair in ways.steps(walk).windows(2) {
                    counts.entry((pair[0].point, pair[1].point)).or_default()[failing] += 1;
                }
            }
        }
        let side = |side: usize| {
            let mut before: HashMap<u32, Vec<(u32, u32)>, FixedState> = HashMap::default();
            for ((from, to), count) in counts.iter().filter(|(pair, count)| count[side] > 0 && pair.0 != pair.1) {
                before.entry(*to).or_default().push((*from, count[side]));
            }
            before.values_mut().for_each(|list| list.sort_unstable_by_key(|(from, n)| (std::cmp::Reverse(*n), *from)));
            before
        };
        Follows { normal: side(0), failing: side(1) }
    }

    /// After which points it usually comes.
    fn usual(&self, point: u32) -> impl Iterator<Item = u32> + '_ {
        let before = self.normal.get(&point).map_or(&[][..], |list| list.as_slice());
        let all: u32 = before.iter().map(|(_, n)| n).sum();
        before.iter().filter(move |(_, n)| f64::from(*n) >= OFTEN * f64::from(all)).map(|(from, _)| *from)
    }
}

impl Structure {
    fn missing(
        &mut self,
        cases: &Cases<'_>,
        ways: &Ways,
        at_point: &Tally<u32>,
        follows: &Follows,
        passed: &mut Passed,
    ) {
        // For each point those that may be missing after it.
        let mut candidates: HashMap<u32, Vec<u32>, FixedState> = HashMap::default();
        for (id, point) in ways.points.iter().enumerate() {
            let [first, second, _] = at_point.get(id as u32, ALL);
            if is_event(point.item) && first + second >= SEEN {
                follows.usual(id as u32).for_each(|after| candidates.entry(after).or_default().push(id as u32));
            }
        }
        let mut absent: Tally<(u32, u32)> = Tally::new();
        for case in 0..cases.all.len() {
            passed.case(case, ways);
            for after in &passed.points {
                for point in candidates.get(after).into_iter().flatten().filter(|point| !passed.has(**point)) {
                    absent.add((*after, *point), cases.strata[case], cases.sides[case]);
                }
            }
        }
        for (after, point) in absent.keys() {
            let counted = |stratum| (at_point.get(after, stratum), absent.get((after, point), stratum));
            self.tested.extend(tested(cases, Change::Missing { after, point }, counted));
        }
    }

    fn new_ones(
        &mut self,
        cases: &Cases<'_>,
        ways: &Ways,
        at_place: &Tally<u32>,
        at_point: &Tally<u32>,
        follows: &Follows,
    ) {
        for (id, point) in ways.points.iter().enumerate() {
            let id = id as u32;
            if !is_event(point.item) && !matches!(point.item, Item::Failed | Item::Orphaned) {
                continue;
            }
            let Some((after, _)) = follows.failing.get(&id).and_then(|list| list.first()) else { continue };
            let counted = |stratum| (at_place.get(point.place, stratum), at_point.get(id, stratum));
            let test = tested(cases, Change::New { after: *after, point: id }, counted);
            let is_error = says_error(cases.recording, point.item);
            self.tested.extend(test.map(|test| Tested { is_error, ..test }));
        }
    }
}

/// What says by itself that something failed.
pub(super) fn says_error(recording: &Recording, item: Item) -> bool {
    match item {
        Item::Failed | Item::Log(_, true) => true,
        Item::Event(name, kind) => kind != Name::EMPTY || recording.text(name) == "exception",
        _ => false,
    }
}

fn is_event(item: Item) -> bool {
    matches!(item, Item::Log(..) | Item::Child(..) | Item::Event(..) | Item::Answer(_))
}

/// `counted` gives how many of each side come by in requests of a kind, and how many of these show it.
fn tested(
    cases: &Cases<'_>,
    what: Change,
    counted: impl Fn(Stratum) -> ([u32; 3], [u32; 3]),
) -> Option<Tested<Change>> {
    let (n, shown) = counted(ALL);
    if n[FAILING] == 0 || n[0] + n[1] == 0 {
        return None;
    }
    let (strata, halves) = strata(cases, &counted);
    let share = |shown: u32, n: u32| f64::from(shown) / f64::from(n.max(1));
    let shares = (share(shown[FAILING], n[FAILING]), share(shown[0] + shown[1], n[0] + n[1]));
    Some(Tested { what, is_error: false, weight: chance::weight(&strata), natural: chance::weight(&halves), shares })
}

/// The same by kind of request: failing against normal, and the second half of normal against the first. Of kinds that
/// normal hardly knows, failing ones are held against normal ones of all kinds.
pub(super) fn strata(
    cases: &Cases<'_>,
    counted: &impl Fn(Stratum) -> ([u32; 3], [u32; 3]),
) -> (Vec<Sides>, Vec<Sides>) {
    let (mut strata, mut halves) = (Vec::new(), Vec::new());
    let mut unknown = Sides::default();
    for stratum in 0..cases.of_stratum.len() as Stratum {
        let (n, shown) = counted(stratum);
        let f = |n: u32| f64::from(n);
        halves.push(Sides { failing: f(n[1]), failing_shown: f(shown[1]), normal: f(n[0]), normal_shown: f(shown[0]) });
        if cases.is_known(stratum) {
            let (normal, normal_shown) = (f(n[0] + n[1]), f(shown[0] + shown[1]));
            strata.push(Sides { failing: f(n[FAILING]), failing_shown: f(shown[FAILING]), normal, normal_shown });
        } else {
            unknown.failing += f(n[FAILING]);
            unknown.failing_shown += f(shown[FAILING]);
        }
    }
    if unknown.failing > 0.0 {
        let (n, shown) = counted(ALL);
        unknown.normal = f64::from(n[0] + n[1]);
        unknown.normal_shown = f64::from(shown[0] + shown[1]);
        strata.push(unknown);
    }
    (strata, halves)
}
