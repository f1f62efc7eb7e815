//! A copy of one letter, edited, that goes in its place.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use truegreen_connect::dead_letters::payload;

use super::json_path::{self, Path as JsonPath};
use super::show;
use super::whereabouts::{At, person};
use crate::clock::wall_clock;
use crate::dead_letters::edits::{self, Edit};
use crate::dead_letters::fingerprint;
use crate::dead_letters::lock::Lock;
use crate::dead_letters::redrive::entry::Edited;
use crate::lookup::when;

/// What a queue may call it where a lock needs a name.
const LOCK: &str = "edits";
/// A body longer than this is no longer what a letter may be.
const MAX_BODY_BYTES: u64 = truegreen_connect::dead_letters::MAX_BODY_BYTES as u64;

/// Edit one letter's body, for when it is sent back
///
/// Opens $VISUAL or $EDITOR, unless told what to change. The letter itself stays as it lies; the edited copy is kept with the
/// original beside it, and `truegreen dlq redrive` sends it in its place.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Its id, as `truegreen dlq list` shows it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    at: At,
    /// Put this value into its JSON body, such as '$.sku="A-1"'; may be given many times
    #[arg(long, value_name = "PATH=VALUE", value_parser = json_path::assignment, conflicts_with_all = ["body_file", "forget"])]
    set: Vec<(JsonPath, Value)>,
    /// Take the whole body from this file
    #[arg(long, value_name = "FILE", conflicts_with = "forget")]
    body_file: Option<PathBuf>,
    /// Take an edit back
    #[arg(long)]
    forget: bool,
}

pub(super) async fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    let desk = args.at.desk()?;
    let spot = desk.spot(&args.at).await?;
    let letter = show::find(&desk, &spot, &args.id).await?;
    anyhow::ensure!(
        !letter.is_cut,
        "the letter is longer than what is read of one, and is never sent\nhint: mend it at its source"
    );
    let hash = fingerprint::of(&letter);
    let place = spot.place.name.as_str();
    let known = edits::all(&desk.folder)?;
    let earlier = edits::of(&known, spot.system, place, &letter.id, &hash);
    let edited = if args.forget {
        anyhow::ensure!(earlier.is_some(), "{} was not edited", args.id);
        None
    } else {
        let current = earlier.and_then(Edited::body).unwrap_or_else(|| letter.body.clone());
        let new = tokio::task::block_in_place(|| changed(args, &current))?;
        anyhow::ensure!(new.len() as u64 <= MAX_BODY_BYTES, "a body of more than {MAX_BODY_BYTES} bytes is never sent");
        if new == current {
            writeln!(out, "Nothing was changed.")?;
            return Ok(1);
        }
        Some(Edited {
            hash_before: fingerprint::of_body(&letter.body),
            hash_after: fingerprint::of_body(&new),
            by: person(),
            at: when::rfc3339(wall_clock()),
            before: STANDARD.encode(&letter.body),
            after: STANDARD.encode(&new),
        })
    };
    let told = match &edited {
        Some(edited) => {
            format!("{} will go edited: {} is now {}", args.id, short(&edited.hash_before), short(&edited.hash_after))
        }
        None => format!("{} will go as it is", args.id),
    };
    let edit = Edit { system: spot.system.to_owned(), place: place.to_owned(), letter: letter.id, hash, edited };
    let take = || Lock::take(&desk.folder, LOCK, "", "an edit", std::time::Duration::from_secs(10));
    let _held = tokio::task::block_in_place(take)?;
    edits::add(&desk.folder, &when::rfc3339(wall_clock()), &edit)?;
    writeln!(out, "{}", payload::line(&told, 400))?;
    writeln!(out, "Send it with: truegreen dlq redrive --system {} --place {place} --id {}", spot.system, args.id)?;
    Ok(0)
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn changed(args: &Args, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    if let Some(file) = &args.body_file {
        return std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    if args.set.is_empty() {
        return in_editor(body);
    }
    let mut value: Value =
        serde_json::from_slice(body).context("the body is no JSON\nhint: use --body-file, or an editor")?;
    anyhow::ensure!(
        payload::keeps_numbers(body),
        "a number in the body would not be written as it stands there\nhint: use an editor, or --body-file"
    );
    for (path, new) in &args.set {
        path.put(&mut value, new.clone()).map_err(anyhow::Error::msg)?;
    }
    Ok(serde_json::to_vec(&value)?)
}

fn in_editor(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let told = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = told("VISUAL").or_else(|| told("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // Bodies may be nobody else's to read: the folder is this user's alone.
    let folder = tempfile::tempdir().context("cannot make a folder for the edited copy")?;
    let file = folder.path().join("body.json");
    std::fs::write(&file, body).with_context(|| format!("cannot write {}", file.display()))?;
    edit(&editor, &file)?;
    std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// `EDITOR` may have arguments of its own, as in `code --wait`.
fn edit(editor: &str, file: &Path) -> anyhow::Result<()> {
    let script = format!("{editor} \"$1\"");
    let status = Command::new("sh").args(["-c", &script, "sh"]).arg(file).status();
    let status =
        status.with_context(|| format!("cannot start {editor}\nhint: set EDITOR, or use --set or --body-file"))?;
    anyhow::ensure!(status.success(), "{editor} ended with {status}; nothing was changed");
    Ok(())
}
