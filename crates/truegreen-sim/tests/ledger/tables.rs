//! Scenario: tables with planted causes of every kind. Guarantee: a search for what is different names them exactly in at
//! least 9 of 10 tables without noise, and in 3 of 4 of all others; where nothing was planted, nothing is told.
//! The full campaign is `cargo xtask contrast`.

use truegreen_engine::explain::contrast::{Options, contrast};
use truegreen_sim::tables::judge::{Judged, judge};
use truegreen_sim::tables::kind::Kind;
use truegreen_sim::tables::setting::Setting;

/// Short tables: what takes long is a campaign.
const MOST_ROWS: usize = 6_000;
const SEEDS: u64 = 4;

fn judged(setting: &Setting) -> Vec<Judged> {
    let answer = |seed: u64| {
        let world = Kind::Plain(setting.clone()).world(seed)?;
        let found = contrast(&world.table(), &Options::default());
        let answer: Vec<_> = found.explanations.into_iter().map(|one| one.conditions).collect();
        Some(judge(&world, &answer))
    };
    (0..SEEDS).filter_map(answer).collect()
}

#[test]
fn planted_causes_are_named() {
    let (mut easy, mut hard) = (Vec::new(), Vec::new());
    for setting in Setting::all() {
        let (from, to) = (*setting.rows.start(), *setting.rows.end());
        if from > 100_000 || setting.is_beyond {
            continue;
        }
        let rows = from.min(MOST_ROWS / 2)..=to.min(MOST_ROWS);
        let short = Setting { rows, ..setting };
        if short.is_easy { easy.extend(judged(&short)) } else { hard.extend(judged(&short)) }
    }
    let share = |judged: &[Judged]| judged.iter().filter(|one| one.is_exact).count() as f64 / judged.len() as f64;
    assert!(easy.len() >= 12 && share(&easy) >= 0.9, "{} of {} without noise", share(&easy), easy.len());
    assert!(hard.len() >= 50 && share(&hard) >= 0.75, "{} of {} with noise", share(&hard), hard.len());
}

#[test]
fn the_same_table_gives_the_same_answer() {
    let setting = Setting::all().into_iter().find(|setting| setting.name.contains("20 attributes, all")).unwrap();
    let world = Kind::Plain(Setting { rows: 4_000..=4_000, ..setting }).world(3).unwrap();
    let (one, other) = (world.table(), world.table());
    assert_eq!(contrast(&one, &Options::default()), contrast(&other, &Options::default()));
}
