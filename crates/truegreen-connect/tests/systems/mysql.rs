//! MariaDB, asked.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its steps share too")]

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{Connection, Executor, MySqlConnection, Row};
use truegreen_connect::config::Limit;
use truegreen_connect::confirm::Found;
use truegreen_connect::dead_letters::{Outgoing, Sent};
use truegreen_connect::{Error, System};
use truegreen_fixture::{Mariadb, free_port};
use truegreen_model::probe::Standing;

use crate::loopback::{BlackHole, Slow, check, failure, probe, silent, slow, system, until};

/// As docs/systems/mysql.md has them, for MariaDB.
const RIGHTS: &str = "
    CREATE USER truegreen@'%' IDENTIFIED BY 'secret';
    GRANT PROCESS, REPLICA MONITOR ON *.* TO truegreen@'%';
    GRANT SELECT ON shop.orders TO truegreen@'%';
    GRANT CREATE, SELECT, INSERT, DELETE ON shop.truegreen_scratch TO truegreen@'%';
    GRANT SELECT, DELETE ON shop.failed_jobs TO truegreen@'%';
    GRANT SELECT, INSERT ON shop.jobs TO truegreen@'%'
";

const TABLES: &str = "
    CREATE TABLE orders (id BIGINT PRIMARY KEY, status VARCHAR(20) COLLATE utf8mb4_bin NOT NULL, at DATETIME, price DECIMAL(12,4), note TEXT,
                         uid BINARY(4), data JSON);
    INSERT INTO orders VALUES (1, 'paid', '2026-01-02 03:04:05', 10.5, NULL, X'00ff00fe', '{\"a\": 1}'),
                              (2, 'new', NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE failed_jobs (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, payload JSON NOT NULL, job_type TEXT,
                              queue TEXT, exception LONGTEXT, failed_at DATETIME(3));
    CREATE TABLE jobs (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload JSON NOT NULL, job_type TEXT, queue VARCHAR(10),
                       idempotency_key VARCHAR(100) UNIQUE);
    CREATE FUNCTION writes(k TEXT) RETURNS TEXT MODIFIES SQL DATA BEGIN UPDATE orders SET status = k; RETURN k; END;
    CREATE FUNCTION naps(k TEXT) RETURNS TEXT NO SQL BEGIN DO SLEEP(600); RETURN k; END;
    CREATE FUNCTION locks(k TEXT) RETURNS TEXT NO SQL BEGIN DO GET_LOCK('ours', 0); RETURN k; END
";

async fn connect(url: &str) -> MySqlConnection {
    MySqlConnection::connect(url).await.unwrap()
}

async fn run(connection: &mut MySqlConnection, statements: &'static str) {
    sqlx::raw_sql(statements).execute(connection).await.unwrap();
}

/// One server: what it is asked as the user that the docs tell of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_asked() {
    let server = Mariadb::start().unwrap();
    let mut owner = connect(&server.url()).await;
    run(&mut owner, TABLES).await;
    run(&mut owner, RIGHTS).await;
    let url = server.url_as("truegreen", "secret");
    it_passes_with_the_rights_of_the_docs(&url, &mut owner).await;
    what_a_user_may_not_see_is_unknown(&server, &mut owner).await;
    a_wrong_password_and_no_connection_left_are_told_apart(&server, &mut owner).await;
    a_slow_log_in_is_told(&server).await;
    lock_waits_and_long_transactions_are_seen(&server, &url).await;
    effects_are_found(&url).await;
    hostile_questions_do_no_harm(&server, &mut owner).await;
    dead_letters_go_back_once(&url, &mut owner).await;
    bytes_that_are_no_text_go_back_as_they_are(&server, &mut owner).await;
}

async fn it_passes_with_the_rights_of_the_docs(url: &str, owner: &mut MySqlConnection) {
    let system = system(url, |config| config.scratch = Some("truegreen_scratch".into()));
    // Two at once share the table, also its creation.
    let (one, other) = tokio::join!(probe(&system), probe(&system));
    for checks in [one, other, probe(&system).await] {
        let names: Vec<&str> = checks.iter().map(|check| check.measurement.as_str()).collect();
        assert_eq!(
            names,
            ["connect", "read", "write", "connections", "long_transactions", "lock_waits"],
            "{checks:#?}"
        );
        assert!(checks.iter().all(|check| check.standing == Standing::Pass), "{checks:#?}");
        assert!(check(&checks, "read").component.starts_with("table shop."));
    }
    let left = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM truegreen_scratch").fetch_one(owner).await.unwrap();
    assert_eq!(left, 0);
}

