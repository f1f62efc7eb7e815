//! The servers that tests drive for real. What is missing is installed from Debian's packages where that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::say;

/// A program, where Debian puts it besides the search path, and its package.
const SERVERS: &[(&str, &[&str], &str)] = &[
    ("initdb", &["/usr/lib/postgresql/*/bin"], "postgresql"),
    ("mariadbd", &["/usr/sbin"], "mariadb-server"),
    ("redis-server", &[], "redis-server"),
    ("rabbitmq-server", &["/usr/sbin", "/usr/lib/rabbitmq/bin"], "rabbitmq-server"),
    ("nats-server", &["/usr/sbin"], "nats-server"),
];

/// Installs those that are missing; else says which command does.
pub(crate) fn ensure() -> Result<()> {
    let missing = || SERVERS.iter().filter(|(program, folders, _)| !is_there(program, folders));
    let packages: Vec<&str> = missing().map(|(_, _, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !is_there("apt-get", &[]) {
        bail!("tests need servers that are not installed: {}\nhint: on Debian `{by_hand}`", packages.join(", "));
    }
    say(&format!("$ {by_hand}"));
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["--quiet", "--yes"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        apt.status().is_ok_and(|status| status.success())
    };
    let install: Vec<&str> =
        ["install", "--no-install-recommends"].into_iter().chain(packages.iter().copied()).collect();
    // A new machine has no list of packages yet, or an old one.
    if !(apt(&["update"]) && apt(&install)) || missing().next().is_some() {
        bail!("the servers that tests need could not be installed\nhint: as root `apt-get update && {by_hand}`");
    }
    Ok(())
}

fn is_there(program: &str, folders: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    on_path || folders.iter().any(|folder| is_within(folder, program))
}

/// `/a/*/b` stands for any folder between.
fn is_within(folder: &str, program: &str) -> bool {
    let Some((before, after)) = folder.split_once("/*/") else { return Path::new(folder).join(program).is_file() };
    let between = std::fs::read_dir(before).into_iter().flatten().flatten();
    between.map(|entry| entry.path().join(after).join(program)).any(|path| path.is_file())
}
