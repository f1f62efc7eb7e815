//! Sent back, or thrown away.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use truegreen_connect::dead_letters::payload::line;

use super::super::progress::LiveLine;
use super::super::{shutdown, terminal};
use super::json_path::Path as JsonPath;
use super::selection::{Wanted, dry_run, freeze, nothing, order, select, warnings};
use super::verify::{Verifier, is_there};
use super::whereabouts::{At, Spot, person};
use super::{Which, text};
use crate::clock::wall_clock;
use crate::dead_letters::bench::{Bench, Halt};
use crate::dead_letters::choice::Choice;
use crate::dead_letters::journal::Journal;
use crate::dead_letters::record::{self, Counts, Record};
use crate::dead_letters::redrive::{Action, Entry, Memory, Order, Outcome, Redrive, StopWhy};
use crate::lookup::when;
use crate::quantity;

/// Send dead letters back
///
/// The selection is frozen first: what arrives later is not swept in. The first few go alone, and the rest only once their
/// effect is seen: in the books of a running server, or by you. A letter is removed only after its copy is confirmed.
/// Killed at any instant, it goes on with --resume. What is done is remembered: `truegreen dlq history`.
///
/// Exit code 1 where it stopped before its end.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// All that lie there, where nothing else is chosen
    #[arg(long)]
    all: bool,
    /// Go on with one that stopped or was killed. Where no server tells, this says that the first few did well
    #[arg(long, value_name = "ID", conflicts_with_all = ["all", "dry_run", "to", "ids", "error", "frame", "message_type", "origin", "search", "limit"])]
    resume: Option<String>,
    /// Go on although the first few did not have their effect, or nothing tells
    #[arg(long, requires = "resume")]
    despite_canary: bool,
    /// Say what would be sent where, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Send them here instead of where they came from
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// How many go first; 0 for none
    #[arg(long, value_name = "N", default_value_t = 5)]
    canary: usize,
    /// How long the effect of the first few is waited for
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = quantity::duration)]
    canary_for: Duration,
    /// Where no server tells, ask on the terminal whether the first few had their effect
    #[arg(long)]
    canary_wait: bool,
    /// Where in a JSON body the key of its journey stands, such as $.order.id
    #[arg(long, value_name = "PATH", value_parser = JsonPath::parse)]
    key: Option<JsonPath>,
    /// At most so many a second; `all` for as many as go
    #[arg(long, value_name = "RATE", default_value = "50/s", value_parser = rate)]
    rate: Rate,
    /// Stop where more of a hundred are not confirmed
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    max_failed: u32,
    /// Where a server shows its pages, whose books are asked
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
}

/// Throw dead letters away
///
/// Each is kept whole in the journal first, in a file that only you can read: `truegreen dlq history ID --letter LETTER --raw`
/// gives it back.
#[derive(clap::Args, Debug)]
pub(super) struct Discard {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// All that lie there, where nothing else is chosen
    #[arg(long)]
    all: bool,
    /// Say what would be thrown away, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Rate(Option<f64>);

fn rate(text: &str) -> Result<Rate, String> {
    if text == "all" {
        return Ok(Rate(None));
    }
    match text.trim_end_matches("/s").parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.01 => Ok(Rate(Some(rate))),
        _ => Err(format!("`{text}` is no rate\nhint: write it like 50/s, or all")),
    }
}

pub(super) async fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    if let Some(id) = &args.resume {
        return resume(args, id, out).await;
    }
    let wanted =
        Wanted { action: Action::Redrive, choice: args.which.choice(), to: args.to.as_deref(), key: args.key.as_ref() };
    chosen_somehow(&wanted.choice, args.all)?;
    let desk = args.at.desk()?;
    let spot = desk.spot(&args.at).await?;
    let _held = desk.hold(&spot, "a redrive")?;
    let selection = select(&desk, &spot, &wanted).await?;
    if args.dry_run {
        return dry_run(out, &spot, &wanted, &selection);
    }
    if selection.chosen.is_empty() {
        return nothing(out, &spot, &selection);
    }
    if !spot.place.warning.is_empty() {
        terminal::warn(&terminal::printable_lines(&spot.place.warning));
    }
    warnings(&selection).iter().for_each(|told| terminal::warn(&terminal::printable_lines(told)));
    let order = Order {
        canary: args.canary,
        per_second: args.rate.0,
        max_failed_percent: args.max_failed,
        ..order(&spot, &wanted, &selection)
    };
    let (journal, memory) = freeze(&desk, order, selection)?;
    carry_out(args, &spot, journal, Redrive::new(memory), out).await
}

pub(super) async fn discard(args: &Discard, out: &mut impl Write) -> anyhow::Result<u8> {
    let wanted = Wanted { action: Action::Discard, choice: args.which.choice(), to: None, key: None };
    chosen_somehow(&wanted.choice, args.all)?;
    let desk = args.at.desk()?;
    let spot = desk.spot(&args.at).await?;
    let _held = desk.hold(&spot, "a discard")?;
    let selection = select(&desk, &spot, &wanted).await?;
    if args.dry_run {
        return dry_run(out, &spot, &wanted, &selection);
    }
    if selection.chosen.is_empty() {
        return nothing(out, &spot, &selection);
    }
    let many = selection.chosen.len();
    if !args.yes && !is_typed(many, &spot)? {
        writeln!(out, "Nothing was thrown away.")?;
        return Ok(1);
    }
    let order = order(&spot, &wanted, &selection);
    let (journal, memory) = freeze(&desk, order, selection)?;
    // Nothing is sent, so nothing is verified.
    let verifier = Verifier { url: "", patience: Duration::ZERO, asks: false, interrupted: &AtomicBool::new(false) };
    work(&spot, journal, Redrive::new(memory), &verifier, Arc::new(AtomicBool::new(false)), out).await
}