async fn what_a_user_may_not_see_is_unknown(server: &Mariadb, owner: &mut MySqlConnection) {
    run(owner, "CREATE USER stranger@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON shop.jobs TO stranger@'%'").await;
    let system = system(&server.url_as("stranger", "secret"), |config| config.watch = vec!["orders".into()]);
    let checks = probe(&system).await;
    assert!(failure(&checks, "read").starts_with("does not let us: SELECT command denied to user"), "{checks:?}");
    for (measurement, right) in
        [("replication_lag", "REPLICA MONITOR"), ("long_transactions", "PROCESS"), ("lock_waits", "PROCESS")]
    {
        let check = check(&checks, measurement);
        assert_eq!(check.standing, Standing::Unknown, "{check:?}");
        assert!(check.reason.contains(&format!("GRANT {right} ON *.*")), "{check:?}");
    }
    assert_eq!(check(&checks, "connections").standing, Standing::Pass);
    assert_eq!(system.confirm().unwrap().behind().await, None);
}

async fn a_wrong_password_and_no_connection_left_are_told_apart(server: &Mariadb, owner: &mut MySqlConnection) {
    let checks = probe(&system(&server.url_as("truegreen", "wrong-one"), |_| {})).await;
    let reason = failure(&checks, "connect");
    assert!(reason.starts_with("does not let us: Access denied for user 'truegreen'@"), "{reason}");
    assert!(!reason.contains("wrong-one") && checks.len() == 1);

    let single = "CREATE USER single@'%' IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 1; GRANT SELECT ON shop.* TO single@'%'";
    run(owner, single).await;
    let url = server.url_as("single", "secret");
    let taken = connect(&url).await;
    let checks = probe(&system(&url, |_| {})).await;
    assert!(failure(&checks, "connect").starts_with("answered: all its connections are taken"), "{checks:?}");
    drop(taken);

    let checks = probe(&system(&server.url().replace("/shop", "/nowhere"), |_| {})).await;
    assert_eq!(failure(&checks, "connect"), "answered: Unknown database 'nowhere'");
}

