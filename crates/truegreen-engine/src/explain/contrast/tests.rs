//! Small tables by hand.

use truegreen_model::contrast::Contrast;

use super::{Options, Outcome, Table, contrast};

fn titles(contrast: &Contrast) -> Vec<String> {
    contrast.explanations.iter().map(truegreen_model::contrast::Explanation::title).collect()
}

/// A thousand requests, by their number.
fn requests(is_failing: impl Fn(u32) -> bool) -> Table {
    let mut table = Table::new();
    for n in 0..1000_u32 {
        let (region, version, host) = (n % 4, n / 4 % 5, n / 20 % 10);
        let (region, version, host) = (format!("r{region}"), format!("1.{version}"), format!("h{host}"));
        let size = (n * 7919 % 1000).to_string();
        let id = format!("req-{n}");
        let rack = format!("rack-{host}");
        let row = [
            ("region", &*region),
            ("version", &*version),
            ("host", &*host),
            ("rack", &*rack),
            ("size", &*size),
            ("request.id", &*id),
        ];
        table.push(Outcome::of(is_failing(n)), row).unwrap();
    }
    table
}

#[test]
fn one_value_explains() {
    let found = contrast(&requests(|n| n % 4 == 2), &Options::default());
    assert_eq!(titles(&found), ["region = r2"]);
    assert_eq!((found.verdict.as_str(), found.failing, found.attempts), ("explained", 250, 1000));
    let one = &found.explanations[0];
    assert_eq!((one.failing_share, one.healthy_share, one.rate_inside, one.rate_outside), (1.0, 0.0, 1.0, 0.0));
    assert!(one.risk_ratio > 100.0 && one.interval[0] > 10.0 && one.p_value < 1e-100, "{one:?}");
    assert_eq!(found.ignored[0].attribute, "request.id");
}

#[test]
fn a_pair_explains_and_what_covers_the_same_rows_is_a_tie() {
    let found = contrast(&requests(|n| n % 4 == 2 && n / 20 % 10 == 3), &Options::default());
    assert_eq!(titles(&found), ["region = r2 and host = h3"]);
    let tie = &found.alternatives[0];
    assert!(tie.tie && tie.explanation.title() == "region = r2 and rack = rack-h3", "{tie:?}");
    assert_eq!(tie.instead_of, Some(0));
}

#[test]
fn a_number_is_cut_where_it_parts() {
    let found = contrast(&requests(|n| n * 7919 % 1000 > 876), &Options::default());
    assert_eq!(titles(&found), ["size > 876"]);
}

#[test]
fn three_causes_are_told_apart_from_noise() {
    let found = contrast(
        &requests(|n| n % 4 == 2 && n / 4 % 5 == 1 || n / 20 % 10 == 3 && n % 2 == 0 || n * 31 % 97 == 0),
        &Options::default(),
    );
    let mut told = titles(&found);
    told.sort();
    // Even numbers are two of the regions.
    let wanted = ["region = r0 and host = h3", "region = r2 and host = h3", "region = r2 and version = 1.1"];
    assert_eq!(told, wanted);
}

#[test]
fn what_fails_evenly_is_nothing_to_explain() {
    let found = contrast(&requests(|n| n.wrapping_mul(2_654_435_761) >> 16 & 15 == 3), &Options::default());
    assert_eq!((found.verdict.as_str(), titles(&found).len()), ("nothing to explain", 0), "{found:?}");
    assert_eq!(contrast(&requests(|_| false), &Options::default()).verdict, "nothing to explain");
    assert_eq!(contrast(&requests(|_| true), &Options::default()).verdict, "cannot tell");
}

#[test]
fn three_failures_prove_little() {
    let found = contrast(&requests(|n| [2, 202, 442].contains(&n)), &Options::default());
    assert_eq!((found.verdict.as_str(), titles(&found).len()), ("cannot tell", 0), "{found:?}");
    assert_eq!(contrast(&Table::new(), &Options::default()).verdict, "nothing to explain");
}

#[test]
fn absence_is_a_value_and_a_row_may_touch_several_hosts() {
    let mut table = Table::new();
    for n in 0..400_u32 {
        let flag = (n % 3 != 0).then_some(("flag", if n % 3 == 1 { "on" } else { "off" }));
        let hosts = [n % 5, n % 7, n % 11].map(|host| format!("h{host}"));
        let hosts = hosts.iter().map(|host| ("host", &**host));
        table.push(Outcome::of(n % 3 == 0), flag.into_iter().chain(hosts)).unwrap();
    }
    assert_eq!(titles(&contrast(&table, &Options::default())), ["flag absent"]);
    let mut table = Table::new();
    for n in 0..400_u32 {
        let hosts = [n % 5, n % 7, n % 11].map(|host| format!("h{host}"));
        let is_failing = hosts.iter().any(|host| host == "h4");
        table.push(Outcome::of(is_failing), hosts.iter().map(|host| ("host", &**host))).unwrap();
    }
    assert_eq!(titles(&contrast(&table, &Options::default())), ["host = h4"]);
}

#[test]
fn counts_of_combinations_differ_by_themselves() {
    let mut table = Table::new();
    for n in 0..240_u32 {
        let (place, network, kind) = (n % 10, n / 10 % 6, n / 60);
        // Rates of 1 to 3 % by nothing that is told; one network in one place is worse.
        let usual = 100 + u64::from(n.wrapping_mul(2_654_435_761) >> 16 & 255);
        let bad = if place == 3 && network == 2 { usual + 4_000 } else { usual };
        let (place, network, kind) = (place.to_string() + "p", network.to_string() + "n", kind.to_string() + "k");
        let row = [("place", &*place), ("network", &*network), ("kind", &*kind)];
        table.push(Outcome::counted(bad, 10_000), row).unwrap();
    }
    let found = contrast(&table, &Options::default());
    assert_eq!(titles(&found), ["place = 3p and network = 2n"], "{found:?}");
}

#[test]
fn what_always_failed_is_not_what_went_wrong() {
    let mut table = Table::new();
    for n in 0..4_000_u32 {
        let is_before = n < 2_000;
        let (region, version) = (n % 4, n / 4 % 5);
        let usual = region == 1 && n % 16 < 8;
        let is_failing = usual || !is_before && version == 2 && n % 20 < 18;
        let (region, version) = (format!("r{region}"), format!("v{version}"));
        let outcome = Outcome::of(is_failing);
        let outcome = if is_before { outcome.before() } else { outcome };
        table.push(outcome, [("region", &*region), ("version", &*version)]).unwrap();
    }
    let found = contrast(&table, &Options::default());
    assert_eq!(titles(&found)[0], "version = v2", "{found:?}");
}
