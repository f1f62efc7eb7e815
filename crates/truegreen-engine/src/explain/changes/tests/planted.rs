//! Planted causes among decoys.

use truegreen_model::change::RankingVerdict;

use super::super::rank::rank;
use super::town::{Hardship, town};

/// How many of these towns have their cause first, and how many of those stand out.
fn first(seeds: std::ops::Range<u64>, hard: impl Fn(u64) -> Hardship) -> (usize, usize, usize) {
    let (mut first, mut stands_out, mut all) = (0, 0, 0);
    for seed in seeds {
        let town = town(seed, hard(seed));
        let ranking = rank(&town.changes, &town.edges);
        all += 1;
        let cause = town.cause.as_deref();
        if ranking.ranking.first().map(|row| row.id.as_str()) == cause {
            first += 1;
            stands_out += usize::from(ranking.verdict == RankingVerdict::StandsOut);
        } else {
            let place = ranking.ranking.iter().position(|row| Some(row.id.as_str()) == cause);
            println!("seed {seed}: place {place:?}, {}, none {:.3}", town.story, ranking.none);
            for row in ranking
                .ranking
                .iter()
                .take(2)
                .chain(ranking.ranking.iter().filter(|row| Some(row.id.as_str()) == cause))
            {
                println!(
                    "  {} {:?} {:.3} {:?}\n    {}",
                    row.id,
                    row.service,
                    row.score,
                    row.evidence,
                    row.reasons.join("\n    ")
                );
            }
        }
    }
    (first, stands_out, all)
}

fn verdicts(seeds: std::ops::Range<u64>, hard: impl Fn(u64) -> Hardship) -> Vec<RankingVerdict> {
    seeds
        .map(|seed| {
            let town = town(seed, hard(seed));
            let ranking = rank(&town.changes, &town.edges);
            if ranking.verdict == RankingVerdict::StandsOut {
                println!("seed {seed}: {}, none {:.3}", town.story, ranking.none);
                let row = &ranking.ranking[0];
                println!("  {} {:?} {:?}\n    {}", row.id, row.score, row.evidence, row.reasons.join("\n    "));
            }
            ranking.verdict
        })
        .collect()
}

/// A number of the environment, so that more seeds than those of every day can be run.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

fn sizes(seed: u64) -> usize {
    [10, 20, 35, 50][(seed % 4) as usize]
}

#[test]
fn the_planted_change_is_first_among_decoys() {
    let (first, stands_out, all) = first(number("FROM", 1)..number("FROM", 1) + 60, |seed| Hardship {
        services: sizes(seed),
        ..Hardship::default()
    });
    println!("first {first}, standing out {stands_out}, of {all}");
    assert!(first * 10 >= all * 9, "{first} of {all}");
    assert!(stands_out * 10 >= all * 8, "{stands_out} of {all}");
}

#[test]
fn the_planted_change_is_first_in_noise_and_gaps_with_bystanders_and_fifty_decoys() {
    let hard = |seed| Hardship {
        services: sizes(seed),
        decoys: 50,
        gaps: 0.15,
        noise: 0.35,
        has_bystander: true,
        tells_requests: false,
        ..Hardship::default()
    };
    let (first, stands_out, all) = first(number("FROM", 100)..number("FROM", 100) + 40, hard);
    println!("first {first}, standing out {stands_out}, of {all}");
    assert!(first * 10 >= all * 8, "{first} of {all}");
}

/// Scenario: effects up to half an hour later, services of which no calls are told, series without versions. Guarantee: the
/// planted change is first in most cases nevertheless.
#[test]
fn the_planted_change_is_first_where_less_is_told() {
    let of = |name: &str, seeds: std::ops::Range<u64>, hard: &dyn Fn(u64) -> Hardship| {
        let (first, stands_out, all) = first(seeds, hard);
        println!("{name}: first {first}, standing out {stands_out}, of {all}");
        assert!(first * 100 >= all * 85, "{name}: {first} of {all}");
    };
    let n = number("SEEDS", 12);
    let from = number("FROM", 400);
    let plain = |seed| Hardship { services: sizes(seed), ..Hardship::default() };
    of("slow effects", from..from + n, &|seed| Hardship { slow_by: 30, ..plain(seed) });
    of("a third of the services hidden", from..from + n, &|seed| Hardship { hidden: 0.3, ..plain(seed) });
    of("no versions", from..from + n, &|seed| Hardship { tells_versions: false, ..plain(seed) });
    of("five services", from..from + n, &|seed| Hardship { services: 5, decoys: 8, ..plain(seed) });
}

#[test]
fn none_is_blamed_where_the_cause_is_no_change_or_there_is_nothing() {
    let no_change = |seed| Hardship { services: sizes(seed), is_change: false, ..Hardship::default() };
    let blamed = verdicts(number("FROM", 200)..number("FROM", 200) + 40, no_change)
        .into_iter()
        .filter(|it| *it == RankingVerdict::StandsOut)
        .count();
    println!("{blamed} of 40 blame a change wrongly");
    assert!(blamed <= 6, "{blamed} of 40");
    let nothing = |seed| Hardship { services: sizes(seed), is_faulty: false, is_change: false, ..Hardship::default() };
    let told = verdicts(number("FROM", 300)..number("FROM", 300) + 30, nothing);
    let quiet = told.iter().filter(|it| **it == RankingVerdict::NothingDegraded).count();
    println!("{quiet} of 30 say that nothing degraded");
    assert!(quiet >= 27, "{told:?}");
}

#[test]
fn the_same_evidence_in_another_order_gives_the_same_ranking() {
    let town = town(7, Hardship::default());
    let mut turned = town.changes.clone();
    turned.reverse();
    assert_eq!(rank(&town.changes, &town.edges), rank(&turned, &town.edges));
}
