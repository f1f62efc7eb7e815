//! What was acknowledged outlives the process: the same binary, killed and started again on the same folder.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use truegreen_store::Kind;

use truegreen::config::Data;

use crate::support::{CONTRACT, PROTOBUF, TestServer, agent, placed, read, span, traces};
use prost::Message;

/// A server as a process of its own, killed with the test.
pub(crate) struct Served {
    pub(crate) child: Child,
    /// Held open: whoever serves must be able to say so to its end.
    _stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) http: String,
    pub(crate) web: String,
}

impl Served {
    pub(crate) fn start(flows: &str, data: Option<&str>) -> Served {
        match data {
            Some(data) => Served::start_with(flows, &["--data", data]),
            None => Served::start_with(flows, &["--no-data"]),
        }
    }

    pub(crate) fn start_with(flows: &str, further: &[&str]) -> Served {
        Served::without_flows(&[&["--flows", flows], further].concat())
    }

    pub(crate) fn without_flows(further: &[&str]) -> Served {
        let free = "127.0.0.1:0";
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
        command.args(["serve", "--grpc", free, "--http", free, "--web", free]).args(further);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut urls = lines.by_ref().map_while(Result::ok).filter_map(|line| {
            let url = line.split_whitespace().last()?.to_owned();
            url.starts_with("http://").then_some(url)
        });
        let (_grpc, http, web) = (urls.next().unwrap(), urls.next().unwrap(), urls.next().unwrap());
        Served { child, _stdout: lines, http, web }
    }

    pub(crate) fn post(&self, body: &[u8]) -> u16 {
        let request = agent().post(format!("{}/v1/traces", self.http)).header(PROTOBUF.0, PROTOBUF.1);
        read(request.send(body)).status
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        read(agent().get(format!("{}{path}", self.web)).call()).json()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) flows: String,
    pub(crate) data: String,
}

pub(crate) fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let flows = dir.path().join("flows");
    std::fs::create_dir(&flows).unwrap();
    std::fs::write(flows.join("orders.yaml"), CONTRACT).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    Place { flows: path("flows"), data: path("data"), _dir: dir }
}

/// Scenario: several lives, each ended by SIGKILL right after its last acknowledgement. Guarantee (INV-ACK-1): every
/// acknowledged order is in the books, with the step it had taken, and none twice.
#[test]
fn what_was_acknowledged_survives_sigkill() {
    let place = place();
    let mut acknowledged = 0_u8;
    for _life in 0..4 {
        let mut served = Served::start(&place.flows, Some(&place.data));
        for _ in 0..10 {
            acknowledged += 1;
            assert_eq!(served.post(&placed(&format!("o-{acknowledged}"), acknowledged)), 200);
        }
        let shipped = traces(vec![span("ship order", &format!("o-{acknowledged}"), 200 + acknowledged / 10)]);
        assert_eq!(served.post(&shipped.encode_to_vec()), 200);
        served.kill();
    }
    let verified =
        Command::new(env!("CARGO_BIN_EXE_truegreen")).args(["store", "verify", &place.data]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let served = Served::start(&place.flows, Some(&place.data));
    let books = &served.get("/api/v1/report")["flows"]["orders"];
    assert_eq!(books["entered"], u64::from(acknowledged), "{books}");
    assert_eq!(books["completed"], 4, "{books}");
    assert_eq!(books["duplicates"], 0, "{books}");
    let journey = served.get("/api/v1/journeys/orders/o-7");
    assert_eq!(journey["journeys"][0]["seen"][0]["sequence"], 8, "its evidence is where it was: {journey}");
}

/// Scenario: SIGTERM, and a start after it. Guarantee: the log ends with a mark behind everything that was taken, and the
/// next start tells the engine of no longer outage than there was.
#[test]
fn a_stop_in_order_leaves_a_mark() {
    let place = place();
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-1", 1)), 200);
    let asked = Command::new("kill").args(["-TERM", &served.child.id().to_string()]).status().unwrap();
    assert!(asked.success() && served.child.wait().unwrap().success());
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-2", 2)), 200);
    served.kill();
    let log =
        truegreen_store::Log::open(std::path::Path::new(&place.data), truegreen_store::Options::default()).unwrap();
    let entries: Vec<_> = log.read_from(0).map(Result::unwrap).collect();
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Contracts, Kind::Traces, Kind::Stopped, Kind::Resumed, Kind::Traces]);
    assert_eq!(entries[3].body, entries[2].received_at.0.to_le_bytes(), "it listened until it stopped");
}

/// Scenario: a sender is in the middle of a body when we are asked to stop, and never ends it. Guarantee: it is told to
/// send again, rather than left with a broken connection.
#[test]
fn who_is_still_sending_is_told_to_send_again() {
    let mut server = crate::support::TestServer::start();
    let mut stream = std::net::TcpStream::connect(&server.http).unwrap();
    let head =
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    while server.metric("truegreen_in_flight_bytes") < 100 {
        std::thread::yield_now();
    }
    server.stop();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5"), "{answer}");
}

