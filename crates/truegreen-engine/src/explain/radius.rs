//! How far a failure reaches: all or a subset, and by which users, tenants, regions, versions, hosts and flows.

use std::collections::{BTreeMap, BTreeSet};

use statrs::distribution::{ChiSquared, ContinuousCDF};
use truegreen_model::diagnosis::{Dimension, Radius, Spread};

use super::onset::percent;

/// One request: whether it fails, and the values of its attributes.
#[derive(Clone, Debug, Default)]
pub struct Reached<'r> {
    /// Whether it fails.
    pub is_failing: bool,
    /// Attribute and value.
    pub values: BTreeSet<(&'r str, &'r str)>,
}

/// What is known beside the requests that are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// All that fail.
    pub keys: u64,
    /// Share of their like that fails.
    pub share: Option<f64>,
}

/// Values shown of one attribute.
const MAX_WORST: usize = 10;
/// Attributes shown.
const MAX_DIMENSIONS: usize = 12;
/// Values of fewer requests are looked at together: the G-test is no better than its smallest cells.
const FEWEST: u64 = 5;
/// As improbable as this, over all attributes together, is not by chance.
const BY_CHANCE: f64 = 0.01;

/// By users, tenants, regions, versions, hosts and flows, and over all of it.
pub fn radius(reached: &[Reached<'_>], counted: Counted) -> Radius {
    let attributes: BTreeSet<&str> = reached.iter().flat_map(|one| &one.values).map(|(name, _)| *name).collect();
    let attributes: Vec<&str> = attributes.into_iter().filter(|name| sort(name).is_some()).collect();
    let tests = attributes.len().max(1) as f64;
    let mut dimensions: Vec<Dimension> =
        attributes.iter().map(|attribute| dimension(reached, attribute, BY_CHANCE / tests)).collect();
    dimensions.retain(|dimension| dimension.failing_values > 0);
    dimensions.sort_by(|a, b| a.p_value.total_cmp(&b.p_value).then_with(|| a.attribute.cmp(&b.attribute)));
    dimensions.truncate(MAX_DIMENSIONS);
    let users = users(reached);
    let is_subset = dimensions.iter().any(|dimension| dimension.reach == "subset");
    let reach = match counted {
        Counted { keys: 0, .. } => "cannot tell",
        Counted { keys: 1, .. } => "single",
        // Where nothing of the kind goes well, there is no subset that it could be.
        Counted { share: Some(share), .. } if share >= 0.95 => "all",
        _ if is_subset => "subset",
        Counted { share: Some(_), .. } => "subset",
        _ => "cannot tell",
    };
    let says = says(reach, counted, users, &dimensions);
    Radius { reach: reach.to_owned(), keys: counted.keys, share: counted.share, users, dimensions, says }
}

/// What an attribute is about, by OpenTelemetry's names and by the last words of anybody's.
fn sort(attribute: &str) -> Option<&'static str> {
    // Of a resource the service stands behind it: `service.version of inventory`.
    let name = attribute.split_once(" of ").map_or(attribute, |(name, _)| name).to_ascii_lowercase();
    let words: Vec<&str> = name.split(['.', '_', '-']).collect();
    let has = |sought: &[&str]| words.iter().any(|word| sought.contains(word));
    if has(&["user", "enduser", "customer", "account", "member"]) {
        Some("user")
    } else if has(&["tenant", "organization", "organisation", "org", "workspace"]) {
        Some("tenant")
    } else if has(&["region", "zone", "datacenter", "country"]) {
        Some("region")
    } else if name == "service.version" || name == "app.version" || name == "deployment.id" {
        Some("version")
    } else if has(&["host", "node", "pod", "instance"]) {
        Some("host")
    } else if name == "flow" {
        Some("flow")
    } else {
        None
    }
}

