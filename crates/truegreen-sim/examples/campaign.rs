//! Every silent failure in a simulated shop, and hours of harmless noise: `cargo xtask campaign --sim`. Prints a table,
//! what was wrong in which run, and a summary as its last line; the exit status is 0 only when everything that is asked
//! for holds.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command, which says how long it took")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use truegreen_sim::campaign::fault::Fault;
use truegreen_sim::campaign::judge::judge;
use truegreen_sim::campaign::noise::Control;
use truegreen_sim::campaign::report::Campaign;
use truegreen_sim::campaign::run::{Plan, Start, Subject, live};

const USAGE: &str = "\
campaign [--seeds N] [--from S] [--rates R,R..] [--fault NAME|all|none] [--control NAME|all|none] [--minutes M] [--few] [--tell]";

/// Controls of a short campaign, one for each sort of noise that interferes most.
const FEW_CONTROLS: [Control; 3] = [Control::Calm, Control::SampledUnmarked, Control::Everything];

/// What is asked for.
struct Wish {
    seeds: u64,
    from: u64,
    rates: Vec<f64>,
    faults: Vec<Fault>,
    controls: Vec<Control>,
    minutes: u32,
    /// Each fault after some healthy minutes only.
    is_few: bool,
    /// All that was said is told.
    is_telling: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(wish) = wish(&words) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    let plans = plans(&wish);
    let started = Instant::now();
    let campaign = live_all(&plans);
    let (simulated, spans) = (campaign.runs.len(), campaign.runs.iter().map(|run| run.spans).sum::<u64>());
    println!("{}", campaign.tables());
    if wish.is_telling {
        println!("{}", campaign.said());
    }
    println!("```text\n{}```", campaign.details());
    let took = started.elapsed().as_secs_f64();
    println!("{simulated} runs, {spans} spans, {took:.0} s\n{}", campaign.summary());
    if campaign.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wish(words: &[String]) -> Option<Wish> {
    let mut wish = Wish {
        seeds: 5,
        from: 0,
        rates: vec![5.0, 20.0],
        faults: Fault::ALL.to_vec(),
        controls: Control::ALL.to_vec(),
        minutes: 60,
        is_few: false,
        is_telling: false,
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--sim" => {}
            "--tell" => wish.is_telling = true,
            "--few" => {
                wish = Wish {
                    seeds: 1,
                    rates: vec![20.0],
                    controls: FEW_CONTROLS.to_vec(),
                    minutes: 10,
                    is_few: true,
                    ..wish
                };
            }
            "--seeds" => wish.seeds = words.next()?.parse().ok()?,
            "--from" => wish.from = words.next()?.parse().ok()?,
            "--minutes" => wish.minutes = words.next()?.parse().ok()?,
            "--rates" => wish.rates = words.next()?.split(',').map(|rate| rate.parse().ok()).collect::<Option<_>>()?,
            "--fault" => wish.faults = named(words.next()?, &Fault::ALL, Fault::name)?,
            "--control" => wish.controls = named(words.next()?, &Control::ALL, Control::name)?,
            _ => return None,
        }
    }
    Some(wish)
}

fn named<T: Copy>(word: &str, all: &[T], name: fn(T) -> &'static str) -> Option<Vec<T>> {
    if matches!(word, "all" | "none") {
        return Some(if word == "all" { all.to_vec() } else { Vec::new() });
    }
    word.split(',').map(|word| all.iter().copied().find(|one| name(*one) == word)).collect()
}

/// The longest first, so that no core is idle at the end.
fn plans(wish: &Wish) -> Vec<Plan> {
    let mut plans = Vec::new();
    for control in &wish.controls {
        let subject = Subject::Control(*control, 60 * wish.minutes);
        plans.push(Plan { subject, seed: wish.from, rate: control.rate() });
    }
    for fault in &wish.faults {
        for seed in wish.from..wish.from + wish.seeds {
            for rate in &wish.rates {
                let limited = Plan { subject: Subject::Limited(*fault), seed, rate: *rate };
                plans.extend(limited.strike().map(|_| limited));
                for start in [Start::Later, Start::AtOnce].into_iter().take(if wish.is_few { 1 } else { 2 }) {
                    plans.push(Plan { subject: Subject::Fault(*fault, start), seed, rate: *rate });
                }
            }
        }
    }
    plans
}

fn live_all(plans: &[Plan]) -> Campaign {
    let next = AtomicUsize::new(0);
    let lived = Mutex::new(Vec::new());
    let work = || {
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let judged = live(*plan).map(|record| judge(&record)).map_err(|broken| format!("{plan:?}: {broken}"));
            if let Ok(mut lived) = lived.lock() {
                lived.push(judged);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut campaign = Campaign::default();
    for judged in lived.into_inner().unwrap_or_default() {
        match judged {
            Ok(run) => campaign.runs.push(run),
            Err(broken) => campaign.broken.push(broken),
        }
    }
    let place = |run: &truegreen_sim::campaign::judge::Judged| plans.iter().position(|plan| *plan == run.plan);
    campaign.runs.sort_by_key(place);
    campaign
}
