//! Tells a world from its shape: `cargo run -p truegreen-sim --example tell -- <seed> <trouble> <journey seed>...`,
//! as a failing property prints them. Contracts, who was heard from when to when, what was seen of each journey, and
//! what the reference and the engine make of it.
#![expect(clippy::print_stdout, reason = "a command")]

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::time::Timestamp;
use truegreen_sim::compare::differences;
use truegreen_sim::reference::Reference;
use truegreen_sim::reference::fact::Fact;
use truegreen_sim::run::{Run, Standing, offset};
use truegreen_sim::telemetry::EPOCH;
use truegreen_sim::world::{Shape, Trouble, World};

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let number = |word: String| word.trim_matches(',').parse::<u64>().map_err(|error| format!("{word}: {error}"));
    let seed = number(words.next().ok_or("no seed")?)?;
    let trouble = words.next().ok_or("no trouble")?;
    let trouble = Trouble::ALL.into_iter().find(|known| format!("{known:?}") == trouble).ok_or("no such trouble")?;
    let journeys = words.map(number).collect::<Result<Vec<u64>, String>>()?;
    let world = World::of(&Shape { seed, trouble, journeys });
    println!("{:#?}", world.flows);
    let reference = Reference::of_happenings(world.flows.clone(), &world.happenings);
    tell(&reference);
    let mut run = Run::new(world.flows.clone());
    live(&mut run, &world)?;
    for journey in reference.judge(world.end) {
        println!(
            "{} {} entered {}: {:?} or {:?}, {:?}",
            journey.flow,
            journey.key,
            offset(journey.entered_at),
            journey.ruling,
            journey.or_else,
            journey.hop
        );
    }
    for difference in differences(&run, &reference, &world.flows, world.end, true) {
        println!("{difference}");
    }
    Ok(())
}

/// Tells each change of a verdict within a quarter of a second.
fn live(run: &mut Run, world: &World) -> Result<(), String> {
    let mut before = Vec::new();
    let mut now = EPOCH;
    while now < world.end {
        now = now + Duration::from_millis(250);
        run.through(&world.happenings, now.min(world.end))?;
        let standings = run.standings();
        for standing in standings.iter().filter(|standing| !before.contains(*standing)) {
            let Standing { flow, key, verdict, reason, after, entered_at, .. } = standing;
            let entered = offset(*entered_at);
            println!("{} engine: {flow} {key} entered {entered}: {verdict} {reason:?} after {after:?}", offset(now));
        }
        before = standings;
    }
    Ok(())
}

fn tell(reference: &Reference) {
    let mut heard: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for (at, fact) in reference.facts() {
        match fact {
            Fact::Heard { instance, signal, .. } => {
                heard.entry(format!("{instance} {signal:?}")).or_default().push(*at)
            }
            Fact::Seen(seen) => println!(
                "{} {} flow {} {:?} {:?} {}at {} by {} {}",
                offset(*at),
                seen.key,
                seen.flow,
                seen.scope,
                seen.role,
                if seen.attempt { "attempt " } else { "" },
                offset(seen.at),
                seen.service,
                seen.identity
            ),
            Fact::Lagged { .. } => {}
            other => println!("{} {other:?}", offset(*at)),
        }
    }
    for (who, times) in heard {
        let times: Vec<String> = times.into_iter().map(offset).collect();
        println!("{who}: {}", times.join(" "));
    }
}
