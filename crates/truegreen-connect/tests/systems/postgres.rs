//! PostgreSQL, asked.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its steps share too")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection, Row};
use truegreen_connect::config::Limit;
use truegreen_connect::confirm::Found;
use truegreen_connect::dead_letters::{Outgoing, Sent};
use truegreen_connect::{Error, System};
use truegreen_fixture::{Postgres, free_port};
use truegreen_model::probe::Standing;

use crate::loopback::{BlackHole, Slow, check, failure, probe, silent, slow, system, until};

/// As docs/systems/postgres.md has them.
const RIGHTS: &str = "
    CREATE ROLE truegreen LOGIN PASSWORD 'secret';
    GRANT pg_monitor TO truegreen;
    GRANT SELECT ON orders TO truegreen;
    CREATE SCHEMA truegreen AUTHORIZATION truegreen;
    GRANT SELECT, DELETE ON failed_jobs TO truegreen;
    GRANT SELECT, INSERT ON jobs TO truegreen;
    GRANT USAGE ON SEQUENCE jobs_id_seq TO truegreen;
    ALTER ROLE truegreen SET temp_file_limit = '1GB';
";

const TABLES: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, at timestamptz, tags text[], price numeric(12,4),
                         note text);
    INSERT INTO orders VALUES (1, 'paid', '2026-01-02 03:04:05+00', '{a,b}', 10.5000, NULL),
                              (2, 'new', NULL, NULL, NULL, NULL);
    CREATE TABLE failed_jobs (id bigserial PRIMARY KEY, payload jsonb NOT NULL, job_type text, queue text,
                              exception text, failed_at timestamptz);
    CREATE TABLE jobs (id bigserial PRIMARY KEY, payload jsonb NOT NULL, job_type text, queue text,
                       idempotency_key text UNIQUE);
    CREATE FUNCTION writes(k text) RETURNS text LANGUAGE sql AS $$ UPDATE orders SET status = k RETURNING status $$;
    CREATE FUNCTION naps(k text) RETURNS text LANGUAGE sql AS $$ SELECT k FROM pg_sleep(600) $$;
    CREATE FUNCTION locks(k text) RETURNS text LANGUAGE sql AS $$ SELECT k FROM pg_advisory_lock(7) $$;
";

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// One server: what it is asked as the user that the docs tell of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_asked() {
    let server = Postgres::start().unwrap();
    let mut owner = connect(&server.url()).await;
    owner.execute(TABLES).await.unwrap();
    owner.execute(RIGHTS).await.unwrap();
    let url = server.url_as("truegreen", "secret");
    it_passes_with_the_rights_of_the_docs(&url).await;
    what_a_user_may_not_see_is_unknown(&server, &mut owner).await;
    a_wrong_password_and_no_connection_left_are_told_apart(&server, &mut owner).await;
    a_slow_log_in_is_told(&server).await;
    lock_waits_and_long_transactions_are_seen(&server, &url).await;
    effects_are_found(&url).await;
    hostile_questions_do_no_harm(&server, &url, &mut owner).await;
    dead_letters_go_back_once(&url, &mut owner).await;
    bytes_that_are_no_text_go_back_as_they_are(&server, &mut owner).await;
}

async fn it_passes_with_the_rights_of_the_docs(url: &str) {
    let system = system(url, |config| config.scratch = Some("truegreen.scratch".into()));
    // Two at once share the table, also its creation.
    let (one, other) = tokio::join!(probe(&system), probe(&system));
    for checks in [one, other, probe(&system).await] {
        let names: Vec<&str> = checks.iter().map(|check| check.measurement.as_str()).collect();
        assert_eq!(names, ["connect", "read", "write", "connections", "long_transactions", "lock_waits"]);
        assert!(checks.iter().all(|check| check.standing == Standing::Pass), "{checks:#?}");
        assert_eq!(check(&checks, "read").component, "table public.orders");
    }
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM truegreen.scratch").fetch_one(&mut connect(url).await).await.unwrap();
    assert_eq!(left, 0);
}

