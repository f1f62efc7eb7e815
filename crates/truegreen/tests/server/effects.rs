//! Effects looked up where they must be: `truegreen serve` beside real databases, a real cache and a service over HTTP, with
//! telemetry that says too much, or too little.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::Value;
use truegreen_fixture::{Mariadb, Postgres, Redis};

use crate::asks::redis;
use crate::lookup::History;
use crate::restart::Served;
use crate::support::{PATIENCE, agent, placed, read, span, text, traces};

/// A contract whose one step is looked up.
fn contract(ask: &str) -> String {
    format!(
        "
flow: orders
key: order.id
start: {{name: placed, span: place order, service: shop}}
steps:
  - name: shipped
    span: ship order
    service: depot
    within: 1s
    confirm: {{system: stock, ask: \"{ask}\", expect: {{state: moved}}, sample: 100%, after: 0s}}
grace: 0s
"
    )
}

/// A server whose log tells of the order `o-1`: placed a quarter of an hour ago, and never shipped.
struct World {
    folder: tempfile::TempDir,
    served: Served,
    next: u8,
}

impl World {
    /// With these systems, in YAML.
    fn open(systems: &str, contract: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::begin(&folder.path().join("data"));
        history.lose("o-1");
        history.end();
        std::fs::create_dir(folder.path().join("flows")).unwrap();
        std::fs::write(folder.path().join("flows/orders.yaml"), contract).unwrap();
        std::fs::write(folder.path().join("truegreen.yaml"), format!("systems:\n{systems}")).unwrap();
        let served = World::serve(&folder);
        World { folder, served, next: 100 }
    }

    fn serve(folder: &tempfile::TempDir) -> Served {
        let path = |name: &str| folder.path().join(name).display().to_string();
        Served::start_with(&path("flows"), &["--data", &path("data"), "--config", &path("truegreen.yaml")])
    }

    fn restart(&mut self) {
        self.served.kill();
        self.served = World::serve(&self.folder);
    }

    /// An order of which telemetry says that these spans were.
    fn order(&mut self, order: &str, spans: &[&str]) {
        assert_eq!(self.served.post(&placed(order, self.next)), 200);
        self.next += 1;
        for name in spans {
            let mut sent = traces(vec![span(name, order, self.next)]);
            sent.resource_spans[0].resource.as_mut().unwrap().attributes[0] = text("service.name", "depot");
            assert_eq!(self.served.post(&sent.encode_to_vec()), 200);
            self.next += 1;
        }
    }

    fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.served.get(path);
            if is_so(&answer) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE * 2, "waited in vain for {what}; last: {answer:#}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until the journey ended so, by an answer.
    fn ends(&self, order: &str, verdict: &str, answer: &str) -> Value {
        let path = format!("/api/v1/journeys/orders/{order}");
        let found = self.until(&path, &format!("{order} {verdict} {answer}"), |found| {
            let journey = &found["journeys"][0];
            journey["verdict"] == verdict && journey["asked"][0]["answer"] == answer
        });
        found["journeys"][0].clone()
    }

    /// How many answers there were of these kinds.
    fn answers(&self, reasons: &[&str]) -> u64 {
        let of = |reason: &&str| self.metric(&format!("truegreen_answers_total{{reason=\"{reason}\"}}"));
        reasons.iter().map(of).sum()
    }

    fn metric(&self, sample: &str) -> u64 {
        let told = read(agent().get(format!("{}/metrics", self.served.web)).call()).text();
        told.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0)
    }
}

/// Scenario: telemetry lost a step that was done (`o-1`), and says that two were done of which one changed nothing (`o-3`)
/// and one never came to anything (`o-4`); one it says and is so (`o-2`). Guarantee: the system's word decides, it is said
/// whose word it was, and the books hold.
fn the_systems_word_decides(systems: &str, ask: &str) {
    let mut world = World::open(systems, &contract(ask));
    let found = world.ends("o-1", "completed", "there");
    assert_eq!(found["confirmed"], true, "by the answer alone: {found:#}");
    for order in ["o-2", "o-3", "o-4"] {
        world.order(order, &["ship order"]);
    }
    assert_eq!(world.ends("o-2", "completed", "there")["confirmed"], Value::Null, "telemetry said so, too");
    for order in ["o-3", "o-4"] {
        let journey = world.ends(order, "unaccounted", "not_there");
        assert_eq!(
            (&journey["reason"], &journey["confirmed"]),
            (&"effect_missing".into(), &true.into()),
            "{journey:#}"
        );
    }
    let missing = |report: &Value| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["kind"] == "effect_missing" && finding["count"] == 2).cloned()
    };
    let report = world.until("/api/v1/report", "the finding", |report| missing(report).is_some());
    let books = &report["flows"]["orders"];
    let counts = ["entered", "completed", "unaccounted", "open"].map(|name| books[name].as_u64().unwrap());
    assert_eq!(counts, [4, 2, 2, 0], "{books:#}");
    let confirmed = ["completed", "unaccounted"].map(|name| books["confirmed"][name].as_u64().unwrap());
    assert_eq!(confirmed, [1, 2], "{books:#}");

    // By the log alone, without asking again.
    world.restart();
    let after = world.until("/api/v1/report", "the books", |report| report["flows"]["orders"]["entered"] == 4);
    assert_eq!(after["flows"]["orders"]["confirmed"], report["flows"]["orders"]["confirmed"], "{after:#}");
    assert_eq!(missing(&after).unwrap()["id"], missing(&report).unwrap()["id"]);
    assert_eq!(world.metric("truegreen_asked_batches_total{result=\"answered\"}"), 0);
}

