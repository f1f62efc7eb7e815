//! One server process.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it answers, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("{program} is not installed\nhint: {install}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// It ended, or does not answer.
    #[error("{program} does not answer: {why}\n{log}")]
    Silent {
        /// The program.
        program: &'static str,
        /// What became of it.
        why: String,
        /// The end of what it logged.
        log: String,
    },
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A program that may be installed.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Where it may be, besides the search path.
    pub folders: &'static [&'static str],
    /// The command that installs it.
    pub install: &'static str,
}

impl Program {
    /// Where it is.
    ///
    /// # Errors
    /// Where it is not.
    pub fn find(&self) -> Result<PathBuf, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(self.folders.iter().map(PathBuf::from))
            .map(|folder| folder.join(self.name))
            .find(|program| program.is_file())
            .ok_or(Error::Missing { program: self.name, install: self.install })
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it, its output into `log` within `folder`, and waits until it accepts connections at all of these addresses.
    ///
    /// # Errors
    /// Where it cannot be started or does not answer, with the end of its log.
    pub fn start(
        name: &'static str,
        mut command: Command,
        folder: TempDir,
        addresses: &[SocketAddr],
    ) -> Result<Process, Error> {
        let log = File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Process { name, child: command.spawn()?, folder };
        for address in addresses {
            process.wait_until(|| TcpStream::connect_timeout(address, PAUSE).is_ok())?;
        }
        Ok(process)
    }

    /// Waits until that is so, while it runs.
    ///
    /// # Errors
    /// Where it ended first, or takes too long.
    pub fn wait_until(&mut self, mut is_so: impl FnMut() -> bool) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            if is_so() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.silent(format!("it ended with {status}")));
            }
            if began.elapsed() > PATIENCE {
                return Err(self.silent(format!("not within {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn silent(&self, why: String) -> Error {
        let log = fs::read(self.folder().join("log")).unwrap_or_default();
        let end = log.len().saturating_sub(2_000);
        Error::Silent { program: self.name, why, log: String::from_utf8_lossy(&log[end..]).into_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, gone when it is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it as a crash would, and keeps its folder, for another start.
    ///
    /// # Errors
    /// Where the system does not.
    pub fn kill(mut self) -> Result<TempDir, Error> {
        self.child.kill()?;
        self.child.wait()?;
        // What is left of it is dropped after its folder was taken out.
        let other = tempfile::tempdir()?;
        Ok(std::mem::replace(&mut self.folder, other))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
