//! NATS with JetStream: one server, or three that keep three copies.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::{Error, Process, Program, free_port};

const SERVER: Program =
    Program { name: "nats-server", folders: &["/usr/sbin", "/usr/local/bin"], install: "apt-get install nats-server" };

/// How often a start is tried again where somebody took a port first.
const TRIES: usize = 3;

/// One server, its store in a folder of its own.
#[derive(Debug)]
pub struct Nats {
    running: Option<Process>,
    /// Its folder while it does not run.
    folder: Option<TempDir>,
    port: u16,
    monitoring: u16,
    arguments: Vec<String>,
}

impl Nats {
    /// Starts it, with JetStream.
    ///
    /// # Errors
    /// Where it is not installed, or does not answer.
    pub fn start() -> Result<Nats, Error> {
        Nats::start_with("jetstream {}\n")
    }

    /// Starts it with this text of configuration in place of plain JetStream; `{store}` in it is its folder.
    ///
    /// # Errors
    /// Where it is not installed, or does not answer.
    pub fn start_with(configuration: &str) -> Result<Nats, Error> {
        let mut tried = 0;
        loop {
            let node = Node { name: "alone".into(), port: free_port()?, monitoring: free_port()?, cluster: None };
            match node.start(configuration) {
                Err(Error::Silent { .. }) if tried < TRIES => tried += 1,
                started => return started,
            }
        }
    }

    /// Where it is: `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its monitoring is: `http://127.0.0.1:PORT`.
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitoring)
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Process::id)
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// Where the system does not.
    pub fn kill(&mut self) -> Result<(), Error> {
        if let Some(process) = self.running.take() {
            self.folder = Some(process.kill()?);
        }
        Ok(())
    }

    /// Starts it again on the same ports and folder, killed first where it runs.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        if let Some(folder) = self.folder.take() {
            let mut command = Command::new(SERVER.find()?);
            command.args(&self.arguments);
            self.running = Some(Process::start(SERVER.name, command, folder, &[address(self.port)])?);
        }
        Ok(())
    }
}

/// Three servers; streams of three replicas live on all of them.
#[derive(Debug)]
pub struct NatsCluster {
    /// Its servers.
    pub nodes: Vec<Nats>,
}

impl NatsCluster {
    /// Starts them. A leader is elected some seconds later.
    ///
    /// # Errors
    /// Where it is not installed, or does not answer.
    pub fn start() -> Result<NatsCluster, Error> {
        let mut routes = Vec::new();
        for _ in 0..3 {
            routes.push(free_port()?);
        }
        let mut nodes = Vec::new();
        for (index, own) in routes.iter().enumerate() {
            let node = Node {
                name: format!("node-{index}"),
                port: free_port()?,
                monitoring: free_port()?,
                cluster: Some((*own, routes.clone())),
            };
            nodes.push(node.start("jetstream {}\n")?);
        }
        Ok(NatsCluster { nodes })
    }

    /// The address of the first that runs, with the others behind it.
    pub fn url(&self) -> String {
        let running: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| node.running.is_some())
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("nats://{}", running.join(","))
    }
}

/// What one server is told.
struct Node {
    name: String,
    port: u16,
    monitoring: u16,
    cluster: Option<(u16, Vec<u16>)>,
}

impl Node {
    fn start(self, configuration: &str) -> Result<Nats, Error> {
        let program = SERVER.find()?;
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        let mut text = format!("server_name: {}\nhost: 127.0.0.1\nport: {}\n", self.name, self.port);
        text += &format!("http: \"127.0.0.1:{}\"\n", self.monitoring);
        let place = format!("jetstream {{ store_dir: \"{}\" ", store.display());
        text += &configuration.replace("jetstream {", &place).replace("{store}", &store.display().to_string());
        if let Some((own, routes)) = &self.cluster {
            let routes: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
            text += &format!(
                "cluster {{ name: fixture, listen: \"127.0.0.1:{own}\", routes: [\"{}\"] }}\n",
                routes.join("\", \"")
            );
        }
        let file = folder.path().join("nats.conf");
        fs::write(&file, text)?;
        let arguments = vec!["-c".to_owned(), file.display().to_string()];
        let mut command = Command::new(program);
        command.args(&arguments);
        let process = Process::start(SERVER.name, command, folder, &[address(self.port), address(self.monitoring)])?;
        Ok(Nats { running: Some(process), folder: None, port: self.port, monitoring: self.monitoring, arguments })
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
