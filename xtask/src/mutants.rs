//! Deliberate mutations of the engine. A test suite that lets one of them pass does not test what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{new_cargo, root, say};

struct Mutant {
    breaks: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        breaks: "the same observation twice counts twice",
        file: "ledger/shard.rs",
        from: "if case.seen.iter().any(|one| one.identity == seen.identity) {",
        to: "if false {",
    },
    Mutant {
        breaks: "a failed attempt fulfils its step",
        file: "ledger/judge.rs",
        from: "for one in seen.iter().filter(|one| !one.attempt) {",
        to: "for one in seen {",
    },
    Mutant {
        breaks: "entered_at is the latest start instead of the earliest",
        file: "ledger/judge.rs",
        from: "starts.map(|start| start.at).min()?",
        to: "starts.map(|start| start.at).max()?",
    },
    Mutant {
        breaks: "a later step does not prove its predecessor",
        file: "ledger/judge.rs",
        from: "satisfied[plan.steps[index].after] = true;",
        to: "",
    },
    Mutant {
        breaks: "grace is not granted",
        file: "ledger/judge.rs",
        from: "deadlines.push(due + plan.flow.grace);",
        to: "deadlines.push(due);",
    },
    Mutant {
        breaks: "a rejection outweighs a dead letter",
        file: "ledger/judge.rs",
        from: "dead_lettered.map(Verdict::DeadLettered).or_else(|| reason_of(ExitOutcome::Rejected).map(Verdict::Rejected))",
        to: "reason_of(ExitOutcome::Rejected).map(Verdict::Rejected).or(dead_lettered.map(Verdict::DeadLettered))",
    },
    Mutant {
        breaks: "one of several items is enough for a fan-out",
        file: "ledger/judge.rs",
        from: "last = last.max(Some(with_item.map(|one| one.at).min()?));",
        to: "last = last.max(with_item.map(|one| one.at).min());",
    },
    Mutant {
        breaks: "lost telemetry is taken for loss",
        file: "coverage/proof.rs",
        from: "Err(why) => Proof::Unprovable(why),",
        to: "Err(_) => Proof::Proven,",
    },
    Mutant {
        breaks: "the step's signal need not have been delivered",
        file: "coverage/proof.rs",
        from: "if is_shown && owing.iter().all(|id| self.delivers(*id, wait, limit)) {",
        to: "if is_shown {",
    },
    Mutant {
        breaks: "who is late with its telemetry proves a loss by being heard",
        file: "coverage/proof.rs",
        from: "if !reporting().all(|instance| instance.reach.is_past(wait, limit)) {",
        to: "if false {",
    },
    Mutant {
        breaks: "metrics prove a loss where spans broke off",
        file: "coverage/proof.rs",
        from: "let is_shown = reporting().all(|instance| !instance.reach.breaks_off(wait, limit));",
        to: "let is_shown = true;",
    },
    Mutant {
        breaks: "a restart forgets a change",
        file: "ledger/shard/keeping.rs",
        from: "if std::mem::take(&mut slot.is_dirty) && !slot.packed.is_empty() {",
        to: "if std::mem::take(&mut slot.is_dirty) && !slot.packed.is_empty() && slot.key.0 % 8 != 0 {",
    },
    Mutant {
        breaks: "a restart does not look at what was due",
        file: "ledger/shard/keeping.rs",
        from: "self.timers.set(case.timer, index);\n        for passage in",
        to: "for passage in",
    },
    Mutant {
        breaks: "events of threads are out of order",
        file: "ledger/mod.rs",
        from: "ordered.sort_by_key(|(order, _)| *order);",
        to: "",
    },
    Mutant {
        breaks: "an amended verdict stays where it was as well",
        file: "accounts/books.rs",
        from: "books.minute(from.entered_at.minute()).withdraw(from.standing);",
        to: "",
    },
];

/// Runs the ledger's tests against each mutant, in a copy of the workspace.
pub(crate) fn run() -> Result<()> {
    let copy = root().join("target/mutants/workspace");
    let mut survivors = Vec::new();
    mirror(&copy)?;
    if !tests_pass(&copy)? {
        bail!("the tests fail without any mutation: run `cargo test -p truegreen-sim`");
    }
    for mutant in MUTANTS {
        let path = copy.join("crates/truegreen-engine/src").join(mutant.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if text.matches(mutant.from).count() != 1 {
            bail!("{}: `{}` stands not exactly once: mend xtask/src/mutants.rs", mutant.file, mutant.from);
        }
        fs::write(&path, text.replace(mutant.from, mutant.to))?;
        let survived = tests_pass(&copy)?;
        fs::write(&path, text)?;
        say(&format!("{}  {}", if survived { "SURVIVED" } else { "caught  " }, mutant.breaks));
        if survived {
            survivors.push(mutant.breaks);
        }
    }
    say(&format!("mutants: {} of {} caught", MUTANTS.len() - survivors.len(), MUTANTS.len()));
    if survivors.is_empty() { Ok(()) } else { bail!("not caught: {}", survivors.join("; ")) }
}

fn tests_pass(copy: &Path) -> Result<bool> {
    let mut cargo = new_cargo();
    cargo
        .args(["test", "--quiet", "--package", "truegreen-sim", "--locked"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root().join("target/mutants/build"))
        // A mutant must not leave its failures among the kept seeds.
        .env("PROPTEST_FAILURE_PERSISTENCE", "off")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(cargo.status().context("cannot start cargo test")?.success())
}

/// Copies what git tracks.
fn mirror(copy: &Path) -> Result<()> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().context("cannot start git")?;
    for file in String::from_utf8_lossy(&listed.stdout).lines().map(PathBuf::from) {
        let to = copy.join(&file);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let from = root().join(&file);
        if from.exists() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_finds_its_text() {
        for mutant in MUTANTS {
            let path = root().join("crates/truegreen-engine/src").join(mutant.file);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches(mutant.from).count(), 1, "{}: `{}`", mutant.file, mutant.from);
        }
    }
}
