//! Certificates of a real TLS server.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use truegreen_model::probe::{ProbeReport, Standing};

use crate::loopback::BlackHole;
use crate::peer::{SHORT, assert_fails, check, config, listen, probe, says};

/// From 2020 on, and until when there is no sense in asking.
const FOREVER: (i32, u8, u8) = (2099, 1, 1);

/// A certificate as a test wants it.
pub(crate) struct Made {
    name: &'static str,
    from: (i32, u8, u8),
    until: (i32, u8, u8),
    is_self_signed: bool,
}

impl Made {
    /// That lasts for ever.
    pub(crate) fn named(name: &'static str) -> Made {
        Made { name, from: (2020, 1, 1), until: FOREVER, is_self_signed: false }
    }
}

/// A TLS server with such a certificate, and who issued it.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn new(made: Made) -> Served {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let ca_certificate = ca.self_signed(&ca_key).unwrap();

        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![made.name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, made.name);
        params.not_before = rcgen::date_time_ymd(made.from.0, made.from.1, made.from.2);
        params.not_after = rcgen::date_time_ymd(made.until.0, made.until.1, made.until.2);
        let certificate = match made.is_self_signed {
            true => params.self_signed(&key).unwrap(),
            false => params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap(),
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca_certificate.pem()).unwrap();
        let address = serve(vec![certificate.der().clone()], &key);
        Served { address, folder }
    }

    pub(crate) fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Asked with the authority of the test trusted.
    fn probe(&self) -> ProbeReport {
        let mut config = config(&format!("tls://{}", self.address));
        config.ca = Some(self.ca_path());
        probe(config)
    }
}

fn serve(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> SocketAddr {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    listen(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        // Until the other side goes away.
        let _gone = stream.read(&mut [0; 64]);
    })
}

#[test]
fn a_certificate_that_is_well_passes_with_its_days() {
    let report = Served::new(Made::named("127.0.0.1")).probe();
    assert_eq!(report.standing, Standing::Pass, "{report:#?}");
    let names: Vec<&str> = report.checks.iter().map(|check| check.measurement.as_str()).collect();
    assert_eq!(names, ["handshake", "trust", "name", "days_left"]);
    let days = check(&report, "days_left");
    assert!(days.observed.as_ref().unwrap().value > 1_000.0 && days.reason.ends_with("until 2099-01-01"), "{days:?}");
}

#[test]
fn an_expired_one_fails_with_its_date_and_nothing_else() {
    let report = Served::new(Made { until: (2021, 3, 4), ..Made::named("127.0.0.1") }).probe();
    assert_fails(&report, "its certificate expired on 2021-03-04");
    assert_eq!(check(&report, "trust").standing, Standing::Pass);
    assert_eq!(check(&report, "name").standing, Standing::Pass);
}

#[test]
fn one_for_later_fails_with_its_date() {
    let report = Served::new(Made { from: (2098, 1, 1), ..Made::named("127.0.0.1") }).probe();
    assert_fails(&report, "its certificate is not valid before 2098-01-01");
}

#[test]
fn one_for_another_name_says_which() {
    let report = Served::new(Made::named("elsewhere.example")).probe();
    assert_fails(&report, "its certificate is not for 127.0.0.1: it is for elsewhere.example");
    assert_eq!((check(&report, "trust").standing, check(&report, "name").standing), (Standing::Pass, Standing::Fail));
}

#[test]
fn one_that_nobody_signed_or_nobody_we_know_is_not_trusted() {
    let own = Served::new(Made { is_self_signed: true, ..Made::named("127.0.0.1") });
    assert_fails(&own.probe(), "comes from nobody we trust: it is signed by itself");
    let served = Served::new(Made::named("127.0.0.1"));
    let by_mozilla = probe(config(&format!("tls://{}", served.address)));
    assert_fails(&by_mozilla, "comes from nobody we trust\nhint: name its authority under `ca`");
    assert_eq!(check(&by_mozilla, "days_left").standing, Standing::Pass, "the rest is told besides");
}

#[test]
fn a_list_of_authorities_that_cannot_be_read_is_no_pass() {
    let served = Served::new(Made::named("127.0.0.1"));
    let mut asked = config(&format!("tls://{}", served.address));
    asked.ca = Some(served.ca_path().with_file_name("missing.pem"));
    let report = probe(asked);
    assert_eq!(report.standing, Standing::Unknown);
    assert!(check(&report, "trust").reason.contains("cannot read `ca`"), "{report:?}");
}

#[test]
fn limits_of_days_count_downwards() {
    let served = Served::new(Made::named("127.0.0.1"));
    let mut asked = config(&format!("tls://{}", served.address));
    asked.ca = Some(served.ca_path());
    asked.limits.insert("days_left".to_owned(), truegreen_connect::config::Limit::new(100_000.0, 7.0));
    let report = probe(asked);
    assert_eq!(report.standing, Standing::Warn);
    assert!(check(&report, "days_left").reason.contains("warns from 100000 days on"), "{report:?}");
}

#[test]
fn where_there_is_no_tls_it_is_said() {
    assert_fails(&probe(config(&format!("tls://{}", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")))), "there is no TLS");
    let closing = listen(drop);
    assert_fails(&probe(config(&format!("tls://{closing}"))), "cannot be reached");
    // A server's way to say that it does not like us: alert 40.
    let refusing = listen(|mut stream| {
        let mut hello = [0; 4096];
        let _read = stream.read(&mut hello);
        let _gone = std::io::Write::write_all(&mut stream, &[21, 3, 3, 0, 2, 2, 40]);
    });
    assert_fails(&probe(config(&format!("tls://{refusing}"))), "it refused the handshake (HandshakeFailure)");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_fails(&probe(config(&format!("tls://127.0.0.1:{port}"))), "nothing listens there");
}

#[test]
fn what_never_answers_is_told_within_the_limit() {
    let short = |address: SocketAddr| {
        let mut config = config(&format!("tls://{address}"));
        config.timeout = SHORT;
        probe(config)
    };
    let hole = BlackHole::open();
    assert_fails(&short(hole.address), "did not answer the connection within 600 ms");
    let silent = listen(|stream| {
        std::thread::park();
        drop(stream);
    });
    assert_fails(&short(silent), "did not answer the handshake within 600 ms");
}
