//! Letters sent back on real systems, while the command is killed again and again and the system is restarted.

#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::PATIENCE;

const KILLS: u32 = 20;

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

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Begins, is killed at random, resumes, and again; `between` hears how often so far, and whether the selection is whole.
    fn kill(&self, begin: &[&str], letters: usize, mut between: impl FnMut(u32, bool)) {
        let mut random = fastrand::Rng::with_seed(7);
        for kill in 1..=KILLS {
            let ids = self.ids();
            let mut child = match ids.first() {
                Some(id) => self.start(&["redrive", "--resume", id]),
                None => self.start(begin),
            };
            // The first dies before its selection is whole, the others between any two writes behind it.
            let more = if kill == 1 { 1 } else { random.u64(1..letters as u64 * 20) };
            wait(&mut child, &self.journals(), more);
            child.kill().unwrap();
            child.wait().unwrap();
            between(kill, !self.ids().is_empty());
        }
    }

    fn journals(&self) -> PathBuf {
        self.folder.path().join("truegreen-data/dead-letters")
    }

    /// The ids of redrives whose selection is whole.
    fn ids(&self) -> Vec<String> {
        let told: Value = serde_json::from_str(&self.said(&["history", "--json"])).unwrap();
        let records = told["records"].as_array().unwrap();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Waits until it has written so much more, or has ended by itself.
fn wait(child: &mut Child, journals: &Path, more: u64) {
    let total = || {
        let files = std::fs::read_dir(journals).into_iter().flatten();
        files.map(|file| length(&file.unwrap().path())).sum::<u64>()
    };
    let (before, began) = (total(), Instant::now());
    while total() < before + more {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it does not get on");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
