//! MariaDB, alone or as a replica.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::postgres::told;
use crate::{Error, Process, Program, free_port};

const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
const INSTALL: &str = "apt-get install mariadb-server";
const SERVER: Program = Program { name: "mariadbd", folders: FOLDERS, install: INSTALL };
const SET_UP: Program = Program { name: "mariadb-install-db", folders: FOLDERS, install: INSTALL };
const CLIENT: Program = Program { name: "mariadb", folders: FOLDERS, install: INSTALL };
/// A page file of its default size takes longer to write than all the rest.
const SMALL: [&str; 3] = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-flush-method=nosync"];
const USER: &str = "owner";
const PASSWORD: &str = "correct";

/// A MariaDB server with password log-in and a database `shop`, its data gone when it is dropped. It trades all durability
/// for speed, and its clock stands in another time zone than UTC, as many do.
#[derive(Debug)]
pub struct Mariadb {
    // None only while it is stopped.
    process: Option<Process>,
    settings: Vec<String>,
    port: u16,
}

impl Mariadb {
    /// An empty server. Its superuser is who [`Mariadb::url`] logs in as.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start() -> Result<Mariadb, Error> {
        run("", &["--server-id=1", "--log-bin=log-bin", "--log-bin-trust-function-creators=1"])
    }

    /// One that writes every commit down before it answers, so that it comes back as it was after [`Mariadb::restart`].
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_durable() -> Result<Mariadb, Error> {
        run("", &["--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync"])
    }

    /// With more settings, such as `--innodb-data-file-path=...`.
    ///
    /// # Errors
    /// Where it is not installed or does not start.
    pub fn start_with(settings: &[&str]) -> Result<Mariadb, Error> {
        run("", settings)
    }

    /// A read-only replica of this one.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn replica_of(primary: &Mariadb) -> Result<Mariadb, Error> {
        let follow = format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='{USER}', \
             MASTER_PASSWORD='{PASSWORD}', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos;\nSTART SLAVE;\n",
            primary.port
        );
        run(&follow, &["--server-id=2", "--read-only"])
    }

    /// How its superuser logs in to the database `shop`.
    pub fn url(&self) -> String {
        self.url_as(USER, PASSWORD)
    }

    /// How this user logs in there.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/shop", self.port)
    }

    /// What `mariadb` answers to these statements as its superuser, in the database `shop`: one line a row, a tab between
    /// columns.
    ///
    /// # Errors
    /// Where it is not installed, or the server refuses them.
    pub fn sql(&self, statements: &str) -> Result<String, Error> {
        let mut client = Command::new(CLIENT.find()?);
        client.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--protocol=tcp", "--host=127.0.0.1"]);
        client.args(["--port", &self.port.to_string(), "--user", USER, "shop"]).env("MYSQL_PWD", PASSWORD);
        told(CLIENT.name, client, statements)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it as a crash would, and starts it again on the same folder and port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(process) = self.process.take() {
            self.process = Some(serve(process.kill()?, self.port, &self.settings)?);
        }
        Ok(())
    }
}

fn run(follow: &str, settings: &[&str]) -> Result<Mariadb, Error> {
    let folder: TempDir = tempfile::Builder::new().prefix("mariadb-").tempdir()?;
    let (data, port) = (folder.path().join("data"), free_port()?);
    let mut set_up = Command::new(SET_UP.find()?);
    set_up.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    set_up.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]).args(SMALL);
    // Its temporary tables are named by numbers that another one beside it may have, too.
    set_up.env("TMPDIR", folder.path());
    let done = set_up.stdin(Stdio::null()).output()?;
    if !done.status.success() {
        let why = format!("it ended with {}", done.status);
        let log = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Error::Silent { program: SET_UP.name, why, log });
    }
    let first = folder.path().join("first.sql");
    let users = format!(
        "SET sql_log_bin=0;\nCREATE DATABASE IF NOT EXISTS shop;\n\
         CREATE OR REPLACE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO {USER}@'127.0.0.1' WITH GRANT OPTION;\n{follow}"
    );
    fs::write(&first, users)?;
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Ok(Mariadb { process: Some(serve(folder, port, &settings)?), settings, port })
}

fn serve(folder: TempDir, port: u16, settings: &[String]) -> Result<Process, Error> {
    let (data, first) = (folder.path().join("data"), folder.path().join("first.sql"));
    let mut server = Command::new(SERVER.find()?);
    server.arg("--no-defaults").arg("--datadir").arg(&data).arg("--init-file").arg(&first);
    server.arg("--socket").arg(folder.path().join("socket")).arg("--pid-file").arg(folder.path().join("pid"));
    server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=30"]);
    server.args(["--port", &port.to_string(), "--innodb-flush-log-at-trx-commit=0"]).args(SMALL).args(settings);
    server.env("TZ", "JST-9").env("TMPDIR", folder.path());
    // It refuses root unless it is told; for everybody else the option is only a warning.
    server.arg("--user=root");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Process::start("mariadbd", server, folder, &[at])
}