async fn what_a_user_may_not_see_is_unknown(server: &Postgres, owner: &mut PgConnection) {
    owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'secret'").await.unwrap();
    let system = system(&server.url_as("stranger", "secret"), |config| config.watch = vec!["orders".into()]);
    let checks = probe(&system).await;
    assert!(failure(&checks, "read").starts_with("does not let us: permission denied for table orders"));
    for measurement in ["long_transactions", "lock_waits"] {
        let check = check(&checks, measurement);
        assert_eq!(check.standing, Standing::Unknown);
        assert!(check.reason.contains("GRANT pg_monitor"), "{check:?}");
    }
    assert_eq!(check(&checks, "connections").standing, Standing::Pass);
}

async fn a_wrong_password_and_no_connection_left_are_told_apart(server: &Postgres, owner: &mut PgConnection) {
    let checks = probe(&system(&server.url_as("truegreen", "wrong-one"), |_| {})).await;
    let reason = failure(&checks, "connect");
    assert!(reason.starts_with("does not let us: password authentication failed for user \"truegreen\""), "{reason}");
    assert!(!reason.contains("wrong-one") && checks.len() == 1);

    owner.execute("CREATE ROLE single LOGIN PASSWORD 'secret' CONNECTION LIMIT 1").await.unwrap();
    let url = server.url_as("single", "secret");
    let taken = connect(&url).await;
    let checks = probe(&system(&url, |_| {})).await;
    assert!(failure(&checks, "connect").starts_with("answered: all its connections are taken"), "{checks:?}");
    drop(taken);

    let checks = probe(&system(&server.url().replace("/postgres", "/nowhere"), |_| {})).await;
    assert_eq!(failure(&checks, "connect"), "answered: database \"nowhere\" does not exist");
}

async fn a_slow_log_in_is_told(server: &Postgres) {
    let at = slow(server.port(), Slow::Each(Duration::from_millis(100))).await;
    let url = server.url().replace(&server.port().to_string(), &at.port().to_string());
    let limit = Limit { warn: Some(0.1), fail: None };
    let checks = probe(&system(&url, |config| config.limits = [("connect".into(), limit)].into())).await;
    assert_eq!(check(&checks, "connect").standing, Standing::Warn, "{checks:?}");

    let at = slow(server.port(), Slow::AfterItsFirstWords).await;
    let url = server.url().replace(&server.port().to_string(), &at.port().to_string());
    let checks = probe(&system(&url, |config| config.timeout = Duration::from_secs(4))).await;
    assert!(failure(&checks, "connect").contains("though it speaks: it is too slow"), "{checks:?}");
}

async fn lock_waits_and_long_transactions_are_seen(server: &Postgres, url: &str) {
    let (mut holds, mut waits) = (connect(&server.url()).await, connect(&server.url()).await);
    let update = "UPDATE orders SET note = 'of Ann' WHERE id = 1";
    holds.execute("SET application_name = 'checkout'; BEGIN").await.unwrap();
    holds.execute(update).await.unwrap();
    let waiting = tokio::spawn(async move { waits.execute(update).await.map(drop) });
    let system = system(url, |config| config.timeout = Duration::from_secs(30));
    until("somebody waits", || async {
        check(&probe(&system).await, "lock_waits").reason.contains("1 wait for a lock")
    })
    .await;
    let checks = probe(&system).await;
    let (lock, long) = (&check(&checks, "lock_waits").reason, &check(&checks, "long_transactions").reason);
    let shape = "`UPDATE orders SET note = ? WHERE id = ?`";
    assert!(lock.contains("blocked by pid ") && lock.contains("(checkout, idle in transaction)"), "{lock}");
    assert!(lock.contains(shape) && long.contains(shape) && long.contains("checkout"), "{long}");
    assert!(!lock.contains("Ann") && !long.contains("Ann"));
    holds.execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();

    holds.execute("BEGIN; LOCK TABLE orders").await.unwrap();
    let locked = crate::loopback::system(url, |config| {
        (config.timeout, config.watch) = (Duration::from_secs(2), vec!["orders".into()]);
    });
    let checks = probe(&locked).await;
    assert!(failure(&checks, "read").starts_with("answered: a read waited for a lock for 900 ms"), "{checks:?}");
    holds.execute("ROLLBACK").await.unwrap();
}

