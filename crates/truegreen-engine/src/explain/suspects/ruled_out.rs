//! What was looked at and is not the cause.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::suspect::RuledOut;

use super::super::recording::Name;
use super::Found;
use super::cases::FAILING;
use super::credit::{Account, Label};
use super::measure::Measure;

/// Services, instances and symptoms told one by one; the rest is one line.
const TOLD: usize = 12;

pub(super) fn ruled_out(found: &Found<'_>, ranked: &[(u32, Label)]) -> Vec<RuledOut> {
    let named: BTreeSet<Label> = ranked.iter().map(|(_, label)| *label).collect();
    let mut out = symptoms(found, &named);
    let deviating: BTreeSet<Name> = found.accounts.keys().filter_map(|label| service(found, *label)).collect();
    out.extend(other_instances(found, ranked));
    out.extend(unchanged(found, &deviating));
    out
}

fn service(found: &Found<'_>, label: Label) -> Option<Name> {
    match label {
        Label::Leaves(place) => found.ways.places.get(place as usize).map(|place| place.service),
        Label::Slow(group) => found.slow.get(group as usize).map(|slow| slow.service),
        Label::Loop(point) => service(found, Label::Leaves(found.ways.points.get(point as usize)?.place)),
    }
}

fn place(found: &Found<'_>, label: Label) -> String {
    let of = match label {
        Label::Leaves(place) => Some(place),
        Label::Loop(point) => found.ways.points.get(point as usize).map(|point| point.place),
        Label::Slow(_) => None,
    };
    let place = of.and_then(|place| found.ways.places.get(place as usize));
    let service = service(found, label).map_or("", |service| found.text(service));
    match place {
        Some(place) if place.operation != Name::EMPTY => format!("`{}` of {service}", found.text(place.operation)),
        _ => service.to_owned(),
    }
}

/// What deviates, and is explained by something else.
fn symptoms(found: &Found<'_>, named: &BTreeSet<Label>) -> Vec<RuledOut> {
    let mut weak: Vec<(&Label, &Account)> =
        found.accounts.iter().filter(|(label, account)| !named.contains(label) && account.shown > 0).collect();
    weak.sort_by_key(|(label, account)| (std::cmp::Reverse(account.shown), **label));
    let told = weak.into_iter().take(TOLD).map(|(label, account)| {
        let by = account.explained_by.iter().max_by_key(|(by, n)| (**n, std::cmp::Reverse(**by)));
        let why = match by {
            Some((by, n)) if by != label => format!(
                "deviates in {} failing requests, and in {n} of them {} deviated below or before it",
                account.shown,
                place(found, *by)
            ),
            _ => {
                format!("deviates in {} failing requests, no more than chance once others are explained", account.shown)
            }
        };
        RuledOut { what: place(found, *label), why }
    });
    told.collect()
}

/// Other instances of the slow services.
fn other_instances(found: &Found<'_>, ranked: &[(u32, Label)]) -> Vec<RuledOut> {
    let mut out = Vec::new();
    for (_, label) in ranked {
        let Label::Slow(group) = label else { continue };
        let slow = &found.slow[*group as usize];
        let Some(own) = slow.instance else { continue };
        let mut compared: BTreeMap<Name, u32> = BTreeMap::new();
        for tested in &found.pace.tested {
            if let Measure::Own(place, instance) = found.pace.measures[tested.what as usize]
                && place.service == slow.service
                && instance != own
            {
                *compared.entry(instance).or_default() += 1;
            }
        }
        let blamed: BTreeSet<Name> = found.slow.iter().filter_map(|slow| slow.instance).collect();
        for (instance, n) in compared.into_iter().filter(|(instance, _)| !blamed.contains(instance)).take(TOLD) {
            out.push(RuledOut {
                what: format!("instance {} of {}", found.text(instance), found.text(slow.service)),
                why: format!("its {n} operations take as long as they did"),
            });
        }
    }
    out
}

/// Services at which nothing deviates.
fn unchanged(found: &Found<'_>, deviating: &BTreeSet<Name>) -> Vec<RuledOut> {
    let mut requests: BTreeMap<Name, [u32; 2]> = BTreeMap::new();
    for case in 0..found.cases.all.len() {
        let side = usize::from(usize::from(found.cases.sides[case]) == FAILING);
        let walks = found.ways.walks[found.ways.of_case[case].clone()].iter();
        let services: BTreeSet<Name> = walks.map(|walk| found.ways.places[walk.place as usize].service).collect();
        services.into_iter().for_each(|service| requests.entry(service).or_default()[side] += 1);
    }
    let mut events: BTreeMap<Name, u32> = BTreeMap::new();
    for tested in &found.structure.tested {
        let place = found.ways.points[tested.what.point() as usize].place;
        *events.entry(found.ways.places[place as usize].service).or_default() += 1;
    }
    let mut times: BTreeMap<Name, u32> = BTreeMap::new();
    for tested in &found.pace.tested {
        if let Measure::Own(place, _) = found.pace.measures[tested.what as usize] {
            *times.entry(place.service).or_default() += 1;
        }
    }
    let mut left: Vec<(Name, [u32; 2])> = requests
        .into_iter()
        .filter(|(service, [normal, failing])| !deviating.contains(service) && *normal > 0 && *failing > 0)
        .collect();
    left.sort_by_key(|(service, [_, failing])| (std::cmp::Reverse(*failing), *service));
    let more = left.len().saturating_sub(TOLD);
    let mut out: Vec<RuledOut> = left
        .into_iter()
        .take(TOLD)
        .map(|(service, [normal, failing])| {
            let n = |of: &BTreeMap<Name, u32>| of.get(&service).copied().unwrap_or(0);
            let why = format!(
                "nothing of it differs beyond chance: {} comparisons of events and {} of times, over {normal} normal and {failing} failing requests",
                n(&events),
                n(&times)
            );
            RuledOut { what: found.text(service).to_owned(), why }
        })
        .collect();
    if more > 0 {
        out.push(RuledOut {
            what: format!("{more} more services"),
            why: "nothing of them differs beyond chance".to_owned(),
        });
    }
    out
}
