//! One letter whole.

use std::io::Write;

use serde_json::json;
use truegreen_connect::dead_letters::payload;
use truegreen_model::letter::Letter;

use super::super::terminal;
use super::whereabouts::{At, Desk, Spot};
use super::{list, text};
use crate::dead_letters::choice::Choice;
use crate::dead_letters::earlier::Earlier;
use crate::dead_letters::fingerprint;
use crate::dead_letters::looking::{self, MAX_LOOKED};

/// Show one dead letter: why it died, its headers, its body
///
/// Values of fields and headers whose names say that they are secret are hidden; further names can be given under `redact`
/// in the configuration.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Its id, as `truegreen dlq list` shows it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    at: At,
    /// Show so much of its body
    #[arg(long, value_name = "SIZE", value_parser = crate::quantity::bytes, default_value = "16KiB")]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    let desk = args.at.desk()?;
    let spot = desk.spot(&args.at).await?;
    let letter = find(&desk, &spot, &args.id).await?;
    // What is known of it is told also where nothing is remembered.
    let earlier = Earlier::of(&desk.folder, spot.system, &spot.place.name).unwrap_or_default();
    let sending = earlier.sending(&letter, &fingerprint::of(&letter));
    if args.json {
        let mut told = list::brief_json(spot.system, &letter, &desk);
        let shown = payload::show(&letter.body, &desk.redaction, args.limit);
        told["body"] = json!({"form": shown.form.name(), "text": shown.text, "left_out": shown.left_out});
        let header =
            |(name, value): &(String, String)| json!([name, desk.redaction.text(desk.redaction.header(name, value))]);
        told["headers"] = letter.headers.iter().map(header).collect();
        told["earlier"] = json!(sending);
        writeln!(out, "{}", terminal::printable_json(&serde_json::to_string_pretty(&told)?))?;
    } else {
        text::letter(out, &letter, &desk.redaction, args.limit)?;
        if let Some(sending) = &sending {
            text::sent_before(out, sending)?;
        }
    }
    Ok(0)
}

/// The letter of this id.
pub(super) async fn find(desk: &Desk, spot: &Spot<'_>, id: &str) -> anyhow::Result<Letter> {
    let _held = desk.hold_to_look(spot)?;
    let choice = Choice { ids: vec![id.to_owned()], limit: Some(1), ..Choice::default() };
    let mut found = None;
    let mut see = |letter: Letter| found = Some(letter);
    looking::look((spot.letters, spot.system), &spot.place.name, (&choice, &desk.redaction), MAX_LOOKED, &mut see)
        .await?;
    let place = &spot.place.name;
    found.ok_or_else(|| {
        anyhow::anyhow!("no letter {id:?} lies in {place}\nhint: `truegreen dlq list --place {place}` shows their ids")
    })
}
