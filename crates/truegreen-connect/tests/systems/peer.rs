//! Peers in this process that say what a test tells them to say, and how they are asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use truegreen_connect::address::Surroundings;
use truegreen_connect::{Address, System, SystemConfig};
use truegreen_model::probe::{Check, ProbeReport, Standing};

/// Long enough on a busy machine for whatever answers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// For what never answers.
pub(crate) const SHORT: Duration = Duration::from_millis(600);

/// A system at this URL.
pub(crate) fn config(url: &str) -> SystemConfig {
    let mut config = SystemConfig::new("asked", Address::parse(url, &Surroundings).unwrap());
    config.timeout = PATIENCE;
    config
}

/// What it says when it is asked once.
pub(crate) fn probe(config: SystemConfig) -> ProbeReport {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let system = System::new(config).unwrap();
    runtime.block_on(system.probe("2026-01-01T00:00:00Z".to_owned()))
}

/// The check of this measurement.
pub(crate) fn check<'a>(report: &'a ProbeReport, measurement: &str) -> &'a Check {
    let found = report.checks.iter().find(|check| check.measurement == measurement);
    found.unwrap_or_else(|| panic!("no {measurement} in {report:#?}"))
}

/// It fails by the one check that there is, with this in its reason.
pub(crate) fn assert_fails(report: &ProbeReport, part: &str) {
    assert_eq!(report.standing, Standing::Fail, "{report:#?}");
    let reasons: Vec<&str> = report.checks.iter().map(|check| check.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains(part)), "no {part:?} in {reasons:?}");
}

/// Each connection is handed to `serve` in a thread of its own, until the test process ends.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads one head of a request.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A server that answers each request with this, and closes.
pub(crate) fn answers(with: impl Into<Vec<u8>>) -> SocketAddr {
    let with: Vec<u8> = with.into();
    listen(move |mut stream| {
        read_head(&mut stream);
        let _gone = stream.write_all(&with);
    })
}

/// A server that says this at once, whatever it is asked.
pub(crate) fn says(first: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| {
        let _gone = stream.write_all(first);
        let _gone = stream.read_to_end(&mut Vec::new());
    })
}
