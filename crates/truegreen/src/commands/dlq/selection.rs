//! What is sent back or thrown away, before it is frozen and when it is.

use std::io::Write;

use serde_json::Value;
use truegreen_connect::dead_letters::payload::line;
use truegreen_model::letter::Letter;

use super::json_path::Path as JsonPath;
use super::text;
use super::whereabouts::{Desk, Spot, person};
use crate::clock::wall_clock;
use crate::dead_letters::choice::Choice;
use crate::dead_letters::earlier::{Earlier, SentBefore};
use crate::dead_letters::journal::Journal;
use crate::dead_letters::looking::{self, MAX_LOOKED};
use crate::dead_letters::redrive::entry::LeftOut;
use crate::dead_letters::redrive::{Action, Chosen, Entry, Memory, Order};
use crate::dead_letters::{Error, edits, fingerprint, outgoing, record};
use crate::lookup::when;

/// Letters of one redrive.
const MAX_CHOSEN: usize = 100_000;
/// Of what is left out, so many are told one by one.
const TOLD_LEFT_OUT: usize = 100;
/// Of a dry run.
const SHOWN: usize = 20;
/// Sent back more often, a letter is likely to die again.
const OFTEN: u32 = 3;

/// A selection before it is frozen.
#[derive(Default)]
pub(super) struct Selection {
    pub(super) chosen: Vec<Chosen>,
    edited: Vec<Entry>,
    left_out: Vec<LeftOut>,
    left_out_count: u64,
    often: usize,
    before: SentBefore,
    unread: Vec<String>,
    is_too_long: bool,
}

pub(super) struct Wanted<'a> {
    pub(super) action: Action,
    pub(super) choice: Choice,
    pub(super) to: Option<&'a str>,
    pub(super) key: Option<&'a JsonPath>,
}