/// Different users among failing ones, by the attribute that names most of them.
fn users(reached: &[Reached<'_>]) -> Option<u64> {
    let mut by_attribute: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in reached.iter().filter(|one| one.is_failing).flat_map(|one| &one.values) {
        if matches!(sort(name), Some("user" | "tenant")) {
            by_attribute.entry(name).or_default().insert(value);
        }
    }
    by_attribute.values().map(|values| values.len() as u64).max()
}

fn dimension(reached: &[Reached<'_>], attribute: &str, by_chance: f64) -> Dimension {
    let mut values: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for one in reached {
        for (_, value) in one.values.iter().filter(|(name, _)| *name == attribute) {
            let (failing, all) = values.entry(value).or_default();
            *failing += u64::from(one.is_failing);
            *all += 1;
        }
    }
    let p_value = uneven(values.values().copied());
    let failing_values = values.values().filter(|(failing, _)| *failing > 0).count() as u64;
    let mut worst: Vec<Spread> = values
        .iter()
        .map(|(value, (failing, all))| Spread { value: (*value).to_owned(), failing: *failing, compared: *all })
        .collect();
    let rate = |spread: &Spread| spread.failing as f64 / spread.compared as f64;
    worst.sort_by(|a, b| {
        rate(b).total_cmp(&rate(a)).then(b.failing.cmp(&a.failing)).then_with(|| a.value.cmp(&b.value))
    });
    worst.truncate(MAX_WORST);
    let is_told = values.values().filter(|(_, all)| *all >= FEWEST).count() >= 2;
    let reach = match is_told {
        true if p_value < by_chance => "subset",
        true => "all",
        false => "cannot tell",
    };
    let values = values.len() as u64;
    Dimension { attribute: attribute.to_owned(), reach: reach.to_owned(), failing_values, values, p_value, worst }
}

/// The probability of shares that differ so much by chance: a G-test with Williams' correction, rare values together.
fn uneven(cells: impl Iterator<Item = (u64, u64)>) -> f64 {
    let (common, rare): (Vec<_>, Vec<_>) = cells.partition(|(_, all)| *all >= FEWEST);
    let mut cells = common;
    let rare = rare.into_iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    if rare.1 > 0 {
        cells.push(rare);
    }
    let (failing, all) = cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    if cells.len() < 2 || failing == 0 || failing == all {
        return 1.0;
    }
    let (all, share) = (all as f64, failing as f64 / all as f64);
    let part = |seen: f64, expected: f64| if seen > 0.0 { seen * (seen / expected).ln() } else { 0.0 };
    let g: f64 = cells
        .iter()
        .map(|(failing, of)| {
            let (failing, of) = (*failing as f64, *of as f64);
            2.0 * (part(failing, of * share) + part(of - failing, of * (1.0 - share)))
        })
        .sum();
    let freedom = (cells.len() - 1) as f64;
    let spread: f64 = cells.iter().map(|(_, of)| all / *of as f64).sum::<f64>() - 1.0;
    let williams = 1.0 + (1.0 / share + 1.0 / (1.0 - share) - 1.0) * spread / (6.0 * all * freedom);
    ChiSquared::new(freedom).map_or(1.0, |chi| chi.sf(g / williams))
}

fn says(reach: &str, counted: Counted, users: Option<u64>, dimensions: &[Dimension]) -> String {
    let keys = match counted.keys {
        1 => "one request or journey fails".to_owned(),
        keys => format!("{keys} requests or journeys fail"),
    };
    let share = counted.share.map(|share| format!(", {} of their like", percent(share))).unwrap_or_default();
    let users = match users {
        Some(1) => ", all of one user".to_owned(),
        Some(users) => format!(", of at least {users} users"),
        None => String::new(),
    };
    let where_they_are = match reach {
        "all" => "no kind of them is spared".to_owned(),
        "subset" => match dimensions.first().filter(|first| first.reach == "subset") {
            Some(first) => {
                let names: Vec<String> = first.worst.iter().take(3).filter(|one| one.failing > 0).map(spread).collect();
                format!("unevenly by `{}`: {}", first.attribute, names.join(", "))
            }
            None => "a subset, evenly over hosts, versions, regions and users as far as these are told".to_owned(),
        },
        "single" => "a single one shows no pattern".to_owned(),
        _ => "how many of their like go well is not known".to_owned(),
    };
    format!("{keys}{share}{users}; {where_they_are}")
}

fn spread(one: &Spread) -> String {
    format!("{} ({} of {})", one.value, one.failing, one.compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached<'r>(failing: u64, healthy: u64, values: &[(&'r str, &'r str)]) -> Vec<Reached<'r>> {
        let one = |is_failing| Reached { is_failing, values: values.iter().copied().collect() };
        (0..failing).map(|_| one(true)).chain((0..healthy).map(|_| one(false))).collect()
    }

    #[test]
    fn a_failure_in_one_region_is_a_subset_by_region_and_even_over_hosts() {
        let mut all = Vec::new();
        for host in ["a", "b", "c"] {
            all.extend(reached(20, 20, &[("cloud.region", "west"), ("host.name", host)]));
            all.extend(reached(0, 60, &[("cloud.region", "east"), ("host.name", host)]));
        }
        let radius = radius(&all, Counted { keys: 60, share: Some(0.2) });
        assert_eq!((radius.reach.as_str(), radius.dimensions.len()), ("subset", 2));
        assert_eq!((&*radius.dimensions[0].attribute, &*radius.dimensions[0].reach), ("cloud.region", "subset"));
        assert_eq!((&*radius.dimensions[1].attribute, &*radius.dimensions[1].reach), ("host.name", "all"));
        assert!(radius.says.contains("unevenly by `cloud.region`: west (60 of 120)"), "{}", radius.says);
    }

    #[test]
    fn users_are_counted_and_a_total_failure_has_no_subset() {
        let mut all = Vec::new();
        for user in ["u1", "u2", "u3"] {
            all.extend(reached(2, 0, &[("user.id", user)]));
        }
        let radius = radius(&all, Counted { keys: 6, share: Some(1.0) });
        assert_eq!((radius.reach.as_str(), radius.users), ("all", Some(3)));
        assert!(radius.says.starts_with("6 requests or journeys fail, all of their like, of at least 3 users"));
    }

    #[test]
    fn few_requests_tell_nothing_of_their_spread() {
        let mut all = reached(2, 0, &[("host.name", "a")]);
        all.extend(reached(0, 2, &[("host.name", "b")]));
        let radius = radius(&all, Counted { keys: 2, share: None });
        assert_eq!((radius.reach.as_str(), radius.dimensions[0].reach.as_str()), ("cannot tell", "cannot tell"));
    }

    #[test]
    fn what_an_attribute_is_about_is_told_by_its_words() {
        let expected = [
            ("user.id", Some("user")),
            ("app.customer_id", Some("user")),
            ("service.version of inventory", Some("version")),
            ("k8s.pod.name of inventory", Some("host")),
            ("cloud.availability_zone", Some("region")),
            ("http.route", None),
        ];
        for (name, of) in expected {
            assert_eq!(sort(name), of, "{name}");
        }
    }
}
