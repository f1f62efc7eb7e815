//! Kills the real server under load, round after round: `cargo xtask crash --rounds N [--from R] [--seed S]`. What
//! its senders know to be acknowledged is held against the books after each restart. The last line is a summary; the
//! exit status is 0 only when nothing was lost, doubled or changed.
//!
//! Read in this order: `orders` (what is sent, and what is known of it), `line` (how), `post` (a sender), `served` (the
//! server), `place` (its folder and disk), `check` (what must be true), `campaign` (round after round).
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command, which runs in the real time")]

mod campaign;
mod check;
mod line;
mod orders;
mod place;
mod post;
mod served;

use std::path::PathBuf;
use std::process::ExitCode;

use campaign::Campaign;

const USAGE: &str = "crash --server PROGRAM [--rounds N] [--from R] [--seed S] [--commit NAME]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1).cloned());
    let number = |flag: &str, otherwise: u64| value(flag).map_or(Some(otherwise), |value| value.parse().ok());
    let (Some(server), Some(rounds), Some(from), Some(seed)) =
        (value("--server"), number("--rounds", 20), number("--from", 0), number("--seed", 1))
    else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    let commit = value("--commit").unwrap_or_else(|| "an unnamed commit".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let told = runtime.and_then(|runtime| {
        let mut campaign = Campaign::new(PathBuf::from(server), seed);
        let done = runtime.block_on(async {
            tokio::select! {
                done = campaign.run(from, rounds) => Some(done),
                () = asked_to_end() => None,
            }
        });
        match done {
            Some(done) => done.map(|()| campaign),
            None => Err(std::io::Error::other(format!("ended; go on with --from {}", campaign.next(from)))),
        }
    });
    match told {
        Ok(campaign) => {
            println!("{}", campaign.summary(rounds, &commit));
            if campaign.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("crash: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Servers and disks are tidied away then.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await);
}

/// The time of day.
fn now() -> truegreen_model::time::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    truegreen_model::time::Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
