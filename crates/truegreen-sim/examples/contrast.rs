//! Tables with planted causes, and who names them exactly: `cargo xtask contrast`. Prints a line for each setting and a
//! summary as its last line; the exit status is 0 only where every setting holds.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command, which says how long it took")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use truegreen_engine::explain::contrast::{Options, Table, contrast};
use truegreen_model::contrast::Contrast;
use truegreen_sim::tables::baselines::{adtributor, share_difference};
use truegreen_sim::tables::judge::judge;
use truegreen_sim::tables::kind::Kind;
use truegreen_sim::tables::report::{HEAD, Line};
use truegreen_sim::tables::world::World;

const USAGE: &str = "contrast [--seeds N] [--from S] [--setting PART] [--tell] [--export DIR]";

struct Wish {
    seeds: u64,
    from: u64,
    setting: String,
    /// Misses are told one by one.
    is_telling: bool,
    /// Where tables are written to, for other programs.
    export: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(wish) = wish(&words) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("{HEAD}");
    let (mut settings, mut held, mut tables, mut exact) = (0, 0, 0, 0);
    for kind in Kind::all().into_iter().filter(|kind| kind.name().contains(&wish.setting)) {
        let line = run(kind, &wish);
        println!("{}", line.text());
        settings += 1;
        held += usize::from(line.holds());
        tables += line.own.len();
        exact += line.own.iter().filter(|one| one.is_exact).count();
    }
    println!("\n{held} of {settings} settings hold, {exact} of {tables} tables exact");
    if held == settings { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wish(words: &[String]) -> Option<Wish> {
    let mut wish = Wish { seeds: 20, from: 0, setting: String::new(), is_telling: false, export: None };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--tell" => wish.is_telling = true,
            "--seeds" => wish.seeds = words.next()?.parse().ok()?,
            "--from" => wish.from = words.next()?.parse().ok()?,
            "--setting" => words.next()?.clone_into(&mut wish.setting),
            "--export" => wish.export = Some(words.next()?.into()),
            _ => return None,
        }
    }
    Some(wish)
}

fn run(kind: Kind, wish: &Wish) -> Line {
    let mut line =
        Line { kind, own: Vec::new(), adtributor: Vec::new(), share_difference: Vec::new(), seconds: Vec::new() };
    // A million rows take long to make, not to explain.
    let seeds = if line.kind.is_long() { wish.seeds.div_ceil(10) } else { wish.seeds };
    for seed in wish.from..wish.from + seeds {
        let Some(world) = line.kind.world(seed) else { continue };
        let table = world.table();
        let (found, seconds) = timed(&table);
        line.seconds.push(seconds);
        let answer: Vec<_> = found.explanations.iter().map(|one| one.conditions.clone()).collect();
        let judged = judge(&world, &answer);
        if wish.is_telling && !judged.is_exact {
            println!("  seed {seed}, {} rows, {} attributes: {}", world.rows(), world.values.len(), found.summary);
            let planted = world.causes.iter().map(|cause| World::title(cause)).collect::<Vec<_>>();
            println!("    planted: {}", planted.join(" | "));
            for one in &found.explanations {
                println!(
                    "    told: {} ({} of {}, elsewhere {:.5}, p {:.1e})",
                    one.title(),
                    one.failing,
                    one.attempts,
                    one.rate_outside,
                    one.p_value
                );
            }
        }
        if let Some(folder) = &wish.export {
            export(folder, line.kind.name(), seed, &world);
        }
        line.own.push(judged);
        line.adtributor.push(judge(&world, &adtributor::answer(&world)));
        line.share_difference.push(judge(&world, &share_difference::answer(&world)));
    }
    line
}

/// The answer, and the seconds that it takes: the best of three, since others on the machine only make it slower.
fn timed(table: &Table) -> (Contrast, f64) {
    let once = || {
        let started = Instant::now();
        let found = contrast(table, &Options::default());
        (found, started.elapsed().as_secs_f64())
    };
    let (found, first) = once();
    let least = (0..2).map(|_| once().1).fold(first, f64::min);
    (found, least)
}

/// The table beside its truth.
fn export(folder: &std::path::Path, setting: &str, seed: u64, world: &World) {
    let name = setting.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let causes: Vec<Vec<_>> =
        world.causes.iter().map(|cause| World::title(cause).split(" and ").map(str::to_owned).collect()).collect();
    let truth = serde_json::json!({ "setting": setting, "seed": seed, "causes": causes });
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(folder.join(format!("{name}-{seed}.csv")), world.csv()))
        .and_then(|()| std::fs::write(folder.join(format!("{name}-{seed}.json")), truth.to_string()));
    if let Err(error) = written {
        println!("cannot write into {}: {error}", folder.display());
    }
}
