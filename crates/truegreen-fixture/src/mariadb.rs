//! MariaDB, alone or as a replica.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{Error, Process, Program, free_port};

const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
const INSTALL: &str = "apt-get install mariadb-server";
const SERVER: Program = Program { name: "mariadbd", folders: FOLDERS, install: INSTALL };
const SET_UP: Program = Program { name: "mariadb-install-db", folders: FOLDERS, install: INSTALL };
const CLIENT: Program = Program { name: "mariadb", folders: FOLDERS, install: "apt-get install mariadb-client" };
const USER: &str = "owner";
const PASSWORD: &str = "correct";

/// A MariaDB server with password log-in and a database `shop`, its data gone when it is dropped. It trades all durability
/// for speed, and its clock stands in another time zone than UTC, as many do.
#[derive(Debug)]
pub struct Mariadb {
    #[expect(dead_code, reason = "the server ends with it")]
    process: Process,
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

    /// What `mariadb` answers to these statements as its superuser, in the database `shop`: values alone, a row a line.
    ///
    /// # Errors
    /// What the server said.
    pub fn sql(&self, statements: &str) -> Result<String, Error> {
        let mut client = Command::new(CLIENT.find()?);
        client.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--skip-column-names", "--batch", "shop"]);
        client.args(["--port", &self.port.to_string(), "--user", USER, "--execute", statements]);
        let output = client.env("MYSQL_PWD", PASSWORD).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let (why, log) = (format!("it ended with {}", output.status), String::from_utf8_lossy(&output.stderr));
            return Err(Error::Silent { program: CLIENT.name, why, log: log.into_owned() });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn run(follow: &str, settings: &[&str]) -> Result<Mariadb, Error> {
    let folder: TempDir = tempfile::Builder::new().prefix("mariadb-").tempdir()?;
    let (data, port) = (folder.path().join("data"), free_port()?);
    // A page file of its default size takes longer to write than all the rest.
    let small = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-flush-method=nosync"];
    let mut set_up = Command::new(SET_UP.find()?);
    set_up.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    set_up.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]).args(small);
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
    let mut server = Command::new(SERVER.find()?);
    server.arg("--no-defaults").arg("--datadir").arg(&data).arg("--init-file").arg(&first);
    server.arg("--socket").arg(folder.path().join("socket")).arg("--pid-file").arg(folder.path().join("pid"));
    server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=30"]);
    server.args(["--port", &port.to_string(), "--innodb-flush-log-at-trx-commit=0"]).args(small).args(settings);
    server.env("TZ", "JST-9");
    // It refuses root unless it is told; for everybody else the option is only a warning.
    server.arg("--user=root");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Mariadb { process: Process::start("mariadbd", server, folder, &[at])?, port })
}
