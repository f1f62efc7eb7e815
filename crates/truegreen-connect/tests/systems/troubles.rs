//! The troubles that every peer can have: each is told by a reason of its own, within a bound, without a secret, and never
//! as a pass. What takes a real server (a wrong password, a full disk, a read-only replica) stands beside the rest of it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use truegreen_fixture::free_port;
use truegreen_model::probe::Standing;

use crate::loopback::{BlackHole, probe, system};
use crate::peer::{listen, says};

const LIMIT: Duration = Duration::from_millis(800);
/// For all questions of one probe, on a machine that does a lot besides.
const HANGS: Duration = Duration::from_secs(60);

/// What comes before host and port, and what behind.
const URLS: &[(&str, &str)] = &[
    #[cfg(feature = "postgres")]
    ("postgres://shop:hidden@", "/shop"),
    #[cfg(feature = "mysql")]
    ("mysql://shop:hidden@", "/shop"),
    #[cfg(feature = "redis")]
    ("redis://:hidden@", ""),
    #[cfg(feature = "rabbitmq")]
    ("amqp://shop:hidden@", ""),
    #[cfg(feature = "nats")]
    ("nats://shop:hidden@", ""),
    #[cfg(feature = "kafka")]
    ("kafka://", ""),
    ("http://shop:hidden@", "/health"),
    ("tls://", ""),
];

/// Takes connections, and never says a word.
fn silent() -> SocketAddr {
    listen(|stream: TcpStream| {
        std::thread::park();
        drop(stream);
    })
}

/// Takes connections, and ends them at once.
fn hangs_up() -> SocketAddr {
    listen(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_trouble_of_each_kind_has_a_reason_of_its_own() {
    let hole = BlackHole::open();
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let troubles = [
        ("closed", closed),
        ("black hole", hole.address),
        ("silent", silent()),
        ("hangs up", hangs_up()),
        ("something else", says(b"220 mail.example ESMTP ready\r\n")),
    ];
    let mut asked = tokio::task::JoinSet::new();
    for (before, behind) in URLS {
        asked.spawn(async move {
            let mut reasons = BTreeSet::new();
            for (trouble, address) in troubles {
                let system = system(&format!("{before}{address}{behind}"), |config| config.timeout = LIMIT);
                let probed = tokio::time::timeout(HANGS, probe(&system)).await;
                let checks = probed.unwrap_or_else(|_| panic!("{before} {trouble}: it hangs"));
                assert!(checks.iter().all(|check| check.standing != Standing::Pass), "{before} {trouble}: {checks:#?}");
                let first = checks.iter().find(|check| check.standing == Standing::Fail);
                let first = first.unwrap_or_else(|| panic!("{before} {trouble}: no failure in {checks:#?}"));
                assert!(checks.iter().all(|check| !check.reason.contains("hidden")), "{checks:#?}");
                assert!(reasons.insert(first.reason.clone()), "{before} {trouble}: {} is told twice", first.reason);
            }
        });
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
}

/// Guarantee: a test of a black hole tests one. The listener would take it later; nobody answers now.
#[test]
fn a_black_hole_takes_nothing_and_refuses_nothing() {
    let hole = BlackHole::open();
    let error = TcpStream::connect_timeout(&hole.address, LIMIT).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect_timeout(&listener.local_addr().unwrap(), LIMIT).unwrap();
}