async fn a_slow_log_in_is_told(server: &Mariadb) {
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

async fn lock_waits_and_long_transactions_are_seen(server: &Mariadb, url: &str) {
    let (mut holds, mut waits) = (connect(&server.url()).await, connect(&server.url()).await);
    let update = "UPDATE orders SET note = 'of Ann' WHERE id = 1";
    run(&mut holds, "BEGIN").await;
    run(&mut holds, update).await;
    let waiting = tokio::spawn(async move { waits.execute(update).await.map(drop) });
    let system = system(url, |config| config.timeout = Duration::from_secs(30));
    until("somebody waits", || async {
        check(&probe(&system).await, "lock_waits").reason.contains("1 wait for a lock")
    })
    .await;
    let checks = probe(&system).await;
    let (lock, long) = (check(&checks, "lock_waits"), check(&checks, "long_transactions"));
    assert!(lock.reason.contains("`UPDATE orders SET note = ? WHERE id = ?`; blocked by connection "), "{lock:?}");
    assert!(lock.reason.contains("(owner, Sleep) runs nothing now") && !lock.reason.contains("Ann"), "{lock:?}");
    // Its clock stands in another zone than the session's.
    let seconds = long.observed.as_ref().unwrap().value;
    assert!((0.0..3000.0).contains(&seconds) && long.reason.contains("(owner, "), "{long:?}");
    run(&mut holds, "ROLLBACK").await;
    waiting.await.unwrap().unwrap();

    run(&mut holds, "LOCK TABLES orders WRITE").await;
    let mut reads = connect(&server.url()).await;
    let reading = tokio::spawn(async move { reads.execute("SELECT * FROM orders WHERE note = 'Ann'").await.map(drop) });
    let locked = crate::loopback::system(url, |config| {
        (config.timeout, config.watch) = (Duration::from_secs(5), vec!["orders".into()]);
    });
    let checks = probe(&locked).await;
    assert!(failure(&checks, "read").starts_with("answered: a read waited for a lock for 2000 ms"), "{checks:?}");
    let lock = &check(&checks, "lock_waits").reason;
    assert!(lock.contains("`SELECT * FROM orders WHERE note = ?`; for the definition of a table"), "{lock}");
    run(&mut holds, "UNLOCK TABLES").await;
    reading.await.unwrap().unwrap();
}

async fn ask(system: &System, question: &str, keys: &[&str]) -> Vec<Result<Found, Error>> {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    system.confirm().unwrap().ask(question, &keys).await.unwrap()
}

async fn effects_are_found(url: &str) {
    let system = system(url, |_| {});
    let question = "SELECT *, 1.50 AS `as is` FROM orders -- all\nWHERE id = ?;";
    let answers = ask(&system, question, &["1", "77", "2"]).await;
    let Ok(Found::Rows(rows)) = &answers[0] else { panic!("{answers:?}") };
    let some = |text: &str| Some(text.to_owned());
    let expected = BTreeMap::from([
        ("id".to_owned(), some("1")),
        ("status".to_owned(), some("paid")),
        ("at".to_owned(), some("2026-01-02 03:04:05")),
        ("price".to_owned(), some("10.5000")),
        ("note".to_owned(), some("of Ann")),
        ("uid".to_owned(), some("00FF00FE")),
        ("data".to_owned(), some("{\"a\": 1}")),
        ("as is".to_owned(), some("1.50")),
    ]);
    assert_eq!(rows, &[expected]);
    assert_eq!(answers[1], Ok(Found::Nothing));
    assert!(matches!(&answers[2], Ok(Found::Rows(rows)) if rows.len() == 1));
    // A key is a value, whatever it says.
    let hostile = ask(&system, "SELECT id FROM orders WHERE status = ?", &["' OR true; -- ", "pa\0id", "\\"]).await;
    assert!(hostile.iter().all(|answer| *answer == Ok(Found::Nothing)), "{hostile:?}");
    assert_eq!(system.confirm().unwrap().behind().await, Some(0.0));

    let question = "WITH paid AS (SELECT id FROM orders WHERE status = ?) SELECT COUNT(*) FROM paid";
    let Ok(Found::Rows(rows)) = &ask(&system, question, &["paid"]).await[0] else { panic!() };
    assert_eq!(rows[0]["COUNT(*)"], some("1"));
}

async fn hostile_questions_do_no_harm(server: &Mariadb, owner: &mut MySqlConnection) {
    // As the owner of all, who may do anything.
    let system = system(&server.url(), |config| config.timeout = Duration::from_secs(3));
    for (question, part) in [
        ("SELECT writes(?)", "read-only"),
        ("SELECT naps(?)", "did not answer the question"),
        ("SELECT SLEEP(600), ?", "sleeps"),
        ("SELECT seq FROM seq_1_to_1000000 WHERE ? <> ''", "more than 10 rows"),
        ("SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE ? <> ''", "did not answer the question"),
        ("SELECT REPEAT('x', 5000000) FROM orders WHERE ? <> '' LIMIT 1", "more than 4096 bytes"),
        ("SELECT * FROM orders WHERE status = ? INTO OUTFILE '/tmp/stolen'", "INTO writes"),
        ("SELECT * FROM orders WHERE status = ? /*! FOR UPDATE */", "comment that runs"),
        ("SET STATEMENT max_statement_time = 0 FOR SELECT ?", "does not start"),
        ("SELECT ?; DROP TABLE orders", "more than one statement"),
        ("SELECT locks(?)", "locks by name"),
        ("SELECT * FROM orders WHERE status = ? FOR UPDATE", "locks the rows"),
        ("SELECT LOAD_FILE('/etc/passwd'), ?", "reads files"),
    ] {
        let answer = system.confirm().unwrap().ask(question, &["paid".to_owned(), "new".to_owned()]).await;
        let reasons: Vec<String> = match answer {
            Ok(answers) => {
                answers.into_iter().map(|answer| format!("{:?}", answer.map_err(|e| e.to_string()))).collect()
            }
            Err(error) => vec![error.to_string()],
        };
        assert!(reasons.iter().all(|reason| reason.contains(part)), "{question}: {reasons:?}");
    }
    let orders = "SELECT COUNT(*) FROM orders WHERE status IN ('paid', 'new')";
    assert_eq!(sqlx::query_scalar::<_, i64>(orders).fetch_one(&mut *owner).await.unwrap(), 2);
    let is_free = sqlx::query_scalar::<_, i64>("SELECT IS_FREE_LOCK('ours')").fetch_one(&mut *owner).await.unwrap();
    assert_eq!(is_free, 1);
    until("nobody sleeps", || async {
        let asleep = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
        sqlx::query_scalar::<_, i64>(asleep).fetch_one(&mut connect(&server.url()).await).await.unwrap() == 0
    })
    .await;
}

async fn dead_letters_go_back_once(url: &str, owner: &mut MySqlConnection) {
    let fill = "INSERT INTO failed_jobs (payload, job_type, queue, exception, failed_at)
        SELECT JSON_OBJECT('order', seq), 'Reserve', 'stock', 'shop.OutOfStock: none left', '2026-01-02 03:04:05.5'
        FROM seq_1_to_120";
    run(owner, fill).await;
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
    assert_eq!((letter.died_at.as_str(), letter.origin.as_str()), ("2026-01-02T03:04:05.500000Z", "jobs"));

    let outgoing = Outgoing {
        to: "jobs".into(),
        key: String::new(),
        headers: letter.headers.clone(),
        body: letter.body.clone(),
        idempotency_key: "redrive-1-100".into(),
    };
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Once);
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Already);
    let row = sqlx::query("SELECT COUNT(*), MIN(job_type), MIN(queue), CAST(MIN(payload) AS CHAR) FROM jobs");
    let row = row.fetch_one(&mut *owner).await.unwrap();
    let sent: (i64, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(sent, (1, "Reserve".into(), "stock".into(), "{\"order\": 100}".into()));
    let elsewhere = reading.send(&Outgoing { to: "orders".into(), ..outgoing.clone() }).await;
    assert!(matches!(elsewhere, Err(Error::NotAsked(_))), "{elsewhere:?}");
    // What cannot be put there is not passed over, and is not mistaken for a duplicate.
    let broken = Outgoing { body: b"no json".to_vec(), idempotency_key: "2".into(), ..outgoing.clone() };
    assert!(matches!(reading.send(&broken).await, Err(Error::Refused(_))));
    let long = vec![("queue".to_owned(), "far too long a name".to_owned())];
    let long = Outgoing { headers: long, idempotency_key: "3".into(), ..outgoing.clone() };
    assert!(matches!(reading.send(&long).await, Err(Error::Refused(text)) if text.contains("too long")));
    reading.remove("100").await.unwrap();
    reading.remove("100").await.unwrap();
    let _nothing = reading.remove("101 OR true").await;
    reading.close().await.unwrap();
    let left = letters.places().await.unwrap()[0].letters;
    assert!(left.is_some_and(|left| left >= 118), "{left:?}");
    // After a crash of ours the same is sent again, by another reading.
    let mut again = letters.open("failed_jobs").await.unwrap();
    assert_eq!(again.send(&outgoing).await.unwrap(), Sent::Already);
}

