//! Letters sent back on tables as queues, whose target has a unique column for the key of a sending.

#[cfg(feature = "mysql")]
use truegreen_fixture::Mariadb;
#[cfg(feature = "postgres")]
use truegreen_fixture::Postgres;

#[cfg(feature = "postgres")]
use super::Desk;
use super::trial::{self, Bed, Copies, body, names};

const ENTRY: &str = "dead_letters: ['failed_jobs(to=orders)'], timeout: 20s";

fn insert(names: &[String]) -> String {
    let rows: Vec<String> =
        names.iter().map(|name| format!("('{}', 'shop.OutOfStock: none left')", body(name))).collect();
    format!("INSERT INTO failed_jobs (payload, exception) VALUES {};", rows.join(", "))
}

fn copies(answer: &str) -> Copies {
    names(answer.lines().filter(|line| !line.is_empty()))
}

#[cfg(feature = "postgres")]
impl Bed for Postgres {
    const DROPS_A_SECOND: bool = true;
    const PLACE: &'static str = "failed_jobs";

    fn called(&self) -> String {
        "PostgreSQL".to_owned()
    }

    fn entry(&self) -> String {
        format!("{{url: '{}', {ENTRY}}}", self.url())
    }

    fn die(&mut self, names: &[String]) {
        self.sql(&insert(names)).unwrap();
    }

    fn restart(&mut self) {
        Postgres::restart(self).unwrap();
    }

    fn dead(&mut self) -> Copies {
        copies(&self.sql("SELECT payload FROM failed_jobs").unwrap())
    }

    fn arrived(&mut self) -> Copies {
        copies(&self.sql("SELECT payload FROM orders").unwrap())
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgresql() {
    let mut postgres = Postgres::start().unwrap();
    let tables = "CREATE TABLE failed_jobs (id bigserial PRIMARY KEY, payload text, exception text);
        CREATE TABLE orders (id bigserial PRIMARY KEY, payload text, headers jsonb, idempotency_key text UNIQUE);";
    postgres.sql(tables).unwrap();
    trial::stand(&mut postgres);
}

/// Scenario: the target's own rule does not let some letters in. Guarantee: these lie dead still, each with what the server
/// said; the others went; and the redrive does not call itself ended.
#[cfg(feature = "postgres")]
#[test]
fn what_a_constraint_refuses_lies_there_still_and_says_why() {
    let postgres = Postgres::start().unwrap();
    let tables = "CREATE TABLE failed_jobs (id bigserial PRIMARY KEY, payload jsonb, exception text);
        CREATE TABLE orders (id bigserial PRIMARY KEY, payload jsonb, idempotency_key text UNIQUE,
        CONSTRAINT no_odd_orders CHECK (payload->'order'->>'id' NOT LIKE '%1'));";
    postgres.sql(tables).unwrap();
    let all: Vec<String> = (0..30).map(|n| format!("o-{n}")).collect();
    postgres.sql(&insert(&all)).unwrap();
    let desk = Desk::at(&Bed::entry(&postgres));
    let begin = ["redrive", "--all", "--canary", "0", "--rate", "all", "--max-failed", "50"];
    let output = desk.run(&begin);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("3 could not be sent or removed"), "{output:?}");
    let left = copies(&postgres.sql("SELECT payload::text FROM failed_jobs").unwrap());
    assert_eq!(left.keys().collect::<Vec<_>>(), ["o-1", "o-11", "o-21"]);
    assert_eq!(copies(&postgres.sql("SELECT payload::text FROM orders").unwrap()).len(), 27);
    let history = desk.told(&["history", &desk.ids()[0]]);
    assert_eq!(history.matches("violates check constraint \"no_odd_orders\"").count(), 3, "{history}");

    // Once the rule is gone they go, once.
    postgres.sql("ALTER TABLE orders DROP CONSTRAINT no_odd_orders").unwrap();
    desk.said(&["redrive", "--resume", &desk.ids()[0]]);
    let arrived = copies(&postgres.sql("SELECT payload::text FROM orders").unwrap());
    assert!(arrived.len() == 30 && arrived.values().all(|copies| *copies == 1), "{arrived:?}");
    assert_eq!(desk.record(&desk.ids()[0])["counts"]["may_be_doubled"], 0);
}

#[cfg(feature = "mysql")]
impl Bed for Mariadb {
    const DROPS_A_SECOND: bool = true;
    const PLACE: &'static str = "failed_jobs";

    fn called(&self) -> String {
        "MariaDB".to_owned()
    }

    fn entry(&self) -> String {
        format!("{{url: '{}', {ENTRY}}}", self.url())
    }

    fn die(&mut self, names: &[String]) {
        self.sql(&insert(names)).unwrap();
    }

    fn restart(&mut self) {
        Mariadb::restart(self).unwrap();
    }

    fn dead(&mut self) -> Copies {
        copies(&self.sql("SELECT payload FROM failed_jobs").unwrap())
    }

    fn arrived(&mut self) -> Copies {
        copies(&self.sql("SELECT payload FROM orders").unwrap())
    }
}

#[cfg(feature = "mysql")]
#[test]
fn mariadb() {
    let mut mariadb = Mariadb::start_durable().unwrap();
    let tables = "CREATE TABLE failed_jobs (id bigint AUTO_INCREMENT PRIMARY KEY, payload text, exception text);
        CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, payload text, headers text,
        idempotency_key varchar(200) UNIQUE);";
    mariadb.sql(tables).unwrap();
    trial::stand(&mut mariadb);
}
