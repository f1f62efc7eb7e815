//! PostgreSQL, alone or as a streaming replica.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::{Error, Process, Program, free_port};

const FOLDER: &[&str] = &[
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/14/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
];
const INSTALL: &str = "apt-get install postgresql";
const USER: &str = "owner";
const PASSWORD: &str = "correct horse";

const fn program(name: &'static str) -> Program {
    Program { name, folders: FOLDER, install: INSTALL }
}

/// A PostgreSQL server with password log-in, its data gone when it is dropped. It trades all durability for speed.
#[derive(Debug)]
pub struct Postgres {
    // None only while it is stopped.
    process: Option<Process>,
    settings: Vec<String>,
    port: u16,
}

impl Postgres {
    /// An empty server. Its superuser is who [`Postgres::url`] logs in as.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start() -> Result<Postgres, Error> {
        let folder = home()?;
        let data = folder.path().join("data");
        fs::write(folder.path().join("password"), PASSWORD)?;
        let mut init = as_postgres(&program("initdb").find()?);
        init.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username", USER]);
        init.arg("--pwfile").arg(folder.path().join("password")).arg("--pgdata").arg(&data);
        hand_over(folder.path())?;
        finish("initdb", init.output()?)?;
        run(folder, &[])
    }

    /// A hot standby that streams from this one: read-only, and as far behind as its replay.
    ///
    /// # Errors
    /// Where the base backup fails or it does not start.
    pub fn replica_of(primary: &Postgres) -> Result<Postgres, Error> {
        let folder = home()?;
        hand_over(folder.path())?;
        let mut copy = as_postgres(&program("pg_basebackup").find()?);
        copy.args(["--no-sync", "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]);
        copy.args(["--host=127.0.0.1", "--port", &primary.port.to_string(), "--username", USER, "--pgdata"]);
        copy.arg(folder.path().join("data")).env("PGPASSWORD", PASSWORD);
        finish("pg_basebackup", copy.output()?)?;
        run(folder, &["-c", "cluster_name=standby"])
    }

    /// How its superuser logs in to the database `postgres`.
    pub fn url(&self) -> String {
        self.url_as(USER, &PASSWORD.replace(' ', "%20"))
    }

    /// How this user logs in there.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// What `psql` answers to these statements as its superuser: values alone, a row a line.
    ///
    /// # Errors
    /// What the server said.
    pub fn sql(&self, statements: &str) -> Result<String, Error> {
        let mut psql = Command::new(program("psql").find()?);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", &self.url()]);
        told("psql", psql, statements)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, which its own user may write to.
    pub fn folder(&self) -> &Path {
        self.process.as_ref().map_or(Path::new(""), Process::folder)
    }

    /// Ends it at once, as a crash would, and starts it again on the same folder and port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.quit();
        if let Some(process) = self.process.take() {
            self.process = Some(serve(process.kill()?, self.port, &self.settings)?);
        }
        Ok(())
    }

    /// A kill alone would leave its shared memory.
    fn quit(&mut self) {
        let Some(process) = &mut self.process else { return };
        let _asked = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
        let left = process.folder().join("data/postmaster.pid");
        let _ended = process.wait_until(|| !left.exists());
    }

    /// Gives a folder to the user that the server runs as, as a tablespace must be.
    ///
    /// # Errors
    /// Where the system does not.
    pub fn hand_over(&self, folder: &Path) -> Result<(), Error> {
        hand_over(folder)
    }
}

/// At once and with nothing left behind.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.quit();
    }
}

fn run(folder: TempDir, settings: &[&str]) -> Result<Postgres, Error> {
    let (port, settings) = (free_port()?, settings.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>());
    Ok(Postgres { process: Some(serve(folder, port, &settings)?), settings, port })
}

fn serve(folder: TempDir, port: u16, settings: &[String]) -> Result<Process, Error> {
    let mut server = as_postgres(&program("postgres").find()?);
    server.arg("-D").arg(folder.path().join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
    for setting in [
        "unix_socket_directories=",
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=8MB",
        "max_connections=30",
        "max_wal_size=64MB",
        "dynamic_shared_memory_type=mmap",
        "wal_receiver_status_interval=1s",
    ] {
        server.args(["-c", setting]);
    }
    server.args(settings);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut process = Process::start("postgres", server, folder, &[at])?;
    let mut is_ready = Command::new(program("pg_isready").find()?);
    is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).stdin(Stdio::null());
    process.wait_until(|| is_ready.status().is_ok_and(|status| status.success()))?;
    Ok(process)
}

/// What a client says to this.
pub(crate) fn told(name: &'static str, mut client: Command, sql: &str) -> Result<String, Error> {
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn()?;
    let (mut input, sql) = (child.stdin.take(), sql.to_owned());
    // It may answer before it has read everything.
    let writer = std::thread::spawn(move || input.as_mut().map_or(Ok(()), |input| input.write_all(sql.as_bytes())));
    let output = child.wait_with_output()?;
    // Where it ended before it read all, its error tells more.
    let _written = writer.join();
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    finish(name, output).map(|()| answer)
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    // Whoever starts it may stand in a folder that the other user cannot enter.
    command.current_dir("/");
    command
}

fn hand_over(folder: &Path) -> Result<(), Error> {
    if !is_root() {
        return Ok(());
    }
    let mut chown = Command::new("chown");
    chown.args(["-R", "postgres:postgres"]).arg(folder);
    finish("chown", chown.output()?)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn home() -> Result<TempDir, Error> {
    Ok(tempfile::Builder::new().prefix("postgres-").tempdir()?)
}

fn finish(program: &'static str, output: Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let why = format!("it ended with {}", output.status);
    Err(Error::Silent { program, why, log: String::from_utf8_lossy(&output.stderr).into_owned() })
}
