//! What `--help` says, and the commands that only read contracts.

use std::process::{Command, Output};

use crate::support::CONTRACT;

fn truegreen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_truegreen")).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn help_of(name: &str) -> String {
    let mut whole = truegreen::commands::description().term_width(100);
    whole.build();
    let command = whole.find_subcommand_mut(name).unwrap();
    command.render_long_help().to_string()
}

#[test]
fn help_reads_well() {
    insta::assert_snapshot!("help", truegreen::commands::description().term_width(100).render_long_help().to_string());
    let names = [
        "demo",
        "serve",
        "check",
        "explain",
        "status",
        "trace",
        "probe",
        "dlq",
        "change",
        "changes",
        "investigate",
        "incident",
        "learn",
        "audit",
        "diagnose",
        "contrast",
        "store",
        "schema",
    ];
    for name in names {
        insta::assert_snapshot!(format!("help_{name}"), help_of(name));
    }
}

#[test]
fn what_writes_records_says_how() {
    let mut whole = truegreen::commands::description().term_width(100);
    whole.build();
    let incident = whole.find_subcommand_mut("incident").unwrap();
    let parts = ["open", "list", "show", "note", "action", "close", "export", "affected"];
    let help = parts.map(|name| incident.find_subcommand_mut(name).unwrap().render_help().to_string());
    insta::assert_snapshot!("help_incident_parts", help.join("\n"));
}

#[test]
fn usage_mistakes_are_exit_code_2() {
    assert_eq!(truegreen(&["serve"]).status.code(), Some(2));
    assert_eq!(truegreen(&["demo", "--fault", "fire"]).status.code(), Some(2));
    assert_eq!(truegreen(&["demo", "--for", "5 parsecs"]).status.code(), Some(2));
}

#[test]
fn check_tells_mistakes_by_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    std::fs::write(dir.path().join("orders.yaml"), CONTRACT).unwrap();
    let output = truegreen(&["check", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 flow in 1 file can be watched"));

    std::fs::write(dir.path().join("wrong.yml"), "flow: x\nstrat: {}\n").unwrap();
    let output = truegreen(&["check", &path]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("wrong.yml:2"), "{said}");
    assert!(!said.contains('\x1b'), "no colours but on a terminal");
}

#[test]
fn explain_tells_a_flow_and_names_those_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    std::fs::write(dir.path().join("orders.yaml"), CONTRACT).unwrap();
    let output = truegreen(&["explain", &path, "orders"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("place order"));
    let output = truegreen(&["explain", &path, "refunds"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: there are orders"));
}

#[test]
fn the_schema_is_json() {
    let output = truegreen(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["$schema"].is_string());
}
