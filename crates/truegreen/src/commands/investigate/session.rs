//! The nine steps with somebody at the terminal, who may write down what they think between two of them.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use super::gathered::Gathered;
use super::{head, steps, suppose, write_step};
use crate::clock::wall_clock;
use crate::commands::incident::As;
use crate::commands::terminal::{BOLD, DIM, complain, printable};
use crate::lookup::when;

/// What somebody typed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Typed {
    Next,
    Leave,
    Help,
    Hypothesis(String),
    Evidence { on: u32, way: &'static str, text: String },
}

fn typed(line: &str) -> Typed {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let evidence = |way| {
        let (on, text) = rest.split_once(char::is_whitespace)?;
        Some(Typed::Evidence { on: on.parse().ok()?, way, text: text.trim().to_owned() })
    };
    match word {
        "" | "n" => Typed::Next,
        "q" => Typed::Leave,
        "h" if !rest.is_empty() => Typed::Hypothesis(rest.to_owned()),
        "for" | "+" => evidence("for").unwrap_or(Typed::Help),
        "against" | "-" => evidence("against").unwrap_or(Typed::Help),
        _ => Typed::Help,
    }
}

pub(super) fn run(by: &As, gathered: &mut Gathered) -> anyhow::Result<u8> {
    let mut out = anstream::stdout();
    head(&mut out, gathered)?;
    for number in 1..=9 {
        // What was written down meanwhile shows in the steps that follow.
        if let Some(step) = steps::all(gathered).into_iter().find(|step| step.number == number) {
            write_step(&mut out, &step)?;
        }
        let nudge =
            gathered.incident.as_ref().and_then(|incident| steps::nudge(incident, &when::rfc3339(wall_clock())));
        if let Some(nudge) = nudge {
            writeln!(out, "\n{BOLD}{}{BOLD:#}", printable(&nudge))?;
        }
        if !go_on(&mut out, by, gathered)? {
            break;
        }
    }
    Ok(0)
}

/// Until they want the next step; false where they leave.
fn go_on(out: &mut impl Write, by: &As, gathered: &mut Gathered) -> anyhow::Result<bool> {
    loop {
        write!(
            out,
            "\n{DIM}Enter: go on · h TEXT: a hypothesis · for N TEXT, against N TEXT: evidence · q: leave{DIM:#} "
        )?;
        out.flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let body: Value = match typed(&line) {
            Typed::Next => return Ok(true),
            Typed::Leave => return Ok(false),
            Typed::Help => continue,
            Typed::Hypothesis(text) => json!({ "text": text }),
            Typed::Evidence { on, way, text } => {
                let mut body = json!({ "on": on });
                body[way] = Value::from(text);
                body
            }
        };
        // A number that is not there ends nothing.
        match suppose(by, gathered, body) {
            Ok(said) => writeln!(out, "{}", printable(&said))?,
            Err(error) => complain(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_or_answered_with_help() {
        let evidence = |on, way, text: &str| Typed::Evidence { on, way, text: text.to_owned() };
        for (line, expected) in [
            ("\n", Typed::Next),
            ("q", Typed::Leave),
            ("h  the cache is stale \n", Typed::Hypothesis("the cache is stale".to_owned())),
            ("for 2 seen in the code", evidence(2, "for", "seen in the code")),
            ("- 1 staging has it, too", evidence(1, "against", "staging has it, too")),
            ("h", Typed::Help),
            ("for x y", Typed::Help),
            ("what now", Typed::Help),
        ] {
            assert_eq!(typed(line), expected, "{line:?}");
        }
    }
}
