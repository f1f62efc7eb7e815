//! Tables as queues of dead letters.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use truegreen_model::letter::Letter;

use super::{Access, Postgres, begin, end};
use crate::Error;
use crate::dead_letters::{DeadLetters, Outgoing, Place, Reading, Sent};
use crate::sql::lines::Lines;
use crate::sql::name::{Table, quoted};
use crate::sql::peer::{Peer, refusal};
use crate::sql::pieces::Dialect;
use crate::sql::table_queue::{
    BODY_READ, Column, Form, IDEMPOTENCY_KEY, Layout, MAX_COLUMNS, MAX_COUNTED, MAX_PAGE, MAX_PLACES, Role, TEXT_READ,
    Value,
};

#[async_trait]
impl DeadLetters for Postgres {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let mut line = self.lines.take().await?;
        let mut places = Vec::new();
        for form in self.forms(&mut line).await? {
            places.push(place(&self.lines.peer, &mut line, &form).await?);
        }
        line.give_back();
        Ok(places)
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let peer = &self.lines.peer;
        let mut line = self.lines.take().await?;
        let form = self.forms(&mut line).await?.into_iter().find(|form| form.table.to_string() == place);
        let form = form.ok_or_else(|| {
            Error::NotAsked(format!("{place} is not known as a place of dead letters\nhint: name it in `dead_letters`"))
        })?;
        begin(peer, &mut line, Access::Read).await?;
        let columns = columns(peer, &mut line, &form.table).await?;
        let layout = form.layout(columns).map_err(Error::NotAsked)?;
        end(peer, &mut line, "ROLLBACK").await?;
        line.give_back();
        Ok(Box::new(Queue { lines: Arc::clone(&self.lines), form, layout, last: None }))
    }
}

impl Postgres {
    /// The tables that are configured, else those that are called like one.
    async fn forms(&self, connection: &mut PgConnection) -> Result<Vec<Form>, Error> {
        if !self.queues.is_empty() {
            return Ok(self.queues.iter().take(MAX_PLACES).cloned().collect());
        }
        let peer = &self.lines.peer;
        begin(peer, connection, Access::Read).await?;
        let named = sqlx::query_scalar(
            "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text ELSE n.nspname || '.' || c.relname END \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
             AND c.relname ~ '(^failed_jobs$|dead_?letter|(^|_)dlq$)' \
             AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1 LIMIT $1",
        );
        let named = named.bind(i64::try_from(MAX_PLACES).unwrap_or(i64::MAX)).fetch_all(&mut *connection);
        let names: Vec<String> = peer.within("which tables there are", named).await?;
        end(peer, connection, "ROLLBACK").await?;
        Ok(names.iter().filter_map(|name| Form::read(name).ok()).collect())
    }
}

async fn place(peer: &Peer, connection: &mut PgConnection, form: &Form) -> Result<Place, Error> {
    let mut place = Place { name: form.table.to_string(), ..Place::default() };
    begin(peer, connection, Access::Read).await?;
    place.warning = match form.layout(columns(peer, connection, &form.table).await?) {
        Err(warning) => warning,
        Ok(_) => {
            let table = form.table.quoted(Dialect::Postgres);
            let count = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {}) AS a", MAX_COUNTED + 1);
            let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).fetch_one(&mut *connection);
            match peer.within("how many letters there are", count).await {
                Ok(count) => place.letters = u64::try_from(count).ok().filter(|_| count <= MAX_COUNTED),
                // Neither is a reason not to tell of the other places.
                Err(Error::TimedOut { .. } | Error::Denied(_)) => {}
                Err(error) => return Err(error),
            }
            end(peer, connection, "ROLLBACK").await?;
            begin(peer, connection, Access::Read).await?;
            warning(peer, connection, form).await?
        }
    };
    end(peer, connection, "ROLLBACK").await?;
    Ok(place)
}

