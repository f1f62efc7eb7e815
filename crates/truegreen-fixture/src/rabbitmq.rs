//! RabbitMQ with its management API and an epmd of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Error, Process, Program, free_port};

const INSTALL: &str = "apt-get install rabbitmq-server";
// Debian's own wrapper insists on another user; the server's script does not.
const SERVER: Program = Program { name: "rabbitmq-server", folders: &["/usr/lib/rabbitmq/bin"], install: INSTALL };
const EPMD: Program = Program { name: "epmd", folders: &["/usr/lib/erlang/bin"], install: INSTALL };
const WRAPPER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// One RabbitMQ node. It knows the user `guest` with the password `guest`.
#[derive(Debug)]
pub struct Rabbitmq {
    // None only while it is stopped; it goes before the epmd that it is known to.
    process: Option<Process>,
    stopped: Option<TempDir>,
    ports: Ports,
    epmd: Epmd,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    management: u16,
    distribution: u16,
}

impl Rabbitmq {
    /// A node of its own, with the management plugin.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start() -> Result<Rabbitmq, Error> {
        Rabbitmq::start_with("")
    }

    /// The same, with further lines of `rabbitmq.conf`.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_with(lines: &str) -> Result<Rabbitmq, Error> {
        let ports = Ports { amqp: free_port()?, management: free_port()?, distribution: free_port()? };
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("home"))?;
        fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_management].\n")?;
        fs::write(folder.path().join("environment"), "")?;
        // Figures of quorum queues come every second, as those of others do.
        fs::write(folder.path().join("advanced.config"), "[{rabbit, [{quorum_tick_interval, 1000}]}].\n")?;
        let Ports { amqp, management, .. } = ports;
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             log.console = true\nlog.file = false\ncollect_statistics_interval = 1000\n{lines}\n"
        );
        fs::write(folder.path().join("rabbitmq.conf"), config)?;
        let epmd = Epmd::start()?;
        let process = run(folder, ports, epmd.port)?;
        Ok(Rabbitmq { process: Some(process), stopped: None, ports, epmd })
    }

    /// `amqp://guest:guest@127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports.amqp)
    }

    /// `http://127.0.0.1:PORT`, of the management API.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    /// The port of AMQP on loopback.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its folder while it runs.
    pub fn folder(&self) -> Option<&Path> {
        self.process.as_ref().map(Process::folder)
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

    /// Starts it again, after a kill where it still runs, on the same folder and ports.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        if let Some(folder) = self.stopped.take() {
            self.process = Some(run(folder, self.ports, self.epmd.port)?);
        }
        Ok(())
    }
}

fn run(folder: TempDir, ports: Ports, epmd: u16) -> Result<Process, Error> {
    let wrapper = Path::new(WRAPPER);
    let program = if wrapper.is_file() { wrapper.to_owned() } else { SERVER.find()? };
    let within = |name: &str| folder.path().join(name);
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        // No name service is needed for a node on localhost, and its cookie lies in its own home.
        .env("HOSTNAME", "localhost")
        .env("HOME", within("home"))
        // The script becomes the server then, so that one process id is all there is to stop.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", epmd.to_string())
        .env("RABBITMQ_NODENAME", format!("truegreen{}@localhost", ports.amqp))
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_MNESIA_BASE", within("data"))
        .env("RABBITMQ_LOG_BASE", within("logs"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", within("feature_flags"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", within("generated"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", within("advanced.config"))
        .env("RABBITMQ_CONF_ENV_FILE", within("environment"))
        .env("RABBITMQ_PID_FILE", within("pid"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}");
    let addresses = [ports.management, ports.amqp].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    Process::start("rabbitmq-server", command, folder, &addresses)
}

/// The port mapper of Erlang; else the first node would leave one running for all.
#[derive(Debug)]
struct Epmd {
    child: Child,
    port: u16,
}

impl Epmd {
    fn start() -> Result<Epmd, Error> {
        let port = free_port()?;
        let child = Command::new(EPMD.find()?)
            .args(["-port", &port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut epmd = Epmd { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if epmd.child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(20) {
                let why = "it ended, or listens nowhere".to_owned();
                return Err(Error::Silent { program: "epmd", why, log: String::new() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(epmd)
    }
}

impl Drop for Epmd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