#[test]
fn postgres_has_the_last_word() {
    let db = Postgres::start().unwrap();
    db.sql("CREATE TABLE moves (order_id text PRIMARY KEY, state text)").unwrap();
    db.sql("INSERT INTO moves VALUES ('o-1', 'moved'), ('o-2', 'moved'), ('o-3', 'reserved')").unwrap();
    the_systems_word_decides(
        &format!("  stock: {{url: '{}'}}\n", db.url()),
        "SELECT state FROM moves WHERE order_id = $1",
    );
}

#[test]
fn mariadb_has_the_last_word() {
    let db = Mariadb::start().unwrap();
    db.sql("CREATE TABLE moves (order_id VARCHAR(50) PRIMARY KEY, state TEXT)").unwrap();
    db.sql("INSERT INTO moves VALUES ('o-1', 'moved'), ('o-2', 'moved'), ('o-3', 'reserved')").unwrap();
    the_systems_word_decides(
        &format!("  stock: {{url: '{}'}}\n", db.url()),
        "SELECT state FROM moves WHERE order_id = ?",
    );
}

#[test]
fn redis_has_the_last_word() {
    let cache = Redis::start().unwrap();
    for (order, state) in [("o-1", "moved"), ("o-2", "moved"), ("o-3", "reserved")] {
        redis(&cache, &["HSET", &format!("move:{order}"), "state", state]);
    }
    the_systems_word_decides(&format!("  stock: {{url: '{}'}}\n", cache.url()), "HGETALL move:{key}");
}

/// Answers `GET /moves/KEY` by these bodies, else with 404, until the test process ends.
fn page(bodies: HashMap<String, String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..length]).replace("%2D", "-");
            let key = head.split_whitespace().nth(1).and_then(|path| path.strip_prefix("/moves/")).unwrap_or_default();
            let (status, body) = bodies.get(key).map_or(("404 Not Found", "{}"), |body| ("200 OK", body.as_str()));
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let _gone = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    port
}

/// A service over HTTP is no replica that could tell how far it is behind: it is taken at its word, also that nothing is there.
#[test]
fn a_service_over_http_has_the_last_word() {
    let state = |order: &str, state: &str| (order.to_owned(), format!("{{\"state\": \"{state}\", \"lines\": [1]}}"));
    let port = page([state("o-1", "moved"), state("o-2", "moved"), state("o-3", "reserved")].into());
    the_systems_word_decides(&format!("  stock: {{url: 'http://127.0.0.1:{port}/health'}}\n"), "GET /moves/{key}");
}

