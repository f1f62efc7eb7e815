//! Addresses that misbehave as networks do.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its steps share too")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use truegreen_connect::address::{Address, Surroundings};
use truegreen_connect::{System, SystemConfig};
use truegreen_model::probe::{Check, Standing};

/// A system at this URL, with whatever is set here.
pub(crate) fn system(url: &str, set: impl FnOnce(&mut SystemConfig)) -> System {
    let mut config = SystemConfig::new("db", Address::parse(url, &Surroundings).unwrap());
    set(&mut config);
    System::new(config).unwrap()
}

/// What a probe says.
pub(crate) async fn probe(system: &System) -> Vec<Check> {
    system.probe("2026-01-01T00:00:00Z".to_owned()).await.checks
}

/// The first check of this name.
pub(crate) fn check<'a>(checks: &'a [Check], measurement: &str) -> &'a Check {
    checks.iter().find(|check| check.measurement == measurement).unwrap_or_else(|| panic!("{measurement}: {checks:#?}"))
}

/// The reason for which this one check fails.
pub(crate) fn failure<'a>(checks: &'a [Check], measurement: &str) -> &'a str {
    let check = check(checks, measurement);
    assert_eq!(check.standing, Standing::Fail, "{check:?}");
    &check.reason
}

/// Waits until that is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Accepts, and never says a word.
pub(crate) async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// A listener whose queue is full: to whoever comes next it is a black hole.
pub(crate) struct BlackHole {
    _listener: std::net::TcpListener,
    _held: Vec<std::net::TcpStream>,
    pub(crate) address: SocketAddr,
}

impl BlackHole {
    pub(crate) fn open() -> BlackHole {
        // Asynchronous callers have a runtime already, others none: its own thread suits both.
        let listener = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                socket.listen(1).unwrap().into_std().unwrap()
            })
        });
        let listener = listener.join().unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900)) {
            held.push(stream);
            assert!(held.len() < 100, "the queue has no end");
        }
        BlackHole { _listener: listener, _held: held, address }
    }
}

/// How a proxy treats what the server says.
#[derive(Clone, Copy)]
pub(crate) enum Slow {
    /// Each piece of it comes that much later.
    Each(Duration),
    /// Its first words pass, the rest never comes.
    AfterItsFirstWords,
}

/// A proxy that is slow on the way back.
pub(crate) async fn slow(port: u16, how: Slow) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                    if let Slow::Each(pause) = how {
                        tokio::time::sleep(pause).await;
                    }
                    if to_client.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                    if let Slow::AfterItsFirstWords = how {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    address
}
