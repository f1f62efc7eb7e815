//! Real servers for the demo to run on, started and stopped by the example `serve` of `truegreen-fixture`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{new_cargo, root};

/// By which flag of the demo each is told.
const FLAGS: &[(&str, &str)] = &[
    ("rabbitmq", "--broker"),
    ("nats", "--broker"),
    ("kafka", "--broker"),
    ("postgres", "--database"),
    ("mariadb", "--database"),
    ("redis", "--cache"),
];
/// What is run on them where no fault is named.
pub(super) const FAULTS: &[&str] =
    &["silent-skip", "slow-consumer", "stale-cache", "zero-row-update", "lost-publish", "stuck-consumer"];

/// Takes `--parts NAME,NAME` out of the arguments, and leaves the faults.
pub(super) fn asked_for<'a>(arguments: &[&'a str]) -> Result<(Option<&'a str>, Vec<&'a str>)> {
    let mut rest = arguments.to_vec();
    let Some(at) = rest.iter().position(|argument| *argument == "--parts") else { return Ok((None, rest)) };
    if at + 1 == rest.len() {
        bail!("--parts names none\nhint: --parts rabbitmq,postgres,redis");
    }
    let parts = rest.remove(at + 1);
    rest.remove(at);
    if rest.is_empty() {
        rest = FAULTS.to_vec();
    }
    Ok((Some(parts), rest))
}

/// Servers that run until it is dropped.
pub(super) struct Parts {
    names: String,
    flags: Vec<String>,
    serving: Child,
}

/// Builds what starts servers, and runs it.
pub(super) fn serve() -> Command {
    let mut cargo = new_cargo();
    cargo.args(["run", "--quiet", "--package", "truegreen-fixture", "--example", "serve", "--"]);
    cargo
}

impl Parts {
    /// By a program that starts servers by their names, [`serve`] or one that is built.
    pub(super) fn start(names: &str, mut serve: Command) -> Result<Parts> {
        let wanted: Vec<&str> = names.split(',').collect();
        serve.args(&wanted).stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(root());
        let mut serving = serve.spawn().context("cannot start what starts the servers")?;
        let told = serving.stdout.take().context("the servers tell nothing")?;
        let mut parts = Parts { names: names.to_owned(), flags: Vec::new(), serving };
        for line in BufReader::new(told).lines().take(wanted.len()) {
            let line = line.context("the servers do not tell where they are")?;
            let (name, url) = line.split_once(' ').with_context(|| format!("no address: {line}"))?;
            let flag = FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
            parts
                .flags
                .extend([flag.with_context(|| format!("the demo has no use for {name}"))?.to_owned(), url.to_owned()]);
        }
        if parts.flags.len() != 2 * wanted.len() {
            bail!("not all of {names} came up: the reason stands above");
        }
        Ok(parts)
    }

    /// As the command line names them.
    pub(super) fn named(&self) -> String {
        format!(" --parts {}", self.names)
    }

    pub(super) fn flags(&self) -> &[String] {
        &self.flags
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // They stop when they have nobody to listen to.
        drop(self.serving.stdin.take());
        let _stopped = self.serving.wait();
    }
}
