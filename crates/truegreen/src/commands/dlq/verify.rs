//! Whether the first few had their effect: the books of a running server are asked, and the place is looked through for
//! letters that died again.

use std::io::{BufRead, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;
use truegreen_connect::dead_letters::headers;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;
use truegreen_model::passage::PassageReport;

use super::super::terminal;
use super::whereabouts::Spot;
use crate::dead_letters::canary::{Told, judged, told};
use crate::dead_letters::choice::Choice;
use crate::dead_letters::looking::{self, MAX_LOOKED};
use crate::dead_letters::outgoing::REDRIVE_ID;
use crate::dead_letters::redrive::{Canary, Chosen, Memory, Stage};
use crate::lookup::when;

const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// So many looks into the books to one through the place.
const LOOKS: u32 = 10;
/// How long one that fails at once takes to lie dead again, where no server tells of it.
const WITHOUT_SERVER: Duration = Duration::from_secs(10);

/// How it is verified.
pub(super) struct Verifier<'a> {
    /// Where a server may run.
    pub(super) url: &'a str,
    /// How long their effect is waited for.
    pub(super) patience: Duration,
    /// Whether a person is asked where no server tells.
    pub(super) asks: bool,
    /// Set by whoever wants it to stop.
    pub(super) interrupted: &'a AtomicBool,
}

impl Verifier<'_> {
    pub(super) async fn verify(&self, memory: &Memory, spot: &Spot<'_>) -> Canary {
        let sent: Vec<Chosen> = memory
            .sent_ones()
            .filter(|letter| letter.stage == Stage::Removed)
            .map(|letter| letter.chosen.clone())
            .collect();
        let id = memory.order.as_ref().map(|order| order.id.clone()).unwrap_or_default();
        let since = when::nanos(&memory.began_at).unwrap_or_default();
        let has_server = is_there(self.url).await;
        if has_server {
            terminal::note(&format!("{} sent; waiting for their journeys in the books of {}", sent.len(), self.url));
        }
        let began = Instant::now();
        let patience = if has_server { self.patience } else { self.patience.min(WITHOUT_SERVER) };
        for look in 0_u32.. {
            if self.interrupted.load(Ordering::Relaxed) {
                return Canary::Interrupted;
            }
            let is_over = began.elapsed() >= patience;
            let said = if has_server { ask(self.url, &sent, since).await } else { unknown(&sent) };
            let all_done = said.iter().all(|(_, told)| *told == Told::Completed);
            // Reading a place is no small thing for a broker.
            let died =
                if all_done || is_over || look % LOOKS == LOOKS - 1 { died_again(spot, &id).await } else { Ok(0) };
            let died = match died {
                Ok(died) => died,
                Err(error) => return Canary::Undecided(format!("the place cannot be read: {error}")),
            };
            match judged(&said, died, is_over) {
                Some(Canary::Undecided(why)) if !has_server => return self.ask_a_person(&why, sent.len()),
                Some(Canary::Undecided(why)) => {
                    return Canary::Undecided(format!(
                        "{why}; --resume asks again, --despite-canary goes on all the same"
                    ));
                }
                Some(canary) => return canary,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
        Canary::Undecided("nothing tells".to_owned())
    }

    fn ask_a_person(&self, why: &str, sent: usize) -> Canary {
        let waits = Canary::Undecided(format!(
            "no server answers at {}, so nobody can tell whether the first {sent} had their effect; none of them lies dead again",
            self.url
        ));
        if !self.asks || !std::io::stdin().is_terminal() {
            return waits;
        }
        terminal::note(&format!("{why}. See for yourself whether the first {sent} had their effect, and type yes:"));
        let mut line = String::new();
        let read = tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut line));
        if read.is_ok() && line.trim() == "yes" {
            let person = super::whereabouts::person();
            return Canary::Proven(format!("{} on {} says so", person.user, person.host));
        }
        waits
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().into()
}

/// Whether a server runs there.
pub(super) async fn is_there(url: &str) -> bool {
    let asked = format!("{}/livez", url.trim_end_matches('/'));
    let asked =
        tokio::task::spawn_blocking(move || agent().get(asked).call().is_ok_and(|answer| answer.status().is_success()));
    asked.await.unwrap_or_default()
}

/// What the books say of each. A server that does not answer any more knows nothing.
async fn ask(url: &str, sent: &[Chosen], since: u64) -> Vec<(String, Told)> {
    let (url, sent) = (url.trim_end_matches('/').to_owned(), sent.to_vec());
    let all = sent.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let agent = agent();
        let of = |chosen: &Chosen| {
            let answers = chosen.asks.iter().map(|name| told(passage(&agent, &url, name).as_ref(), since));
            // By several names; the first that the books know is the best.
            let known = answers.into_iter().find(|told| *told != Told::Unknown);
            (chosen.letter.clone(), known.unwrap_or(Told::Unknown))
        };
        sent.iter().map(of).collect()
    });
    asked.await.unwrap_or_else(|_| unknown(&all))
}

fn unknown(sent: &[Chosen]) -> Vec<(String, Told)> {
    sent.iter().map(|chosen| (chosen.letter.clone(), Told::Unknown)).collect()
}

fn passage(agent: &ureq::Agent, url: &str, name: &str) -> Option<PassageReport> {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    agent.get(format!("{url}/api/v1/trace/{name}")).call().ok()?.body_mut().read_json().ok()
}

/// Letters of this redrive that lie in the place again.
async fn died_again(spot: &Spot<'_>, id: &str) -> Result<usize, crate::dead_letters::Error> {
    let mut died = 0;
    let mut see = |letter: Letter| died += usize::from(headers::value(&letter.headers, REDRIVE_ID) == Some(id));
    let all = (&Choice::default(), &Redaction::default());
    looking::look((spot.letters, spot.system), &spot.place.name, all, MAX_LOOKED, &mut see).await?;
    Ok(died)
}