fn is_typed(many: usize, spot: &Spot<'_>) -> anyhow::Result<bool> {
    terminal::note(&format!(
        "{many} letters of {} will be thrown away; type {many} to do so:",
        line(&spot.place.name, 100)
    ));
    let mut typed = String::new();
    tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut typed))?;
    Ok(typed.trim() == many.to_string())
}

fn chosen_somehow(choice: &Choice, all: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        all || !choice.is_all() || choice.limit.is_some(),
        "nothing is chosen\nhint: choose by --error, --type, --origin, --search, --id or --limit; or take --all"
    );
    Ok(())
}

async fn resume(args: &Args, id: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    let folder = args.at.folder()?;
    let path = record::path(&folder, id);
    anyhow::ensure!(path.exists(), "no redrive is called {id}\nhint: `truegreen dlq history` lists them");
    let before = record::memory(&path)?;
    let order = before.order.filter(|_| before.is_frozen);
    let Some(order) = order else {
        anyhow::bail!("{id} was cut short before its selection was whole: nothing was done\nhint: begin anew")
    };
    if before.is_ended {
        writeln!(out, "{id} is at its end already.")?;
        return Ok(0);
    }
    let at = At { system: Some(order.system.clone()), place: Some(order.place.clone()), ..args.at.clone() };
    let desk = at.desk()?;
    let spot = desk.spot(&at).await?;
    let _held = desk.hold(&spot, &format!("redrive {id}"))?;
    // Only now nobody else writes it.
    let (journal, lines) = Journal::open::<Entry>(&path)?;
    let memory = record::remembered(&path, &lines)?;
    let stopped = memory.stopped.clone();
    let mut redrive = Redrive::new(memory);
    redrive.tick(when::rfc3339(wall_clock()));
    redrive.told(Entry::Resumed { by: person() });
    let has_server = is_there(&args.url).await;
    match stopped {
        Some((StopWhy::CanaryWaits | StopWhy::CanaryFailed, _)) if args.despite_canary => {
            vouched(&mut redrive, "to go on despite the first few");
        }
        // Where the books can tell, they are asked once more.
        Some((StopWhy::CanaryWaits, _)) if !has_server => vouched(&mut redrive, "the first few did well"),
        Some((StopWhy::CanaryFailed, why)) if !has_server && all_are_over(redrive.memory()) => anyhow::bail!(
            "the first few did not have their effect: {}\nhint: see what became of them; go on all the same with \
             --despite-canary, or leave it: nothing else was sent",
            line(&why, 300)
        ),
        _ => {}
    }
    carry_out(args, &spot, journal, redrive, out).await
}

fn all_are_over(memory: &Memory) -> bool {
    memory.sent_ones().all(crate::dead_letters::redrive::Standing::is_over)
}

fn vouched(redrive: &mut Redrive, what: &str) {
    let person = person();
    redrive.told(Entry::Proven { how: format!("{} on {} says: {what}", person.user, person.host) });
}

async fn carry_out(
    args: &Args,
    spot: &Spot<'_>,
    journal: Journal,
    redrive: Redrive,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    tokio::spawn(async move {
        if shutdown::asked().await.is_ok() {
            terminal::note(
                "stopping before the next letter; once more ends it at once, and nothing is lost by that either",
            );
            flag.store(true, Ordering::Relaxed);
        }
    });
    let verifier =
        Verifier { url: &args.url, patience: args.canary_for, asks: args.canary_wait, interrupted: &interrupted };
    work(spot, journal, redrive, &verifier, Arc::clone(&interrupted), out).await
}

async fn work(
    spot: &Spot<'_>,
    mut journal: Journal,
    mut redrive: Redrive,
    verifier: &Verifier<'_>,
    interrupted: Arc<AtomicBool>,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let mut live = LiveLine::new();
    let mut shown = |redrive: &Redrive| live.show(|| progress(&Counts::of(redrive.memory())));
    let mut bench = Bench { letters: spot.letters, journal: &mut journal, interrupted: &interrupted };
    while bench.work(&mut redrive, &mut shown).await? == Halt::Verify {
        let canary = verifier.verify(redrive.memory(), spot).await;
        redrive.heard(Outcome::Verified(canary));
    }
    live.clear();
    told(&redrive, out)
}

fn progress(counts: &Counts) -> String {
    format!("{} of {} done, {} unsure", counts.done, counts.letters, counts.unsure)
}

fn told(redrive: &Redrive, out: &mut impl Write) -> anyhow::Result<u8> {
    let Some(record) = Record::of(redrive.memory()) else { return Ok(1) };
    text::record_brief(out, &record)?;
    text::counts(out, record.action, &record.counts)?;
    if let Some(how) = &record.canary {
        writeln!(out, "  canary: {}", line(how, 300))?;
    }
    if let Some(stopped) = &record.stopped {
        writeln!(out, "It stopped: {}", line(&stopped.told, 500))?;
        let so = if stopped.why == StopWhy::CanaryWaits { "If they did well, go on with" } else { "Go on with" };
        writeln!(out, "{so}: truegreen dlq redrive --resume {}", record.id)?;
    }
    writeln!(out, "Each letter: truegreen dlq history {}", record.id)?;
    Ok(u8::from(record.state != "ended"))
}
