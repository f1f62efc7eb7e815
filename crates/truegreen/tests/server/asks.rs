//! One order asked for everywhere: real systems beside the telemetry of an order that was lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use truegreen_fixture::{Postgres, Redis};

use crate::lookup::History;
use crate::restart::Served;
use crate::support::{Answer, PATIENCE, agent, read};

/// Placed and published by the shop; the depot takes the message and reduces no stock.
const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: published, span: send orders, service: shop, within: 1s}
  - name: stock_updated
    span: UPDATE stock
    service: depot
    within: 1s
    confirm: {system: stock-db, ask: SELECT state FROM stock_moves WHERE order_id = $1, expect: {state: moved}, after: 0s}
grace: 0s
";

/// Sends one command, and reads every text in its answer.
pub(crate) fn redis(redis: &Redis, arguments: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("*{}\r\n", arguments.len());
    arguments.iter().for_each(|argument| text.push_str(&format!("${}\r\n{argument}\r\n", argument.len())));
    stream.write_all(text.as_bytes()).unwrap();
    texts(&mut BufReader::new(stream))
}

fn texts(answer: &mut impl BufRead) -> Vec<String> {
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "*" => (0..rest.parse::<i64>().unwrap().max(0)).flat_map(|_| texts(answer)).collect(),
        "$" if rest == "-1" => Vec::new(),
        "$" => {
            let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
            answer.read_exact(&mut bytes).unwrap();
            bytes.truncate(bytes.len() - 2);
            vec![String::from_utf8(bytes).unwrap()]
        }
        _ => vec![rest.to_owned()],
    }
}

/// Takes connections, and says nothing until the test process ends.
fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<TcpStream>>());
    port
}

/// Answers 404 to whatever it is asked, and writes down the paths, until the test process ends.
fn counting() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let paths = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            paths.lock().unwrap().extend(head.split_whitespace().nth(1).map(str::to_owned));
            let _gone = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (port, asked)
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A shop whose order `o-1` was lost, with the systems that it uses.
struct Shop {
    folder: tempfile::TempDir,
    served: Served,
}

impl Shop {
    /// With these systems, in YAML.
    fn open(systems: &str, contract: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut history = History::begin(&path("data"));
        history.lose("o-1");
        history.end();
        std::fs::create_dir(path("flows")).unwrap();
        std::fs::write(path("flows/orders.yaml"), contract).unwrap();
        std::fs::write(path("truegreen.yaml"), format!("redact: [email]\nsystems:\n{systems}")).unwrap();
        let text = |name: &str| path(name).display().to_string();
        let further = ["--data", &text("data"), "--config", &text("truegreen.yaml")];
        let served = Served::start_with(&text("flows"), &further);
        let shop = Shop { folder, served };
        shop.until("/api/v1/report", "the loss", |report| report["flows"]["orders"]["unaccounted"] == 1);
        shop.until("/api/v1/trace/o-1?ask=false", "its records", |found| {
            found["spans"].as_array().is_some_and(|spans| spans.len() == 6)
        });
        shop
    }

    fn get(&self, path: &str) -> Answer {
        read(agent().get(format!("{}{path}", self.served.web)).call())
    }

    fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.get(path).json();
            if is_so(&answer) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}; last: {answer:#}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn trace(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
        command.arg("trace").args(args).args(["--url", &self.served.web]).env_remove("TRUEGREEN_LOG");
        command.output().unwrap()
    }

    fn dlq(&self, args: &[&str]) -> Output {
        let config: PathBuf = self.folder.path().join("truegreen.yaml");
        let data = self.folder.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
        command.args(args).arg("--config").arg(config).arg("--data").arg(data).env_remove("TRUEGREEN_LOG");
        command.output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn of<'a>(report: &'a Value, system: &str, way: &str) -> &'a Value {
    let answers = report["answers"].as_array().unwrap();
    let own = |answer: &&Value| answer["system"] == system && answer["way"] == way;
    answers.iter().find(own).unwrap_or_else(|| panic!("no {way} of {system} in {report:#}"))
}

