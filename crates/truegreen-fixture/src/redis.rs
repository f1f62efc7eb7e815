//! Redis.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Error, Process, Program, free_port};

const PROGRAM: Program = Program { name: "redis-server", folders: &[], install: "apt-get install redis-server" };

/// One Redis, without snapshots or a log unless it is told to keep one.
#[derive(Debug)]
pub struct Redis {
    // None only while it is stopped.
    process: Option<Process>,
    stopped: Option<TempDir>,
    arguments: Vec<String>,
    password: Option<String>,
    port: u16,
}

impl Redis {
    /// One that keeps nothing on disk.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start() -> Result<Redis, Error> {
        Redis::start_with(&[])
    }

    /// One that keeps every write on disk before it answers, so that it comes back as it was after [`Redis::restart`].
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_durable() -> Result<Redis, Error> {
        Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One that asks for this password.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_with_password(password: &str) -> Result<Redis, Error> {
        let mut redis = Redis::start_with(&["--requirepass", password])?;
        redis.password = Some(password.to_owned());
        Ok(redis)
    }

    /// A replica of another one.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn replica_of(primary: &Redis) -> Result<Redis, Error> {
        let port = primary.port.to_string();
        let mut arguments = vec!["--replicaof", "127.0.0.1", &port];
        if let Some(password) = &primary.password {
            arguments.extend(["--masterauth", password]);
        }
        Redis::start_with(&arguments)
    }

    /// One with further arguments of `redis-server`.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_with(arguments: &[&str]) -> Result<Redis, Error> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let port = free_port()?;
        let process = run(tempfile::tempdir()?, port, &arguments)?;
        Ok(Redis { process: Some(process), stopped: None, arguments, password: None, port })
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, with its password where it has one.
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> Option<&Path> {
        self.process.as_ref().map(Process::folder)
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Kills it as a crash would, and keeps its folder.
    ///
    /// # Errors
    /// Where the system does not.
    pub fn stop(&mut self) -> Result<(), Error> {
        if let Some(process) = self.process.take() {
            self.stopped = Some(process.kill()?);
        }
        Ok(())
    }

    /// Starts it again, after a kill where it still runs, on the same folder and port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        if let Some(folder) = self.stopped.take() {
            self.process = Some(run(folder, self.port, &self.arguments)?);
        }
        Ok(())
    }
}

fn run(folder: TempDir, port: u16, arguments: &[String]) -> Result<Process, Error> {
    let mut command = Command::new(PROGRAM.find()?);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(folder.path())
        .args(arguments);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut process = Process::start("redis-server", command, folder, &[address])?;
    process.wait_until(|| is_loaded(address).unwrap_or_default())?;
    Ok(process)
}

/// Whether it has read what it kept. It accepts connections before, and answers nothing else.
fn is_loaded(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(!answer.starts_with(b"-LOAD"))
}