/// Takes connections and holds them, without a word, until the test process ends.
fn hangs() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let held = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn(move || {
        listener.incoming().map_while(Result::ok).for_each(|one| held.lock().unwrap().push(one))
    });
    port
}

/// Scenario: questions that write by way of a function, sleep, answer with a million rows, are commands that write or stop a
/// cache, or are never answered. Guarantee: nothing is written, every one of them is an answer that says nothing, telemetry's
/// word stands, the server takes and judges on, and its log is whole.
#[test]
fn hostile_questions_do_no_harm_and_are_reported() {
    let (pg, maria, cache) = (Postgres::start().unwrap(), Mariadb::start().unwrap(), Redis::start().unwrap());
    pg.sql("CREATE TABLE stolen (k text)").unwrap();
    pg.sql("CREATE FUNCTION steal(k text) RETURNS text LANGUAGE sql AS 'INSERT INTO stolen VALUES (k) RETURNING k'")
        .unwrap();
    pg.sql("CREATE FUNCTION nap(k text) RETURNS text LANGUAGE sql AS 'SELECT pg_sleep(600); SELECT k'").unwrap();
    maria.sql("CREATE TABLE stolen (k TEXT)").unwrap();
    maria.sql("DELIMITER //\nCREATE FUNCTION nap(k TEXT) RETURNS INT BEGIN DO SLEEP(600); RETURN 1; END//\n").unwrap();
    maria
        .sql("DELIMITER //\nCREATE FUNCTION steal(k TEXT) RETURNS INT BEGIN INSERT INTO stolen VALUES (k); RETURN 1; END//\n")
        .unwrap();
    redis(&cache, &["SET", "kept", "1"]);
    let questions = [
        ("pg-a", "SELECT steal($1)"),
        ("pg-a", "INSERT INTO stolen VALUES ($1)"),
        ("pg-a", "UPDATE stolen SET k = $1"),
        ("pg-b", "WITH gone AS (DELETE FROM stolen WHERE k <> $1 RETURNING k) SELECT * FROM gone"),
        ("pg-b", "SELECT pg_sleep(600), $1::text"),
        ("pg-b", "SELECT nap($1)"),
        ("pg-c", "SELECT n FROM generate_series(1, 1000000) AS n WHERE $1::text <> ''"),
        ("pg-c", "SELECT repeat($1, 1000000)"),
        ("maria", "SELECT steal(?)"),
        ("maria", "INSERT INTO stolen VALUES (?)"),
        ("maria-b", "SELECT SLEEP(600), ?"),
        ("maria-b", "SELECT nap(?)"),
        ("maria-b", "SELECT seq FROM seq_1_to_1000000 WHERE ? <> ''"),
        ("cache", "SET stolen {key}"),
        ("cache", "KEYS *{key}*"),
        ("cache", "DEBUG SLEEP {key}"),
        ("page", "GET /orders/{key}"),
        ("page", "DELETE /orders/{key}"),
    ];
    let mut contract =
        "flow: orders\nkey: order.id\nstart: {name: placed, span: place order, service: shop}\nsteps:\n".to_owned();
    for (n, (system, ask)) in questions.iter().enumerate() {
        contract.push_str(&format!(
            "  - name: step-{n}\n    span: step {n}\n    service: '*'\n    within: 1h\n    \
             confirm: {{system: {system}, ask: \"{ask}\", sample: 100%, after: 0s}}\n"
        ));
    }
    let systems = format!(
        "  pg-a: {{url: '{pg}', timeout: 1s}}\n  pg-b: {{url: '{pg}', timeout: 1s}}\n  pg-c: {{url: '{pg}', timeout: 1s}}\n  \
         maria: {{url: '{maria}', timeout: 1s}}\n  maria-b: {{url: '{maria}', timeout: 1s}}\n  cache: {{url: '{cache}', timeout: 1s}}\n  \
         page: {{url: 'http://127.0.0.1:{}/', timeout: 1s}}\n",
        hangs(),
        pg = pg.url(),
        maria = maria.url(),
        cache = cache.url(),
    );
    let mut world = World::open(&systems, &contract);
    let names: Vec<String> = (0..questions.len()).map(|n| format!("step {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.order("o-9", &names);
    let without = || world.answers(&["failed", "not_asked", "timed_out", "denied", "unreachable"]);
    world.until("/api/v1/report", "an answer to every question", |_| without() >= questions.len() as u64);
    assert_eq!(world.answers(&["there", "not_there", "behind_unknown", "stale"]), 0);
    assert!(world.answers(&["timed_out"]) >= 3, "two naps and a page that hangs");
    let journey = &world.served.get("/api/v1/journeys/orders/o-9")["journeys"][0];
    assert_eq!((&journey["verdict"], &journey["confirmed"]), (&"completed".into(), &Value::Null), "{journey:#}");
    // What is asked while somebody looks does no more harm than what the engine asks.
    let report = world.served.get("/api/v1/trace/o-9");
    let answers = report["answers"].as_array().unwrap();
    for (n, (system, ask)) in questions.iter().enumerate() {
        let own = |answer: &&Value| answer["way"] == "effect" && answer["of"] == format!("step-{n}");
        let answer = answers.iter().find(own).unwrap_or_else(|| panic!("nothing of step {n}: {report:#}"));
        assert_eq!(answer["standing"], "cannot_tell", "{system} {ask}: {answer:#}");
        assert!(answer["says"].as_str().unwrap().len() > 20, "{answer:#}");
    }

    assert_eq!(pg.sql("SELECT count(*) FROM stolen").unwrap(), "0");
    assert_eq!(maria.sql("SELECT count(*) FROM stolen").unwrap(), "0");
    assert_eq!(redis(&cache, &["DBSIZE"]), ["1"]);
    assert_eq!(redis(&cache, &["EXISTS", "kept"]), ["1"]);
    world.order("o-10", &[]);
    world.until("/api/v1/report", "that it goes on", |report| report["flows"]["orders"]["entered"] == 3);
    world.served.kill();
    let data = world.folder.path().join("data").display().to_string();
    let verified =
        std::process::Command::new(env!("CARGO_BIN_EXE_truegreen")).args(["store", "verify", &data]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

/// Scenario: the system is gone when it is asked, the server is killed meanwhile, and both come back. Guarantee: what could not
/// be told is asked again, and nothing is lost: the row that is there is found, the one that is not is missed.
#[test]
fn a_system_that_comes_back_is_asked_again() {
    let mut cache = Redis::start_durable().unwrap();
    redis(&cache, &["HSET", "move:o-2", "state", "moved"]);
    redis(&cache, &["HSET", "move:o-1", "state", "moved"]);
    cache.stop().unwrap();
    let systems = format!("  stock: {{url: '{}', timeout: 1s}}\n", cache.url());
    let mut world = World::open(&systems, &contract("HGETALL move:{key}"));
    for order in ["o-2", "o-3"] {
        world.order(order, &["ship order"]);
    }
    world.until("/api/v1/report", "that nobody can be asked", |_| world.answers(&["unreachable"]) >= 3);
    let books = world.served.get("/api/v1/report")["flows"]["orders"].clone();
    assert_eq!((&books["completed"], &books["unaccounted"]), (&2.into(), &1.into()), "as telemetry says: {books:#}");
    world.restart();
    cache.restart().unwrap();
    assert_eq!(world.ends("o-1", "completed", "there")["confirmed"], true);
    world.ends("o-2", "completed", "there");
    assert_eq!(world.ends("o-3", "unaccounted", "not_there")["reason"], "effect_missing");
}