/// Scenario: an order is published and its stock never reduced: no row in the database, its cart still in the cache, its
/// message dead, and a copy of it in the stream. Guarantee: `trace` shows all of that beside the telemetry, as text, as JSON
/// and as a page, with the way on; and leads on to the letter itself.
#[test]
fn a_lost_order_is_asked_for_everywhere() {
    let (db, cache, broker) = (Postgres::start().unwrap(), Redis::start().unwrap(), Redis::start().unwrap());
    db.sql("CREATE TABLE stock_moves (order_id text, state text); INSERT INTO stock_moves VALUES ('o-2', 'moved')")
        .unwrap();
    db.sql("CREATE TABLE carts (id text, email text); INSERT INTO carts VALUES ('o-1', 'ada@example.com')").unwrap();
    redis(&cache, &["SET", "cart:o-1", r#"{"lines":2,"token":"hunter2"}"#]);
    redis(&broker, &["XADD", "orders", "*", "body", r#"{"order":"o-1"}"#]);
    redis(&broker, &["XADD", "orders", "*", "body", r#"{"order":"o-12"}"#]);
    let dead = [
        "XADD",
        "orders.dead",
        "*",
        "body",
        r#"{"order":"o-1"}"#,
        "error_type",
        "MissingSku",
        "error",
        "password=hunter2",
    ];
    let id = redis(&broker, &dead).remove(0);
    redis(&broker, &["XADD", "orders.dead", "*", "body", r#"{"order":"o-11"}"#, "error_type", "Other"]);
    let (erp, asked) = counting();
    let systems = format!(
        "  stock-db:
    url: '{}'
    trace: [{{name: buyer, ask: SELECT email FROM carts WHERE id = $1}}]
  cache:
    url: '{}'
    trace: [{{name: cart, ask: 'GET cart:{{key}}', flow: orders, hop: placed}}]
  broker: {{url: '{}', dead_letters: [orders.dead], watch: [orders]}}
  erp: {{url: 'http://127.0.0.1:{erp}/health', trace: [{{name: invoice, ask: 'GET /invoices/{{key}}'}}]}}
",
        db.url(),
        cache.url(),
        broker.url()
    );
    let shop = Shop::open(&systems, CONTRACT);

    let report = shop.get("/api/v1/trace/o-1").json();
    let effect = of(&report, "stock-db", "effect");
    assert_eq!((&effect["standing"], &effect["is_there"]), (&"not_found".into(), &false.into()), "{effect:#}");
    assert_eq!((&effect["says"], &effect["step"]), (&"no row in stock_moves".into(), &"stock_updated".into()));
    let buyer = of(&report, "stock-db", "question");
    assert_eq!((&buyer["standing"], &buyer["rows"][0]["email"]), (&"found".into(), &"[hidden]".into()), "{buyer:#}");
    let cart = of(&report, "cache", "question");
    assert_eq!((&cart["standing"], &cart["step"]), (&"found".into(), &"placed".into()), "{cart:#}");
    let letter = of(&report, "broker", "dead_letters");
    assert_eq!((&letter["standing"], letter["letters"].as_array().unwrap().len()), (&"found".into(), 1), "{letter:#}");
    assert_eq!(
        (&letter["letters"][0]["id"], &letter["letters"][0]["error_type"]),
        (&id.clone().into(), &"MissingSku".into())
    );
    let message = of(&report, "broker", "messages");
    assert_eq!(
        (&message["standing"], message["letters"].as_array().unwrap().len()),
        (&"found".into(), 1),
        "{message:#}"
    );
    let conclusion = report["conclusion"].as_str().unwrap();
    let begins = "telemetry shows nothing after `published`; stock-db has no row in stock_moves; its message lies dead in \
                  orders.dead of broker since ";
    assert!(conclusion.starts_with(begins) && conclusion.contains("(MissingSku)"), "{conclusion}");

    let output = shop.trace(&["o-1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (text, page) = (said(&output), shop.get("/trace/o-1").text());
    let command = format!("truegreen dlq show {id} --system broker --place orders.dead");
    for shown in [conclusion, "no row in stock_moves", "entry cart:o-1: value=", "MissingSku", &command, "asked now"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    for shown in
        ["no row in stock_moves", "entry cart:o-1: value=", "MissingSku", &command, "SELECT state FROM stock_moves"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let journey = shop.get("/journeys/orders/o-1").text();
    assert!(journey.contains("no row in stock_moves"), "{journey}");
    for told in [&report.to_string(), &text, &page] {
        assert!(!told.contains("hunter2") && !told.contains("ada@example.com"), "{told}");
    }
    // The gap and its answer stand side by side.
    let lines: Vec<&str> = text.lines().collect();
    let gap = lines.iter().position(|line| line.contains("MISSING")).unwrap();
    assert!(lines[gap + 1].contains("stock-db") && lines[gap + 1].contains("no row"), "{text}");

    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let shown = shop.dlq(&words);
    assert!(said(&shown).contains("\"order\": \"o-1\""), "{shown:?}");

    let unasked = shop.get("/api/v1/trace/o-1?ask=false").json();
    assert_eq!((unasked["answers"].as_array().unwrap().len(), &unasked["conclusion"]), (0, &Value::Null));
    assert!(!said(&shop.trace(&["o-1", "--no-ask"])).contains("stock_moves"));
    assert!(!shop.get("/trace/o-1?ask=false").text().contains("stock_moves"));
    assert_eq!(shop.get("/api/v1/trace/o-1?ask=maybe").status, 400);

    // By a message's id, which leads to the order.
    let by_message = shop.get("/api/v1/trace/msg-7").json();
    assert_eq!(of(&by_message, "stock-db", "effect")["key"], "o-1");
    nobody_but_the_systems_knows(&shop);
    who_looks_again_and_again_asks_once(&shop, &asked);
    assert_eq!(redis(&broker, &["XLEN", "orders.dead"]), ["2"], "looked at, and left as it was");
}

/// Guarantee: what telemetry knows nothing of is asked for all the same, and is unknown only where systems say so, too.
fn nobody_but_the_systems_knows(shop: &Shop) {
    let report = shop.get("/api/v1/trace/o-2");
    assert_eq!(report.status, 200, "{}", report.text());
    let report = report.json();
    assert_eq!(of(&report, "stock-db", "effect")["is_there"], true);
    let conclusion = report["conclusion"].as_str().unwrap();
    assert!(
        conclusion.starts_with("telemetry knows nothing of it; `stock_updated` was done all the same"),
        "{conclusion}"
    );
    let output = shop.trace(&["o-2"]);
    assert!(output.status.success() && said(&output).contains("a row in stock_moves"), "{output:?}");
    assert_eq!(shop.get("/trace/o-2").status, 200);

    let unknown = shop.get("/api/v1/trace/o-99");
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["hint"].as_str().unwrap().contains("stock-db: no row in stock_moves"), "{}", unknown.text());
    assert_eq!(shop.trace(&["o-99"]).status.code(), Some(1));
    let page = shop.get("/trace/o-99");
    assert!(page.status == 404 && page.text().contains("no row in stock_moves"), "{}", page.text());
}

/// Guarantee: an answer is kept for some seconds, so a page that is loaded again and again floods no system.
fn who_looks_again_and_again_asks_once(shop: &Shop, asked: &Mutex<Vec<String>>) {
    let began = Instant::now();
    (0..30).for_each(|_| assert_eq!(shop.get("/api/v1/trace/o-77").status, 404));
    let windows = began.elapsed().as_secs() / 5 + 1;
    let asked = asked.lock().unwrap().iter().filter(|path| path.contains("77")).count() as u64;
    assert!((1..=windows).contains(&asked), "{asked} questions for thirty looks within {windows} times five seconds");
}

/// Scenario: a wrong password, a port at which nothing listens, one that takes connections and says nothing, a system that no
/// configuration names. Guarantee: each cannot tell, with its own reason and no secret; what can be told is; and all of it
/// ends in time.
#[test]
fn whoever_cannot_tell_says_why() {
    let db = Postgres::start().unwrap();
    db.sql("CREATE TABLE stock_moves (order_id text, state text); CREATE ROLE shop LOGIN PASSWORD 'right'").unwrap();
    let question = "trace: [{name: row, ask: SELECT state FROM stock_moves WHERE order_id = $1}]";
    let systems = format!(
        "  stock-db: {{url: '{}'}}
  denied: {{url: '{}', {question}}}
  gone: {{url: 'postgres://shop:hunter2@127.0.0.1:{}/shop', {question}}}
  dumb: {{url: 'postgres://shop:hunter2@127.0.0.1:{}/shop', timeout: 500ms, {question}}}
  dumb-cache: {{url: 'redis://:hunter2@127.0.0.1:{}', timeout: 500ms, watch: [orders], trace: [{{name: cart, ask: 'GET cart:{{key}}'}}]}}
  dumb-page: {{url: 'http://shop:hunter2@127.0.0.1:{}/', timeout: 500ms, trace: [{{name: page, ask: 'GET /orders/{{key}}?token=hunter2'}}]}}
  writes: {{url: '{}', trace: [{{name: row, ask: DELETE FROM stock_moves WHERE order_id = $1}}]}}
",
        db.url(),
        db.url_as("shop", "hunter2"),
        closed_port(),
        silent(),
        silent(),
        silent(),
        db.url(),
    );
    let contract = format!(
        "{}  - {{name: billed, span: bill, service: depot, within: 1s, confirm: {{system: nobody, ask: 'GET /{{key}}'}}}}\ngrace: 0s\n",
        CONTRACT.trim_end_matches("grace: 0s\n")
    );
    let shop = Shop::open(&systems, &contract);
    let report = shop.get("/api/v1/trace/o-1").json();
    assert_eq!(of(&report, "stock-db", "effect")["says"], "no row in stock_moves", "{report:#}");
    for (system, way, why) in [
        ("denied", "question", "does not let us"),
        ("gone", "question", "cannot be reached"),
        ("dumb", "question", "says nothing"),
        ("dumb-cache", "question", "did not answer"),
        ("dumb-cache", "dead_letters", "did not answer"),
        ("dumb-cache", "messages", "did not answer"),
        ("dumb-page", "question", "did not answer"),
        ("writes", "question", "not asked"),
        ("nobody", "effect", "no system `nobody`"),
    ] {
        let answer = of(&report, system, way);
        let says = answer["says"].as_str().unwrap();
        assert_eq!(answer["standing"], "cannot_tell", "{answer:#}");
        assert!(says.starts_with("cannot tell: ") && says.contains(why), "{system}: {says}");
        assert!(answer["seconds"].as_f64().unwrap() < 10.0, "{answer:#}");
    }
    assert!(report["conclusion"].as_str().unwrap().contains("cannot tell everything"), "{}", report["conclusion"]);
    let (text, page) = (said(&shop.trace(&["o-1"])), shop.get("/trace/o-1").text());
    for told in [&report.to_string(), &text, &page, &shop.get("/trace/o-3").text()] {
        assert!(told.contains("cannot be reached") && !told.contains("hunter2"), "{told}");
    }
}
