//! A shop with its prices in a database and, as JSON, in a cache.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use truegreen_fixture::{Mariadb, Postgres, Redis};

use crate::support::PATIENCE;

pub(super) const PRODUCTS: usize = 30;

/// The source.
pub(super) enum Database {
    Postgres(Postgres),
    Mariadb(Mariadb),
}

impl Database {
    pub(super) fn url(&self) -> String {
        match self {
            Database::Postgres(server) => server.url(),
            Database::Mariadb(server) => server.url(),
        }
    }

    /// The price and since when it is so.
    pub(super) fn ask(&self) -> &'static str {
        match self {
            Database::Postgres(_) => {
                "SELECT price, extract(epoch FROM now() - changed_at) AS age FROM products WHERE id = $1"
            }
            Database::Mariadb(_) => {
                "SELECT price, TIMESTAMPDIFF(MICROSECOND, changed_at, NOW(6)) / 1000000 AS age FROM products WHERE id = ?"
            }
        }
    }

    pub(super) fn run(&self, statement: &str) -> String {
        let output = match self {
            Database::Postgres(server) => {
                let quiet = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement];
                Command::new("psql").arg(server.url()).args(quiet).output().unwrap()
            }
            Database::Mariadb(server) => {
                let port = format!("-P{}", server.port());
                let whom =
                    ["--no-defaults", "-N", "-h127.0.0.1", &port, "-uowner", "-pcorrect", "shop", "-e", statement];
                Command::new("mariadb").args(whom).output().unwrap()
            }
        };
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// All cost 10.25, and have for an hour.
    pub(super) fn fill(&self) {
        let an_hour_ago = match self {
            Database::Postgres(_) => "now() - interval '1 hour'",
            Database::Mariadb(_) => "NOW(6) - INTERVAL 1 HOUR",
        };
        let time = match self {
            Database::Postgres(_) => "timestamptz",
            Database::Mariadb(_) => "TIMESTAMP(6) NULL",
        };
        self.run(&format!("CREATE TABLE products (id int PRIMARY KEY, price numeric(10,2), changed_at {time})"));
        let rows: Vec<String> = (0..PRODUCTS).map(|id| format!("({id}, 10.25, {an_hour_ago})")).collect();
        self.run(&format!("INSERT INTO products VALUES {}", rows.join(", ")));
    }

    /// Now, and in the database alone.
    pub(super) fn reprice(&self, id: usize, price: &str) {
        let now = match self {
            Database::Postgres(_) => "now()",
            Database::Mariadb(_) => "NOW(6)",
        };
        self.run(&format!("UPDATE products SET price = {price}, changed_at = {now} WHERE id = {id}"));
    }
}

/// Speaks just enough of the protocol to fill a cache.
pub(super) struct Cache(BufReader<TcpStream>);

impl Cache {
    pub(super) fn of(redis: &Redis) -> Cache {
        let stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Cache(BufReader::new(stream))
    }

    /// A command in one line, and the first line of its answer.
    pub(super) fn run(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(!line.starts_with('-'), "{command}: {line}");
        line.trim_end().to_owned()
    }

    pub(super) fn set(&mut self, id: usize, price: &str) {
        self.run(&format!("SET product:{id} \"{{\\\"price\\\": {price}, \\\"token\\\": \\\"hunter2\\\"}}\""));
    }

    pub(super) fn fill(&mut self) {
        (0..PRODUCTS).for_each(|id| self.set(id, "10.25"));
    }
}

/// How often this command was called.
pub(super) fn redis_calls(redis: &Redis, command: &str) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.write_all(b"INFO commandstats\r\nQUIT\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let start = format!("cmdstat_{command}:calls=");
    let line = text.lines().find_map(|line| line.strip_prefix(&start)?.split_once(','));
    line.map_or(0, |(calls, _)| calls.parse().unwrap())
}

/// A configuration with one comparison, or several.
pub(super) fn configured(redis: &Redis, database: &Database, every: &str, comparisons: &str) -> String {
    let (cache, source) = (redis.url(), database.url());
    let mut text = format!(
        "systems:
  catalog-db: {{url: '{source}', timeout: 20s, every: 1h}}
  product-cache:
    url: {cache}
    every: {every}
    timeout: 20s
    used_by: [shop]
    limits: {{slow: {{}}}}
    compare:
"
    );
    comparisons.lines().for_each(|line| text.push_str(&format!("      {line}\n")));
    text
}

/// The prices of a shop.
pub(super) fn prices(database: &Database, within: &str) -> String {
    format!(
        "prices:
  ask: GET product:{{key}}
  value: $.price
  source: {{system: catalog-db, ask: '{}', value: price, age: age}}
  within: {within}
  sample: 20
",
        database.ask()
    )
}

/// The command, in a folder with this configuration.
pub(super) fn truegreen(config: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("truegreen.yaml"), config).unwrap();
    std::fs::write(folder.path().join("orders.yaml"), crate::support::CONTRACT).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.current_dir(folder.path()).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}