/// Scenario: a stop in order, then a start. Guarantee: the engine is taken from the checkpoint, nothing is replayed, and
/// the report is the same, findings included.
#[test]
fn a_start_after_a_stop_in_order_replays_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let log = || truegreen_store::Log::open(dir.path(), truegreen_store::Options::default()).unwrap();
    let mut report = Value::Null;
    for life in 1..=3_u8 {
        let server = TestServer::watching(CONTRACT, |config| config.data = Some(data.clone()));
        if life > 1 {
            assert_eq!(server.get("/api/v1/report").json(), report);
        }
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed(&format!("o-{life}"), life)).status, 200);
        server.until_entered(u64::from(life));
        report = server.get("/api/v1/report").json();
        drop(server);
        let kept = truegreen_store::checkpoint::info(&dir.path().join("checkpoint")).sequence;
        assert_eq!(kept, Some(log().next_sequence() - 1), "the checkpoint holds all that is in the log");
    }
    assert_eq!(report["flows"]["orders"]["entered"], 3, "{report}");
}

/// Scenario: a checkpoint that is damaged. Guarantee: the start says so, and replays the log.
#[test]
fn a_damaged_checkpoint_costs_time_and_nothing_else() {
    let place = place();
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-1", 1)), 200);
    served.kill();
    let mut checkpoints = truegreen_store::checkpoint::Checkpoints::open(
        &std::path::Path::new(&place.data).join("checkpoint"),
        truegreen_store::checkpoint::Options::default(),
    )
    .unwrap();
    checkpoints.write(1, vec![(b"no such record".to_vec(), Some(b"?".to_vec()))]).unwrap();
    drop(checkpoints);
    let served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.get("/api/v1/report")["flows"]["orders"]["entered"], 1);
}

/// Scenario: the folder of checkpoints cannot be opened. Guarantee: the log alone is enough.
#[test]
fn without_checkpoints_the_log_is_replayed() {
    let place = place();
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-1", 1)), 200);
    served.kill();
    let checkpoints = std::path::Path::new(&place.data).join("checkpoint");
    std::fs::remove_dir_all(&checkpoints).unwrap();
    std::fs::write(&checkpoints, "no folder").unwrap();
    let served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.get("/api/v1/report")["flows"]["orders"]["entered"], 1);
    assert_eq!(served.post(&placed("o-2", 2)), 200);
}

/// Scenario: a second server on the folder of a running one. Guarantee: it is told who holds it, and nothing is lost.
#[test]
fn a_folder_in_use_is_named() {
    let place = place();
    let _first = Served::start(&place.flows, Some(&place.data));
    let free = "127.0.0.1:0";
    let second = Command::new(env!("CARGO_BIN_EXE_truegreen"))
        .args(["serve", "--flows", &place.flows, "--grpc", free, "--http", free, "--web", free, "--data", &place.data])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("in use by") && said.contains("hint:"), "{said}");
}

/// Scenario: the disk has less room than must stay free. Guarantee: senders are told to retry, the reason is counted,
/// and `/readyz` says so.
#[test]
fn a_full_disk_asks_for_a_retry() {
    let place = place();
    let config = std::path::Path::new(&place.flows).parent().unwrap().join("truegreen.config");
    std::fs::write(&config, format!("data: {{dir: {:?}, min_free: 900000GiB}}\n", place.data)).unwrap();
    let served = Served::start_with(&place.flows, &["--config", &config.display().to_string()]);
    let request = agent().post(format!("{}/v1/traces", served.http)).header(PROTOBUF.0, PROTOBUF.1);
    let answer = read(request.send(placed("o-1", 1)));
    assert_eq!((answer.status, answer.header("retry-after")), (503, "30"), "{}", answer.text());
    let metrics = read(agent().get(format!("{}/metrics", served.web)).call()).text();
    assert!(metrics.contains("truegreen_refused_requests_total{reason=\"disk_full\"} 1"), "{metrics}");
    let ready = read(agent().get(format!("{}/readyz", served.web)).call());
    assert_eq!(ready.status, 503);
    assert_eq!(served.get("/api/v1/report")["flows"]["orders"]["entered"], 0);
    drop(served);
    // The contracts found no room either, and are the first to be written once there is some.
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-1", 1)), 200);
    served.kill();
    let log =
        truegreen_store::Log::open(std::path::Path::new(&place.data), truegreen_store::Options::default()).unwrap();
    let kinds: Vec<_> = log.read_from(0).map(|entry| entry.unwrap().kind).collect();
    assert_eq!(kinds, [Kind::Contracts, Kind::Traces]);
}