async fn bytes_that_are_no_text_go_back_as_they_are(server: &Mariadb, owner: &mut MySqlConnection) {
    let tables = "CREATE TABLE orders_dlq (id BINARY(4) PRIMARY KEY, body BLOB, headers JSON);
        CREATE TABLE orders_in (id BIGINT AUTO_INCREMENT PRIMARY KEY, body BLOB, headers JSON,
                                 size INT AS (OCTET_LENGTH(body)) STORED);
        INSERT INTO orders_dlq VALUES (X'01ff00fe', X'ff00fe', '{\"traceparent\": \"00-a-b-01\", \"n\": 1, \"size\": 9}'),
                                      (X'01ff00ff', X'01', NULL)";
    run(owner, tables).await;
    let found = system(&server.url(), |_| {});
    let places = found.dead_letters().unwrap().places().await.unwrap();
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["failed_jobs", "orders_dlq"]);
    assert!(places[0].warning.starts_with("nothing is sent back from here"));

    let system = system(&server.url(), |config| config.dead_letters = vec!["orders_dlq(to=orders_in)".into()]);
    let letters = system.dead_letters().unwrap();
    assert!(letters.places().await.unwrap()[0].warning.contains("sent twice is there twice"));
    let mut reading = letters.open("orders_dlq").await.unwrap();
    let letter = reading.next(1).await.unwrap().remove(0);
    assert_eq!((letter.body.as_slice(), letter.traceparent.as_str()), ([0xff, 0, 0xfe].as_slice(), "00-a-b-01"));
    assert_eq!(reading.next(10).await.unwrap()[0].id, "01FF00FF");
    let (to, key, headers, body) = ("orders_in".into(), String::new(), letter.headers, letter.body);
    let outgoing = Outgoing { to, key, headers, body, idempotency_key: "x".into() };
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::AtLeastOnce);
    reading.remove(&letter.id).await.unwrap();
    let row =
        sqlx::query("SELECT body, JSON_VALUE(headers, '$.n'), size FROM orders_in").fetch_one(owner).await.unwrap();
    let sent: (Vec<u8>, String, i32) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(sent, (vec![0xff, 0, 0xfe], "1".to_owned(), 3));
    assert_eq!(letters.places().await.unwrap()[0].letters, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_says_how() {
    let closed = free_port().unwrap();
    let (silent, hole) = (silent().await, BlackHole::open());
    let at = |port: u16| {
        let url = format!("mysql://shop:hidden@127.0.0.1:{port}/shop");
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
async fn a_replica_tells_how_far_it_is_behind() {
    let primary = Mariadb::start().unwrap();
    let replica = Mariadb::replica_of(&primary).unwrap();
    let mut owner = connect(&primary.url()).await;
    run(&mut owner, "CREATE TABLE orders (id BIGINT PRIMARY KEY); INSERT INTO orders VALUES (1)").await;
    let follower = system(&replica.url(), |config| config.scratch = Some("scratch".into()));
    let confirm = follower.confirm().unwrap();
    let question = "SELECT id FROM orders WHERE id = ?";
    until("it has caught up", || async {
        matches!(confirm.ask(question, &["1".into()]).await, Ok(all) if all[0] != Ok(Found::Nothing))
    })
    .await;
    let checks = probe(&follower).await;
    assert!(failure(&checks, "write").starts_with("answered: it is read-only, as a replica is"), "{checks:?}");
    assert_eq!(check(&checks, "replication_lag").standing, Standing::Pass, "{checks:?}");

    let mut holds = connect(&replica.url()).await;
    run(&mut holds, "LOCK TABLES orders READ").await;
    run(&mut owner, "INSERT INTO orders VALUES (2)").await;
    until("it is behind", || async { confirm.behind().await.is_some_and(|seconds| seconds >= 1.0) }).await;
    assert_eq!(ask(&follower, question, &["2"]).await, [Ok(Found::Nothing)]);
    let limit = Limit { warn: None, fail: Some(1.0) };
    let limited = system(&replica.url(), |config| config.limits = [("replication_lag".into(), limit)].into());
    assert!(failure(&probe(&limited).await, "replication_lag").contains("fails from 1 s on"));
    run(&mut holds, "UNLOCK TABLES").await;

    run(&mut holds, "STOP SLAVE SQL_THREAD").await;
    assert!(failure(&probe(&follower).await, "replication_lag").starts_with("this replica applies nothing"));
    assert_eq!(confirm.behind().await, None);
    run(&mut holds, "START SLAVE SQL_THREAD").await;
    drop(primary);
    until("it is alone", || async {
        check(&probe(&follower).await, "replication_lag").reason.starts_with("this replica receives nothing")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_as_one() {
    let server = Mariadb::start_with(&["--innodb-data-file-path=ibdata1:12M", "--innodb-file-per-table=0"]).unwrap();
    let mut owner = connect(&server.url()).await;
    let tables = "CREATE TABLE scratch (truegreen_probe VARCHAR(120) CHARACTER SET ascii PRIMARY KEY,
            written_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, pad CHAR(250) DEFAULT 'x') ENGINE = InnoDB;
        CREATE TABLE filler (id INT AUTO_INCREMENT PRIMARY KEY, text LONGTEXT)";
    run(&mut owner, tables).await;
    for length in [1_000_000, 100_000, 10_000, 1_000, 100] {
        let fill = "INSERT INTO filler (text) VALUES (REPEAT('x', ?))";
        while sqlx::query(fill).bind(length).execute(&mut owner).await.is_ok() {}
    }
    // What is left of its own page holds a few rows more.
    let rest = "INSERT INTO scratch (truegreen_probe) VALUES (UUID())";
    while owner.execute(rest).await.is_ok() {}
    let checks = probe(&system(&server.url(), |config| config.scratch = Some("scratch".into()))).await;
    assert!(
        failure(&checks, "write").starts_with("answered: no room on its disk: The table 'scratch' is full"),
        "{checks:?}"
    );
    assert_eq!(check(&checks, "read").standing, Standing::Pass);
}
