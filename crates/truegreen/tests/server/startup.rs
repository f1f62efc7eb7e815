//! What keeps a server from starting is said in full, with who must change what.

use std::process::{Command, Output};

use crate::restart::Served;
use crate::support::CONTRACT;

fn truegreen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_truegreen")).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = truegreen(args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("orders.yaml"), CONTRACT).unwrap();
    let path = dir.path().display().to_string();
    (dir, path)
}

#[test]
fn a_taken_port_is_named() {
    let (_dir, flows) = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = "127.0.0.1:0";
    let address = format!("127.0.0.1:{port}");
    let said = refused(&["serve", "--flows", &flows, "--grpc", free, "--http", &address, "--web", free]);
    let (_, error) = said.split_once("error: ").unwrap();
    insta::assert_snapshot!(error.replace(&port, "PORT"));
}

#[test]
fn a_folder_that_is_not_there_or_holds_nothing_is_named() {
    let said = refused(&["serve", "--flows", "/no/such/folder"]);
    assert!(said.contains("/no/such/folder") && said.contains("hint:"), "{said}");
    let empty = tempfile::tempdir().unwrap();
    let said = refused(&["serve", "--flows", &empty.path().display().to_string()]);
    assert!(said.contains("no contract in") && said.contains("hint:"), "{said}");
}

#[test]
fn a_contract_that_is_no_text_is_named() {
    let (dir, flows) = folder();
    std::fs::write(dir.path().join("broken.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let said = refused(&["check", &flows]);
    assert!(said.contains("broken.yaml") && said.contains("UTF-8"), "{said}");
}

#[test]
fn an_address_that_others_can_reach_must_be_asked_for() {
    let (_dir, flows) = folder();
    let said = refused(&["serve", "--flows", &flows, "--web", "0.0.0.0:0"]);
    assert!(said.contains("--allow-remote"), "{said}");
}

#[test]
fn every_mistake_of_a_configuration_is_told_with_its_line() {
    let (dir, flows) = folder();
    let config = dir.path().join("truegreen.config");
    std::fs::write(&config, "listen:\n  grcp: x\nretention: never\n").unwrap();
    let said = refused(&["serve", "--flows", &flows, "--config", &config.display().to_string()]);
    assert!(said.contains(":2: unknown field `listen.grcp`") && said.contains(":3: `retention`"), "{said}");
}

/// Scenario: SIGTERM while serving. Guarantee: it ends in order, with exit code 0.
#[test]
fn sigterm_ends_in_order() {
    let (_dir, flows) = folder();
    let mut served = Served::start(&flows, None);
    let status = truegreen(&["status", "--url", &served.web, "--json"]);
    assert!(status.status.success(), "{status:?}");
    assert!(String::from_utf8(status.stdout).unwrap().contains("\"orders\""));
    let killed = Command::new("kill").args(["-TERM", &served.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn status_says_when_nobody_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = refused(&["status", "--url", &url]);
    assert!(said.contains("no answer from") && said.contains("hint:"), "{said}");
}
