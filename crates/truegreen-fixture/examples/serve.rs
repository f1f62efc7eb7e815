//! Starts the servers that its arguments name, prints a line `NAME URL` for each, and stops them when its standard input ends:
//! `cargo run --package truegreen-fixture --example serve -- rabbitmq postgres redis`.

use std::any::Any;
use std::io::{Write, stderr, stdin, stdout};
use std::process::ExitCode;

use truegreen_fixture::{Error, Mariadb, Nats, Postgres, Rabbitmq, Redis, Tansu};

const NAMES: &str = "postgres, mariadb, redis, rabbitmq, nats, kafka";

/// A server, and where it is.
type Serving = (Box<dyn Any>, String);

fn main() -> ExitCode {
    let mut serving = Vec::new();
    for name in std::env::args().skip(1) {
        match start(&name) {
            Some(Ok((server, url))) => {
                if writeln!(stdout(), "{name} {url}").is_err() {
                    return ExitCode::FAILURE;
                }
                serving.push(server);
            }
            Some(Err(error)) => return refuse(&format!("{name}: {error}")),
            None => return refuse(&format!("there is no server `{name}`\nhint: any of {NAMES}")),
        }
    }
    // Whoever started it is gone, or wants no more of it.
    let _end = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
    ExitCode::SUCCESS
}

fn start(name: &str) -> Option<Result<Serving, Error>> {
    Some(match name {
        "postgres" => Postgres::start().map(|it| (it.url(), it)).map(boxed),
        "mariadb" => Mariadb::start().map(|it| (it.url(), it)).map(boxed),
        "redis" => Redis::start().map(|it| (it.url(), it)).map(boxed),
        "rabbitmq" => Rabbitmq::start().map(|it| (it.url(), it)).map(boxed),
        "nats" => Nats::start().map(|it| (it.url(), it)).map(boxed),
        "kafka" => Tansu::start().map(|it| (it.url(), it)).map(boxed),
        _ => return None,
    })
}

fn boxed<T: Any>((url, server): (String, T)) -> Serving {
    (Box::new(server), url)
}

fn refuse(why: &str) -> ExitCode {
    // There is nowhere else to say it.
    let _told = writeln!(stderr(), "{why}");
    ExitCode::FAILURE
}
