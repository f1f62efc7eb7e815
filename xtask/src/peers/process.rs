//! Servers under test: started on free ports of this machine, ended by their id, and asked of the system what their
//! threads cost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel counts processor time in hundredths.
const TICKS: f64 = 100.0;

/// A server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    name: String,
    /// Held open: who writes to a pipe that nobody reads is ended.
    out: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it; what it writes to stderr is kept in `log`.
    pub(crate) fn start(mut command: Command, name: &str, log: &Path) -> Result<Server> {
        let stderr = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let out = child.stdout.take().context("no pipe for its stdout")?;
        Ok(Server { child, name: name.to_owned(), out: BufReader::new(out) })
    }

    /// Reads addresses off the lines that it prints at its start: `<name> http://<address>`.
    pub(crate) fn addresses<const N: usize>(&mut self, names: [&str; N]) -> Result<[String; N]> {
        let mut found = names.map(|_| String::new());
        for line in self.out.by_ref().lines() {
            let line = line?;
            for (name, address) in names.iter().zip(&mut found) {
                if let Some(rest) = line.trim().strip_prefix(name) {
                    *address = rest.trim().trim_start_matches("http://").to_owned();
                }
            }
            if found.iter().all(|address| !address.is_empty()) {
                return Ok(found);
            }
        }
        bail!("{} ended before it said where it listens", self.name)
    }

    /// Waits until someone listens there.
    pub(crate) fn until_listening(&mut self, address: SocketAddr) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status})", self.name);
            }
            if started.elapsed() > PATIENCE {
                bail!("{} does not listen on {address}", self.name);
            }
            std::thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// Seconds of processor time so far, by the names of its threads.
    pub(crate) fn busy(&self) -> Result<BTreeMap<String, f64>> {
        let mut busy = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // One that has just ended has no file any more.
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
            if let Some((name, seconds)) = thread_time(&stat) {
                *busy.entry(name).or_default() += seconds;
            }
        }
        let whole = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let whole = thread_time(&whole).map_or(0.0, |(_, seconds)| seconds);
        let ended = whole - busy.values().sum::<f64>();
        busy.insert("threads that ended".to_owned(), ended.max(0.0));
        Ok(busy)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Name, and user and system time: the second, fourteenth and fifteenth field.
fn thread_time(stat: &str) -> Option<(String, f64)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), (user + system) / TICKS))
}

/// A port that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::thread_time;

    #[test]
    fn a_threads_time_is_read_whatever_its_name() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(thread_time(stat), Some(("a b) c".to_owned(), 2.0)));
    }
}
