//! Letters sent back on real systems, while the command is killed again and again and the system is restarted. Each module is
//! one kind of system, filled and counted by its own means; [`trial`] is what they have in common.

#[cfg(feature = "redis")]
mod books;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql;
mod trial;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder with a configuration, and the commands of a person who stands in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// With one system, told in YAML.
    fn at(system: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("truegreen.yaml"), format!("systems:\n  system: {system}\n")).unwrap();
        Desk { folder }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
        command.current_dir(self.folder.path()).arg("dlq").args(args).env_remove("TRUEGREEN_LOG").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Both what it says and what it warns of, whatever became of it.
    fn told(&self, args: &[&str]) -> String {
        let output = self.run(args);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn journals(&self) -> PathBuf {
        self.folder.path().join("truegreen-data/dead-letters")
    }

    /// The ids of redrives whose selection is whole, the newest first.
    fn ids(&self) -> Vec<String> {
        let told: Value = serde_json::from_str(&self.said(&["history", "--json"])).unwrap();
        let records = told["records"].as_array().unwrap();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    fn record(&self, id: &str) -> Value {
        serde_json::from_str(&String::from_utf8(self.run(&["history", id, "--json"]).stdout).unwrap()).unwrap()
    }
}