async fn ask(system: &System, question: &str, keys: &[&str]) -> Vec<Result<Found, Error>> {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    system.confirm().unwrap().ask(question, &keys).await.unwrap()
}

async fn effects_are_found(url: &str) {
    let system = system(url, |_| {});
    let question = "SELECT *, 1.50::numeric AS \"as is\" FROM orders -- all\nWHERE id = $1;";
    let answers = ask(&system, question, &["1", "77", "no number", "2"]).await;
    let Ok(Found::Rows(rows)) = &answers[0] else { panic!("{answers:?}") };
    let some = |text: &str| Some(text.to_owned());
    let expected = BTreeMap::from([
        ("id".to_owned(), some("1")),
        ("status".to_owned(), some("paid")),
        ("at".to_owned(), some("2026-01-02T03:04:05+00:00")),
        ("tags".to_owned(), some("[\"a\",\"b\"]")),
        ("price".to_owned(), some("10.5000")),
        ("note".to_owned(), some("of Ann")),
        ("as is".to_owned(), some("1.50")),
    ]);
    assert_eq!(rows, &[expected]);
    assert_eq!(answers[1], Ok(Found::Nothing));
    assert!(matches!(&answers[2], Err(Error::Answered(text)) if text.contains("type bigint")), "{answers:?}");
    assert!(matches!(&answers[3], Ok(Found::Rows(rows)) if rows.len() == 1));
    // A key is a value, whatever it says.
    let hostile = ask(&system, "SELECT id FROM orders WHERE status = $1", &["' OR true; --", "pa\0id", "\\"]).await;
    assert_eq!((&hostile[0], &hostile[2]), (&Ok(Found::Nothing), &Ok(Found::Nothing)));
    assert!(hostile[1].is_err());
    assert_eq!(system.confirm().unwrap().behind().await, Some(0.0));

    let question = "WITH paid AS (SELECT id FROM orders WHERE status = $1) SELECT count(*) FROM paid";
    let Ok(Found::Rows(rows)) = &ask(&system, question, &["paid"]).await[0] else { panic!() };
    assert_eq!(rows[0]["count"], some("1"));
    let error = system.confirm().unwrap().ask("SELECT x FROM orders WHERE id = $1", &["1".into()]).await.unwrap_err();
    assert_eq!(error, Error::Answered("column \"x\" does not exist".to_owned()));
}