/// What to know before sending back.
async fn warning(peer: &Peer, connection: &mut PgConnection, form: &Form) -> Result<String, Error> {
    let Some(to) = &form.to else {
        return Ok(format!("nothing is sent back from here\nhint: {}(to=TABLE) in `dead_letters`", form.table));
    };
    let target = columns(peer, connection, to).await?;
    Ok(match target.iter().find(|column| column.name == IDEMPOTENCY_KEY) {
        _ if target.is_empty() => format!("there is no table {to}, or it may not be seen"),
        Some(column) if column.is_unique => String::new(),
        Some(_) => format!("{to}.{IDEMPOTENCY_KEY} is not unique: what is sent twice is there twice"),
        None => format!("{to} has no column {IDEMPOTENCY_KEY}: what is sent twice is there twice"),
    })
}

/// The columns of a table; none where there is no such table.
async fn columns(peer: &Peer, connection: &mut PgConnection, table: &Table) -> Result<Vec<Column>, Error> {
    let columns = sqlx::query(
        "SELECT a.attname::text, format_type(a.atttypid, NULL), \
         a.attidentity::text = 'a' OR a.attgenerated::text <> '', \
         EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid \
         AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indpred IS NULL) \
         FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY a.attnum LIMIT $2",
    );
    let columns = columns.bind(table.quoted(Dialect::Postgres)).bind(i64::try_from(MAX_COLUMNS).unwrap_or(i64::MAX));
    let rows = peer.within("the columns of a table", columns.fetch_all(connection)).await?;
    let column = |row: &PgRow| -> Result<Column, sqlx::Error> {
        let (name, kind) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Column { name, kind, is_computed: row.try_get(2)?, is_unique: row.try_get(3)? })
    };
    rows.iter().map(column).collect::<Result<_, _>>().map_err(|error| peer.reason("the columns of a table", error))
}

/// A table under inspection.
struct Queue {
    lines: Arc<Lines<PgConnection>>,
    form: Form,
    layout: Layout,
    /// The id up to which it was read.
    last: Option<String>,
}

impl Queue {
    fn id(&self) -> (String, String) {
        let id = &self.layout.columns[self.layout.id];
        (quoted(&id.name, Dialect::Postgres), format!("$1::text::{}", id.kind))
    }

