//! What lies where, and what is alike in it.

use std::io::Write;

use serde_json::{Value, json};
use truegreen_connect::dead_letters::group::By;
use truegreen_model::letter::Letter;

use super::super::terminal;
use super::whereabouts::{At, Desk, Spot};
use super::{Which, text};
use crate::dead_letters::choice::Choice;
use crate::dead_letters::looking::{self, MAX_LOOKED};
use crate::dead_letters::{Error, fingerprint};

/// Letters that are listed where no limit is given.
const LISTED: usize = 50;

/// Show what is alike: the most frequent error first
///
/// Groups by type of error and first own stack frame, by type of message, or by where the letters came from.
#[derive(clap::Args, Debug)]
pub(super) struct Groups {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// By what: error, type or origin
    #[arg(long, value_name = "WHAT", default_value = "error", value_parser = by)]
    by: By,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Show dead letters one by one, and where they lie
#[derive(clap::Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Search bodies, headers and errors
///
/// All words must stand somewhere in a letter; quotes keep words together. What is not shown is not found either.
#[derive(clap::Args, Debug)]
pub(super) struct Search {
    /// What to look for
    #[arg(value_name = "WORDS")]
    words: String,
    #[command(flatten)]
    at: At,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn by(text: &str) -> Result<By, String> {
    By::named(text).ok_or_else(|| format!("`{text}` is nothing to group by\nhint: error, type or origin"))
}

pub(super) async fn groups(args: &Groups, out: &mut impl Write) -> anyhow::Result<u8> {
    let desk = args.at.desk()?;
    let spots = desk.spots(&args.at).await?;
    let mut told = Vec::new();
    let mut looker = Looker::new(&desk);
    for spot in &spots {
        let choice = args.which.choice();
        let Some((groups, beyond, looked)) = looker
            .look(spot, async {
                looking::groups(
                    (spot.letters, spot.system),
                    &spot.place.name,
                    (&choice, &desk.redaction),
                    (args.by, MAX_LOOKED),
                )
                .await
            })
            .await?
        else {
            continue;
        };
        if args.json {
            told.push(json!({"system": spot.system, "place": spot.place.name, "groups": groups, "further": beyond,
                "letters": looked.fitting, "is_cut": looked.is_cut}));
            continue;
        }
        text::place(out, spot.system, &spot.place.name, Some(looked.fitting as u64), &spot.place.warning)?;
        text::groups(out, args.by, &groups, beyond)?;
        text::looked(out, looked)?;
    }
    finish(out, args.json, &spots, json!({ "places": told }))?;
    looker.over()
}

pub(super) async fn list(args: &List, out: &mut impl Write) -> anyhow::Result<u8> {
    let limit = args.which.limit.unwrap_or(LISTED);
    let choice = Choice { limit: Some(limit), ..args.which.choice() };
    one_by_one(&args.at, &choice, args.json, out).await
}

pub(super) async fn search(args: &Search, out: &mut impl Write) -> anyhow::Result<u8> {
    let which = Which { search: Some(args.words.clone()), ..Which::default() };
    let choice = Choice { limit: Some(args.limit.unwrap_or(LISTED)), ..which.choice() };
    one_by_one(&args.at, &choice, args.json, out).await
}

async fn one_by_one(at: &At, choice: &Choice, as_json: bool, out: &mut impl Write) -> anyhow::Result<u8> {
    let desk = at.desk()?;
    let spots = desk.spots(at).await?;
    let mut told = Vec::new();
    let mut looker = Looker::new(&desk);
    for spot in &spots {
        let mut letters: Vec<Letter> = Vec::new();
        let looked = looker.look(spot, async {
            let mut see = |letter: Letter| letters.push(letter);
            looking::look(
                (spot.letters, spot.system),
                &spot.place.name,
                (choice, &desk.redaction),
                MAX_LOOKED,
                &mut see,
            )
            .await
        });
        let Some(looked) = looked.await? else { continue };
        if as_json {
            told.extend(letters.iter().map(|letter| brief_json(spot.system, letter, &desk)));
            continue;
        }
        text::place(out, spot.system, &spot.place.name, spot.place.letters, &spot.place.warning)?;
        letters.iter().try_for_each(|letter| text::brief(out, letter, &desk.redaction))?;
        text::looked(out, looked)?;
        if choice.limit.is_some_and(|limit| looked.fitting >= limit) {
            writeln!(out, "  {}the first {}; more with --limit{:#}", terminal::DIM, looked.fitting, terminal::DIM)?;
        }
    }
    finish(out, as_json, &spots, json!({ "letters": told }))?;
    looker.over()
}

pub(super) fn brief_json(system: &str, letter: &Letter, desk: &Desk) -> Value {
    json!({
        "system": system, "place": letter.place, "id": letter.id, "hash": fingerprint::of(letter), "origin": letter.origin,
        "key": letter.key, "message_id": letter.message_id, "message_type": letter.message_type,
        "error_type": letter.error_type, "error": desk.redaction.text(&letter.error), "frame": letter.frame,
        "deaths": letter.deaths, "died_at": letter.died_at, "traceparent": letter.traceparent,
        "body_bytes": letter.body.len(), "is_cut": letter.is_cut,
    })
}

fn finish(out: &mut impl Write, as_json: bool, spots: &[Spot<'_>], told: Value) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{}", terminal::printable_json(&serde_json::to_string_pretty(&told)?))?;
    } else if spots.is_empty() {
        writeln!(out, "No place with dead letters was found.")?;
    }
    Ok(())
}

/// Looks at one place after the other; one that cannot be read hides no other.
struct Looker<'a> {
    desk: &'a Desk,
    failed: usize,
}

impl<'a> Looker<'a> {
    fn new(desk: &'a Desk) -> Looker<'a> {
        Looker { desk, failed: 0 }
    }

    async fn look<T>(
        &mut self,
        spot: &Spot<'_>,
        look: impl Future<Output = Result<T, Error>>,
    ) -> anyhow::Result<Option<T>> {
        let looked = match self.desk.hold_to_look(spot) {
            Ok(_held) => look.await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(told) => Ok(Some(told)),
            Err(error) => {
                self.failed += 1;
                terminal::warn(&terminal::printable_lines(&format!("{}: {error}", spot.place.name)));
                Ok(None)
            }
        }
    }

    fn over(self) -> anyhow::Result<u8> {
        Ok(if self.failed > 0 { 2 } else { 0 })
    }
}