async fn hostile_questions_do_no_harm(server: &Postgres, url: &str, owner: &mut PgConnection) {
    // As the owner of all, who may do anything.
    let system = system(&server.url(), |config| config.timeout = Duration::from_secs(3));
    for (question, part) in [
        ("SELECT writes($1)", "read-only"),
        ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x WHERE status = $1", "top level"),
        ("SELECT nextval('jobs_id_seq'), $1::text", "writes"),
        ("SELECT naps($1)", "did not answer the question"),
        ("SELECT pg_sleep(600), $1::text", "sleeps"),
        ("SELECT g FROM generate_series(1, 1000000) AS g WHERE $1 <> ''", "more than 10 rows"),
        (
            "SELECT a.g FROM generate_series(1, 100000) a(g), generate_series(1, 100000) b WHERE $1 <> '' ORDER BY 1",
            "not answer",
        ),
        ("SELECT repeat('x', 500000) WHERE $1 <> ''", "more than 4096 bytes"),
        ("SELECT * INTO stolen FROM orders WHERE status = $1", "INTO writes"),
        ("COPY orders TO '/tmp/stolen'", "does not start"),
        ("SELECT $1::text; DROP TABLE orders", "more than one statement"),
        ("SELECT locks($1)", "advisory locks"),
        ("SELECT * FROM orders WHERE status = $1 FOR UPDATE", "locks the rows"),
        ("SELECT set_config('statement_timeout', '0', false), $1::text", "changes settings"),
    ] {
        let answer = system.confirm().unwrap().ask(question, &["paid".to_owned(), "new".to_owned()]).await;
        let reasons: Vec<String> = match answer {
            Ok(answers) => answers.into_iter().map(|answer| answer.unwrap_err().to_string()).collect(),
            Err(error) => vec![error.to_string()],
        };
        assert!(reasons.iter().all(|reason| reason.contains(part)), "{question}: {reasons:?}");
    }
    let orders = "SELECT count(*) FROM orders WHERE status IN ('paid', 'new')";
    assert_eq!(sqlx::query_scalar::<_, i64>(orders).fetch_one(&mut *owner).await.unwrap(), 2);
    until("the lock is free", || async {
        sqlx::query_scalar("SELECT pg_try_advisory_lock(7)").fetch_one(&mut connect(url).await).await.unwrap()
    })
    .await;
    until("nobody sleeps", || async {
        let asleep = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep')";
        sqlx::query_scalar(asleep).fetch_one(&mut connect(&server.url()).await).await.unwrap()
    })
    .await;
}

async fn dead_letters_go_back_once(url: &str, owner: &mut PgConnection) {
    let fill = "INSERT INTO failed_jobs (payload, job_type, queue, exception, failed_at)
        SELECT jsonb_build_object('order', n), 'Reserve', 'stock', 'shop.OutOfStock: none left', '2026-01-02 03:04:05+02'
        FROM generate_series(1, 120) AS n";
    owner.execute(fill).await.unwrap();
    let entry = "failed_jobs(id=id, body=payload, type=job_type, error=exception, at=failed_at, to=jobs)";
    let system = system(url, |config| config.dead_letters = vec![entry.to_owned()]);
    let letters = system.dead_letters().unwrap();
    let places = letters.places().await.unwrap();
    assert_eq!(
        (places[0].name.as_str(), places[0].letters, places[0].warning.as_str()),
        ("failed_jobs", Some(120), "")
    );
    assert!(matches!(letters.open("orders").await, Err(Error::NotAsked(_))), "what is no place is not read");

    let mut reading = letters.open("failed_jobs").await.unwrap();
    let mut all = Vec::new();
    loop {
        let page = reading.next(1000).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 50);
        all.extend(page);
    }
    assert_eq!(all.len(), 120);
    let letter = &all[99];
    assert_eq!((letter.id.as_str(), letter.body.as_slice()), ("100", b"{\"order\": 100}".as_slice()));
    assert_eq!((letter.message_type.as_str(), letter.error_type.as_str()), ("Reserve", "shop.OutOfStock"));
    assert_eq!((letter.died_at.as_str(), letter.origin.as_str()), ("2026-01-02T01:04:05.000000Z", "jobs"));

    let outgoing = Outgoing {
        to: "jobs".into(),
        key: String::new(),
        headers: letter.headers.clone(),
        body: letter.body.clone(),
        idempotency_key: "redrive-1-100".into(),
    };
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Once);
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Already);
    let row = sqlx::query("SELECT count(*), min(job_type), min(queue), min(payload::text) FROM jobs");
    let row = row.fetch_one(&mut *owner).await.unwrap();
    let sent: (i64, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(sent, (1, "Reserve".into(), "stock".into(), "{\"order\": 100}".into()));
    let elsewhere = reading.send(&Outgoing { to: "orders".into(), ..outgoing.clone() }).await;
    assert!(matches!(elsewhere, Err(Error::NotAsked(_))), "{elsewhere:?}");
    let broken = Outgoing { body: b"no json".to_vec(), idempotency_key: "2".into(), ..outgoing.clone() };
    assert!(matches!(reading.send(&broken).await, Err(Error::Refused(text)) if text.contains("json")));
    reading.remove("100").await.unwrap();
    reading.remove("100").await.unwrap();
    assert!(reading.remove("1 OR true").await.is_err());
    reading.close().await.unwrap();
    assert_eq!(letters.places().await.unwrap()[0].letters, Some(119));
    // After a crash of ours the same is sent again, by another reading.
    let mut again = letters.open("failed_jobs").await.unwrap();
    assert_eq!(again.send(&outgoing).await.unwrap(), Sent::Already);
}