    /// The texts of all columns, in their order, then the body and whether it is longer.
    fn select(&self, limit: usize) -> String {
        let is_died_at = |at| self.layout.column(Role::At) == Some(at);
        let texts = self.layout.columns.iter().enumerate().map(|(at, column)| {
            let name = quoted(&column.name, Dialect::Postgres);
            match column.kind.as_str() {
                _ if at == self.layout.body => "NULL::text".to_owned(),
                "timestamp with time zone" if is_died_at(at) => {
                    format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                "timestamp without time zone" if is_died_at(at) => {
                    format!("to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                _ => format!("left({name}::text, {TEXT_READ})"),
            }
        });
        let texts: Vec<String> = texts.collect();
        let body = &self.layout.columns[self.layout.body];
        let name = quoted(&body.name, Dialect::Postgres);
        let body = if body.kind == "bytea" { name } else { format!("convert_to({name}::text, 'UTF8')") };
        let (id, key) = self.id();
        format!(
            "SELECT {}, substring({body} FROM 1 FOR {BODY_READ}), coalesce(octet_length({body}) > {BODY_READ}, false) \
             FROM {} WHERE {} ORDER BY {id} LIMIT {limit}",
            texts.join(", "),
            self.form.table.quoted(Dialect::Postgres),
            if self.last.is_some() { format!("{id} > {key}") } else { format!("{id} IS NOT NULL") },
        )
    }

    fn letter(&self, row: &PgRow) -> Result<Letter, sqlx::Error> {
        let columns = self.layout.columns.len();
        let texts = (0..columns).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
        let body: Option<Vec<u8>> = row.try_get(columns)?;
        Ok(self.layout.letter(&self.form, texts, body.unwrap_or_default(), row.try_get(columns + 1)?))
    }

    /// The statement that inserts, and whether it does so once.
    fn insert(&self, to: &Table, target: &[Column], plan: &[(usize, Value)]) -> (String, bool) {
        let mut columns = Vec::new();
        let mut values = Vec::new();
        let mut is_once = false;
        for (number, (at, value)) in plan.iter().enumerate() {
            let (column, number) = (&target[*at], number + 1);
            columns.push(quoted(&column.name, Dialect::Postgres));
            values.push(match value {
                Value::Bytes(_) if column.kind == "bytea" => format!("${number}"),
                Value::Bytes(_) => format!("convert_from(${number}, 'UTF8')::{}", column.kind),
                Value::Text(_) => format!("${number}::text::{}", column.kind),
            });
            is_once |= column.name == IDEMPOTENCY_KEY && column.is_unique;
        }
        let once = if is_once { format!(" ON CONFLICT (\"{IDEMPOTENCY_KEY}\") DO NOTHING") } else { String::new() };
        let (columns, values) = (columns.join(", "), values.join(", "));
        (format!("INSERT INTO {} ({columns}) VALUES ({values}){once}", to.quoted(Dialect::Postgres)), is_once)
    }
}

#[async_trait]
impl Reading for Queue {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let mut line = self.lines.take().await?;
        let peer = &self.lines.peer;
        begin(peer, &mut line, Access::Read).await?;
        let select = self.select(limit.min(MAX_PAGE));
        let mut query = sqlx::query(AssertSqlSafe(select));
        if let Some(last) = &self.last {
            query = query.bind(last);
        }
        let rows = peer.within("its dead letters", query.fetch_all(&mut *line)).await?;
        end(peer, &mut line, "ROLLBACK").await?;
        let letters: Result<Vec<Letter>, sqlx::Error> = rows.iter().map(|row| self.letter(row)).collect();
        let letters = letters.map_err(|error| peer.reason("its dead letters", error))?;
        line.give_back();
        self.last = letters.last().map(|letter| letter.id.clone()).or(self.last.take());
        Ok(letters)
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let to = self.form.to.as_ref().filter(|to| to.to_string() == outgoing.to).ok_or_else(|| {
            let (table, to) = (&self.form.table, &outgoing.to);
            Error::NotAsked(format!(
                "{to} is not where letters of {table} go\nhint: {table}(to=TABLE) in `dead_letters`"
            ))
        })?;
        let mut line = self.lines.take().await?;
        let peer = &self.lines.peer;
        begin(peer, &mut line, Access::Write).await?;
        let target = columns(peer, &mut line, to).await?;
        let plan = self.layout.plan(&target, outgoing).map_err(|why| Error::NotAsked(format!("{to}: {why}")))?;
        let (insert, is_once) = self.insert(to, &target, &plan);
        let mut query = sqlx::query(AssertSqlSafe(insert));
        for (_, value) in plan {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        let what = "the insertion of a letter";
        let done = match tokio::time::timeout(peer.limit, query.execute(&mut *line)).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(refusal(peer.reason(what, error))),
            Err(_) => return Err(Error::TimedOut { what, limit: peer.limit }),
        };
        end(peer, &mut line, "COMMIT").await?;
        line.give_back();
        Ok(match (is_once, done.rows_affected()) {
            (true, 0) => Sent::Already,
            (true, _) => Sent::Once,
            (false, _) => Sent::AtLeastOnce,
        })
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        let mut line = self.lines.take().await?;
        let peer = &self.lines.peer;
        begin(peer, &mut line, Access::Write).await?;
        let ((column, key), table) = (self.id(), self.form.table.quoted(Dialect::Postgres));
        let delete = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE {column} = {key}"))).bind(id);
        // One that is gone already is gone: a removal that is said again after a crash.
        peer.within("the removal of a letter", delete.execute(&mut *line)).await?;
        end(peer, &mut line, "COMMIT").await?;
        line.give_back();
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
