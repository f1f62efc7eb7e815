//! The rules of the house that no lint knows, read from cargo's own metadata.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::new_cargo;

/// For each crate, the crates of this workspace that it may know: in its dependencies, and in its tests besides.
/// A crate is cut only where something must not cross; here is what must not.
const MAY_KNOW: &[(&str, &[&str], &[&str])] = &[
    ("truegreen-model", &[], &[]),
    ("truegreen-otlp", &[], &[]),
    ("truegreen-engine", &["truegreen-model", "truegreen-otlp"], &[]),
    ("truegreen-store", &["truegreen-model"], &[]),
    ("truegreen-connect", &["truegreen-model"], &["truegreen-fixture"]),
    ("truegreen-demo", &["truegreen-model", "truegreen-connect"], &["truegreen-fixture"]),
    (
        "truegreen",
        &[
            "truegreen-model",
            "truegreen-otlp",
            "truegreen-engine",
            "truegreen-store",
            "truegreen-connect",
            "truegreen-demo",
        ],
        &["truegreen-fixture"],
    ),
    // Real servers for tests: no part of the product knows how to start one.
    ("truegreen-fixture", &[], &[]),
    ("truegreen-sim", &["truegreen-model", "truegreen-otlp", "truegreen-engine", "truegreen-store"], &[]),
    // Beside the server, so that neither it nor the simulation carries a sender of load.
    ("truegreen-load", &["truegreen-model", "truegreen-otlp", "truegreen-engine", "truegreen"], &[]),
    ("xtask", &[], &[]),
];

/// What the pure crates must not depend on: no runtime, no network, no files, no clock.
const PURE: &[&str] = &["truegreen-model", "truegreen-otlp", "truegreen-engine"];
const IMPURE: &[&str] = &["tokio", "axum", "hyper", "rusqlite", "ureq", "rand", "chrono"];

/// Checks them all and reports every breach.
pub(crate) fn check() -> Result<()> {
    let output = new_cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let breaches: Vec<String> = packages.iter().flat_map(breaches).collect();
    if !breaches.is_empty() {
        bail!("the house is not tidy:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

fn breaches(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, normal, tests)) = MAY_KNOW.iter().find(|(of, ..)| *of == name) else {
        return vec![format!("{name} has no line in xtask/src/tidy.rs: say which crates it may know")];
    };
    let ours: BTreeSet<&str> = MAY_KNOW.iter().map(|(of, ..)| *of).collect();
    let mut breaches = Vec::new();
    for (kind, dependencies) in dependencies(package) {
        for dependency in dependencies {
            let allowed = normal.contains(&dependency) || (kind == "dev" && tests.contains(&dependency));
            if ours.contains(dependency) && !allowed {
                breaches.push(format!("{name} must not know {dependency}"));
            }
            if PURE.contains(&name) && kind == "normal" && IMPURE.contains(&dependency) {
                breaches.push(format!("{name} is pure and must not depend on {dependency}"));
            }
        }
    }
    breaches
}

fn dependencies(package: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut by_kind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let kind = dependency["kind"].as_str().unwrap_or("normal");
        by_kind.entry(kind).or_default().extend(dependency["name"].as_str());
    }
    by_kind
}
