//! The server as a process of its own, ended by its id whatever happens.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, Result};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;
use crate::post::Ways;

pub(crate) struct Served {
    child: Child,
    /// Held open: whoever serves must be able to say so to its end.
    _stdout: BufReader<ChildStdout>,
    pub(crate) ways: Ways,
    pub(crate) web: String,
}

/// What a process that was asked to stop gets for it.
const STOPPING: Duration = Duration::from_secs(20);

impl Served {
    /// Starts a server; `most_bytes` is the longest file that it may write.
    pub(crate) fn start(program: &Path, place: &Place, most_bytes: Option<u64>) -> Result<Served> {
        let free = "127.0.0.1:0";
        let program = std::path::absolute(program)?;
        let mut command = match most_bytes {
            None => Command::new(program),
            // Ignored signals stay ignored, so that the write fails instead.
            Some(bytes) => {
                let mut shell = Command::new("sh");
                let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
                shell.args(["-c", &script]).arg(program);
                shell
            }
        };
        command.arg("serve").arg("--flows").arg(place.flows()).arg("--config").arg(place.config());
        command.args(["--grpc", free, "--http", free, "--web", free]);
        let log = File::options().create(true).append(true).open(place.root().join("server.log"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or_else(|| Error::other("no output"))?);
        match addresses(&mut stdout) {
            Ok([grpc, http, web]) => Ok(Served { child, _stdout: stdout, ways: Ways { grpc, http }, web }),
            Err(error) => {
                drop(child.kill());
                let status = child.wait()?;
                Err(Error::other(format!("the server does not start ({status}): {error}")))
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGTERM, and waits.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if asked.elapsed() > STOPPING {
                return Err(Error::other("the server does not stop"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What it says it listens on.
fn addresses(stdout: &mut BufReader<ChildStdout>) -> Result<[String; 3]> {
    let mut found = Vec::new();
    while found.len() < 3 {
        let mut line = String::new();
        if stdout.read_line(&mut line)? == 0 {
            return Err(Error::other("it ended"));
        }
        let last = line.split_whitespace().last().unwrap_or_default();
        found.extend(last.strip_prefix("http://").map(str::to_owned));
    }
    found.try_into().map_err(|_| Error::other("three addresses"))
}