async fn bytes_that_are_no_text_go_back_as_they_are(server: &Postgres, owner: &mut PgConnection) {
    let tables =
        "CREATE TABLE \"Orders_dlq\" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), body bytea, headers jsonb);
        CREATE TABLE orders_in (id bigint GENERATED ALWAYS AS IDENTITY, body bytea, headers jsonb);
        INSERT INTO \"Orders_dlq\" (body, headers) VALUES ('\\xff00fe', '{\"traceparent\": \"00-a-b-01\", \"n\": 1}')";
    owner.execute(tables).await.unwrap();
    let found = system(&server.url(), |_| {});
    let places = found.dead_letters().unwrap().places().await.unwrap();
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["Orders_dlq", "failed_jobs"]);
    assert!(places[0].warning.starts_with("nothing is sent back from here"));

    let system = system(&server.url(), |config| config.dead_letters = vec!["Orders_dlq(to=orders_in)".into()]);
    let letters = system.dead_letters().unwrap();
    assert!(letters.places().await.unwrap()[0].warning.contains("sent twice is there twice"));
    let mut reading = letters.open("Orders_dlq").await.unwrap();
    let letter = reading.next(10).await.unwrap().remove(0);
    assert_eq!((letter.body.as_slice(), letter.traceparent.as_str()), ([0xff, 0, 0xfe].as_slice(), "00-a-b-01"));
    let (to, key, headers, body) = ("orders_in".into(), String::new(), letter.headers, letter.body);
    let outgoing = Outgoing { to, key, headers, body, idempotency_key: "x".into() };
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::AtLeastOnce);
    reading.remove(&letter.id).await.unwrap();
    let row = sqlx::query("SELECT body, headers ->> 'n' FROM orders_in").fetch_one(owner).await.unwrap();
    assert_eq!((row.get::<Vec<u8>, _>(0), row.get::<String, _>(1)), (vec![0xff, 0, 0xfe], "1".to_owned()));
    assert_eq!(letters.places().await.unwrap()[0].letters, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_says_how() {
    let closed = free_port().unwrap();
    let (silent, hole) = (silent().await, BlackHole::open());
    let at = |port: u16| {
        let url = format!("postgres://shop:hidden@127.0.0.1:{port}/shop");
        system(&url, |config| config.timeout = Duration::from_secs(4))
    };
    let (closed, silent, black) = (at(closed), at(silent.port()), at(hole.address.port()));
    let (closed, silent, black) = tokio::join!(probe(&closed), probe(&silent), probe(&black));
    assert!(failure(&closed, "connect").starts_with("cannot be reached: nobody listens"), "{closed:?}");
    assert!(
        failure(&silent, "connect").starts_with("cannot be reached: it accepts the connection and then says nothing")
    );
    assert!(failure(&black, "connect").starts_with("cannot be reached: no answer to a TCP connection"), "{black:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_tells_how_far_it_is_behind() {
    let primary = Postgres::start().unwrap();
    let mut owner = connect(&primary.url()).await;
    owner.execute("CREATE TABLE orders (id bigint PRIMARY KEY); INSERT INTO orders VALUES (1)").await.unwrap();
    let replica = Postgres::replica_of(&primary).unwrap();
    let standby = system(&replica.url(), |config| config.scratch = Some("scratch".into()));
    until("it has caught up", || async { check(&probe(&standby).await, "replication_lag").standing == Standing::Pass })
        .await;
    let checks = probe(&standby).await;
    assert!(failure(&checks, "write").starts_with("answered: it is a read-only replica"), "{checks:?}");
    assert_eq!(check(&checks, "read").standing, Standing::Pass);

    let mut paused = connect(&replica.url()).await;
    paused.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    until("it is paused", || async {
        check(&probe(&standby).await, "replication_lag").reason.contains("its replay is paused")
    })
    .await;
    owner.execute("INSERT INTO orders VALUES (2)").await.unwrap();
    until("it is behind", || async { standby.confirm().unwrap().behind().await.is_some_and(|seconds| seconds > 0.5) })
        .await;
    let answers = ask(&standby, "SELECT id FROM orders WHERE id = $1", &["1", "2"]).await;
    assert!(matches!(&answers[0], Ok(Found::Rows(_))) && answers[1] == Ok(Found::Nothing), "{answers:?}");
    let limit = Limit { warn: None, fail: Some(0.5) };
    let limited = system(&replica.url(), |config| config.limits = [("replication_lag".into(), limit)].into());
    assert!(failure(&probe(&limited).await, "replication_lag").contains("fails from 0.50 s on"));

    // The primary knows of it too.
    let checks = probe(&system(&primary.url(), |_| {})).await;
    let bytes = check(&checks, "replication_lag_bytes");
    assert_eq!(bytes.component, "standby standby");
    assert!(bytes.observed.as_ref().unwrap().value > 0.0, "{bytes:?}");

    paused.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    until("it has caught up", || async {
        matches!(ask(&standby, "SELECT id FROM orders WHERE id = $1", &["2"]).await[0], Ok(Found::Rows(_)))
    })
    .await;
    drop(primary);
    until("it is alone", || async {
        let checks = probe(&standby).await;
        let check = check(&checks, "replication_lag");
        check.standing >= Standing::Warn && check.reason.starts_with("this standby receives nothing")
    })
    .await;
}

/// A file system of one megabyte.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: PathBuf) -> Tiny {
        std::fs::create_dir(&at).unwrap();
        let done =
            as_root("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs"]).arg(&at).status().unwrap();
        assert!(done.success(), "a test of a full disk mounts one: run it as root, or where sudo asks for no password");
        Tiny(at)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _done = as_root("umount").arg(&self.0).status();
    }
}

fn as_root(program: &str) -> Command {
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let mut command = Command::new(if is_root { program } else { "sudo" });
    if !is_root {
        command.args(["-n", program]);
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tiny = Tiny::mount(folder.path().join("disk"));
    let server = Postgres::start().unwrap();
    let space = tiny.0.join("space");
    std::fs::create_dir(&space).unwrap();
    server.hand_over(&space).unwrap();
    let mut owner = connect(&server.url()).await;
    let create = format!("CREATE TABLESPACE tiny LOCATION '{}'", space.display());
    owner.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    let tables =
        "CREATE TABLE scratch (truegreen_probe text PRIMARY KEY, written_at timestamptz NOT NULL DEFAULT now())
        TABLESPACE tiny; CREATE TABLE filler (text text) TABLESPACE tiny";
    owner.execute(tables).await.unwrap();
    let fill = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 5)";
    while owner.execute(fill).await.is_ok() {}
    let checks = probe(&system(&server.url(), |config| config.scratch = Some("scratch".into()))).await;
    assert!(
        failure(&checks, "write").starts_with("answered: no room on its disk: could not extend file"),
        "{checks:?}"
    );
    assert_eq!(check(&checks, "read").standing, Standing::Pass);
    drop(server);
    drop(tiny);
}
