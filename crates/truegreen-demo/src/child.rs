//! One service process, as its orchestrator holds it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Error;
use crate::config::ServiceConfig;
use crate::http::Ready;

/// How long a service may take to say its port: longer than a group of consumers may take to come together.
const START_TIMEOUT: Duration = Duration::from_secs(40);
/// How long a service may take to flush and end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a service's output an error shows.
const OUTPUT_SHOWN: usize = 2_000;

/// A running service. Dropping it closes its standard input, upon which it ends by itself.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) pid: u32,
    process: Child,
    stdin: Option<ChildStdin>,
    // Held so that the service can still write to it.
    _stdout: Lines<BufReader<ChildStdout>>,
    output: PathBuf,
}

impl Service {
    /// Starts `exe demo-service <role> --config <file>` and waits for its port.
    pub(crate) async fn start(exe: &Path, config: &ServiceConfig) -> Result<Service, Error> {
        let name = config.role.name();
        let config_path = config.run_dir.join(format!("{name}.json"));
        config.write(&config_path)?;
        let output = config.run_dir.join(format!("{name}.stderr"));
        let stderr = std::fs::File::create(&output).map_err(Error::file("create", &output))?;
        let mut command = Command::new(exe);
        command.args(["demo-service", name, "--config"]).arg(&config_path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        // The user's own settings would send the demo's telemetry elsewhere, or sample it.
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(variable);
        }
        config.parts.tell(&mut command);
        // A group of its own: Ctrl-C is for the orchestrator, which then stops its services in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn().map_err(Error::file("run", exe))?;
        let not_up = || Error::NotUp { service: name, waited: START_TIMEOUT, output: tail(&output) };
        let (Some(stdin), Some(stdout), Some(pid)) = (process.stdin.take(), process.stdout.take(), process.id()) else {
            return Err(not_up());
        };
        let mut lines = BufReader::new(stdout).lines();
        let port = tokio::time::timeout(START_TIMEOUT, first_port(&mut lines)).await;
        let port = port.ok().flatten().ok_or_else(not_up)?;
        Ok(Service { name, port, pid, process, stdin: Some(stdin), _stdout: lines, output })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn output(&self) -> String {
        tail(&self.output)
    }

    /// Asks the service to flush and end by closing its standard input, and kills it if it does not.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return Err(self.ended(format!("{status} before it was asked to")));
        }
        drop(self.stdin.take());
        let waited = tokio::time::timeout(STOP_TIMEOUT, self.process.wait()).await;
        let status = match waited {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                self.process.kill().await.map_err(Error::file("kill", Path::new(self.name)))?;
                format!("SIGKILL after {STOP_TIMEOUT:?}")
            }
        };
        Err(self.ended(status))
    }

    fn ended(&self, status: String) -> Error {
        Error::Ended { service: self.name, status, output: self.output() }
    }
}

/// None if the service ended first. What is not the port's line is left alone.
async fn first_port(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<u16> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(ready) = serde_json::from_str::<Ready>(&line) {
            return Some(ready.port);
        }
    }
    None
}

fn tail(output: &Path) -> String {
    let text = std::fs::read(output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let from = text.char_indices().rev().nth(OUTPUT_SHOWN).map_or(0, |(at, _)| at);
    match text[from..].trim() {
        "" => "(none)".to_owned(),
        shown => shown.to_owned(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::Service;
    use crate::Error;
    use crate::config::ServiceConfig;
    use crate::plan::Plan;
    use crate::{Fault, Setup};

    fn config(run_dir: &Path) -> ServiceConfig {
        let setup = Setup {
            otlp_endpoint: "http://127.0.0.1:1".into(),
            data_dir: run_dir.to_owned(),
            fault: Fault::None,
            fixed: false,
            rate_per_second: 1.0,
            seed: 1,
            load_for: Duration::from_secs(1),
            exe: "/".into(),
            run: "1".into(),
            parts: crate::Parts::default(),
        };
        let [_, orders, ..] = Plan { setup: &setup, run_dir }.services();
        orders
    }

    /// Scenario: the program is not the demo's own, or ends at once. Guarantee: an error with what it said, and no wait.
    #[tokio::test]
    async fn a_program_that_never_says_its_port_is_an_error_with_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let error = Service::start(Path::new("/bin/cat"), &config(dir.path())).await.err().unwrap();
        let Error::NotUp { service, output, .. } = &error else { panic!("{error}") };
        assert_eq!(*service, "orders");
        assert!(output.contains("--config") || output.contains("demo-service"), "{output}");
        let error = Service::start(Path::new("/no/such/program"), &config(dir.path())).await.err().unwrap();
        assert!(error.to_string().starts_with("cannot run /no/such/program"), "{error}");
    }
}