/// Reads the whole place, and notes what fits.
pub(super) async fn select(desk: &Desk, spot: &Spot<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Selection> {
    let known = edits::all(&desk.folder)?;
    let earlier = match wanted.action {
        Action::Redrive => Earlier::of(&desk.folder, spot.system, &spot.place.name)?,
        Action::Discard => Earlier::default(),
    };
    let mut selection = Selection { unread: earlier.unread.clone(), ..Selection::default() };
    let mut see = |letter: Letter| {
        if selection.chosen.len() >= MAX_CHOSEN {
            selection.is_too_long = true;
            return;
        }
        let to = wanted.to.unwrap_or(&letter.origin);
        let why_not = match wanted.action {
            Action::Redrive if to.is_empty() => Some("nothing tells where it came from; name a target with --to"),
            _ if letter.is_cut => Some("it is longer than what is read of a letter"),
            _ => None,
        };
        if let Some(why) = why_not {
            selection.left_out_count += 1;
            if selection.left_out.len() < TOLD_LEFT_OUT {
                selection.left_out.push(LeftOut { letter: letter.id.clone(), why: why.to_owned() });
            }
            return;
        }
        let (n, hash) = (selection.chosen.len(), fingerprint::of(&letter));
        if let Some(edited) = edits::of(&known, spot.system, &spot.place.name, &letter.id, &hash) {
            selection.edited.push(Entry::Edited { n, edited: edited.clone() });
        }
        selection.often += usize::from(outgoing::times_sent_back(&letter) >= OFTEN);
        let sending = earlier.sending(&letter, &hash);
        sending.iter().for_each(|sending| selection.before.add(sending));
        let earlier = sending.map(|sending| sending.redrive).unwrap_or_default();
        let to = if wanted.action == Action::Redrive { to.to_owned() } else { String::new() };
        let asks = asks(&letter, wanted.key);
        let Letter { id, key, error_type, message_type, .. } = letter;
        selection.chosen.push(Chosen { n, letter: id, hash, to, key, asks, error_type, message_type, earlier });
    };
    let (place, choice) = (&spot.place.name, (&wanted.choice, &desk.redaction));
    looking::look((spot.letters, spot.system), place, choice, MAX_LOOKED, &mut see).await?;
    if selection.is_too_long {
        return Err(Error::TooMany(MAX_CHOSEN).into());
    }
    Ok(selection)
}

/// By what the books may know the letter's journey, the best first.
fn asks(letter: &Letter, key: Option<&JsonPath>) -> Vec<String> {
    let body: Option<Value> = key.and_then(|_| serde_json::from_slice(&letter.body).ok());
    let named = key.zip(body.as_ref()).and_then(|(path, body)| path.find(body)).map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let trace = letter.traceparent.split('-').nth(1).map(str::to_owned);
    let names = [named, Some(letter.key.clone()), Some(letter.message_id.clone()), trace];
    let mut asks: Vec<String> =
        names.into_iter().flatten().filter(|name| !name.is_empty() && name.len() <= 1000).collect();
    asks.dedup();
    asks
}

pub(super) fn order(spot: &Spot<'_>, wanted: &Wanted<'_>, selection: &Selection) -> Order {
    Order {
        id: new_id(),
        action: wanted.action,
        system: spot.system.to_owned(),
        place: spot.place.name.clone(),
        by: person(),
        asked: wanted.choice.in_words(),
        canary: 0,
        per_second: None,
        max_failed_percent: 10,
        left_out: selection.left_out.clone(),
        left_out_count: selection.left_out_count,
    }
}

/// By time, so that they sort; with chance, so that two in one millisecond differ.
fn new_id() -> String {
    let now = jiff::Timestamp::from_nanosecond(i128::from(wall_clock().0)).unwrap_or_default();
    format!("{}-{:06x}", now.strftime("%Y%m%d%H%M%S%3f"), fastrand::u32(..1 << 24))
}

/// Writes the selection down: from here on it is in force.
pub(super) fn freeze(desk: &Desk, order: Order, selection: Selection) -> anyhow::Result<(Journal, Memory)> {
    let mut entries = vec![Entry::Begun(order.clone())];
    let letters = selection.chosen.len();
    entries.extend(selection.chosen.into_iter().map(Entry::Chosen));
    entries.extend(selection.edited);
    entries.push(Entry::Frozen { letters });
    let path = record::path(&desk.folder, &order.id);
    let at = when::rfc3339(wall_clock());
    let journal = tokio::task::block_in_place(|| {
        let mut journal = Journal::create(&path)?;
        journal.append(&at, &entries)?;
        Ok::<_, Error>(journal)
    })?;
    let memory = Memory::of(entries.iter().map(|entry| (at.as_str(), entry)))?;
    Ok((journal, memory))
}

pub(super) fn dry_run(
    out: &mut impl Write,
    spot: &Spot<'_>,
    wanted: &Wanted<'_>,
    selection: &Selection,
) -> anyhow::Result<u8> {
    text::place(out, spot.system, &spot.place.name, spot.place.letters, &spot.place.warning)?;
    let verb = if wanted.action == Action::Redrive { "sent back" } else { "thrown away" };
    writeln!(out, "{} would be {verb} ({}):", selection.chosen.len(), line(&wanted.choice.in_words(), 200))?;
    let is_edited =
        |n: usize| selection.edited.iter().any(|entry| matches!(entry, Entry::Edited { n: of, .. } if *of == n));
    for chosen in selection.chosen.iter().take(SHOWN) {
        let to = if chosen.to.is_empty() { String::new() } else { format!(" to {}", line(&chosen.to, 80)) };
        let edited = if is_edited(chosen.n) { ", edited" } else { "" };
        writeln!(out, "  {}{to}{edited}", line(&chosen.letter, 80))?;
    }
    if selection.chosen.len() > SHOWN {
        writeln!(out, "  and {} more", selection.chosen.len() - SHOWN)?;
    }
    left_out(out, selection)?;
    writeln!(out, "Nothing was changed.")?;
    Ok(0)
}

/// What to know before these are sent.
pub(super) fn warnings(selection: &Selection) -> Vec<String> {
    let mut told = selection.before.warnings();
    if selection.often > 0 {
        let times = if selection.often == 1 { "1 was" } else { &format!("{} were", selection.often) };
        told.push(format!("{times} sent back {OFTEN} times or more, and died again each time"));
    }
    let unread =
        selection.unread.iter().map(|why| format!("whether it sent any of these before cannot be told: {why}"));
    told.extend(unread.take(SHOWN));
    told
}

fn left_out(out: &mut impl Write, selection: &Selection) -> std::io::Result<()> {
    for warning in warnings(selection) {
        text::warning(out, &warning)?;
    }
    if selection.left_out_count > 0 {
        writeln!(out, "{} would be left out:", selection.left_out_count)?;
    }
    let mut shown = selection.left_out.iter().take(SHOWN);
    shown.try_for_each(|one| writeln!(out, "  {}: {}", line(&one.letter, 80), one.why))
}

pub(super) fn nothing(out: &mut impl Write, spot: &Spot<'_>, selection: &Selection) -> anyhow::Result<u8> {
    writeln!(out, "Nothing in {} fits.", line(&spot.place.name, 100))?;
    left_out(out, selection)?;
    Ok(1)
}
