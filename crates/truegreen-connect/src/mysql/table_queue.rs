//! Tables as queues of dead letters.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row};
use truegreen_model::letter::Letter;

use super::{Access, Mysql, begin, end, limit, literal, number, text};
use crate::Error;
use crate::dead_letters::{DeadLetters, Outgoing, Place, Reading, Sent};
use crate::sql::lines::{Line, Lines};
use crate::sql::name::{Table, quoted};
use crate::sql::peer::{Peer, refusal};
use crate::sql::pieces::Dialect;
use crate::sql::table_queue::{
    BODY_READ, Column, Form, IDEMPOTENCY_KEY, Layout, MAX_COLUMNS, MAX_COUNTED, MAX_PAGE, MAX_PLACES, Role, TEXT_READ,
    Value,
};

/// Two rows alike where one must be unique.
const DUPLICATE: &str = "23000";

#[async_trait]
impl DeadLetters for Mysql {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let mut line = self.line(Access::Read).await?;
        let mut places = Vec::new();
        for form in self.forms(&mut line).await? {
            places.push(place(&self.lines.peer, &mut line, &form).await?);
        }
        end(&self.lines.peer, &mut line, "ROLLBACK").await?;
        line.give_back();
        Ok(places)
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let peer = &self.lines.peer;
        let mut line = self.line(Access::Read).await?;
        let form = self.forms(&mut line).await?.into_iter().find(|form| form.table.to_string() == place);
        let form = form.ok_or_else(|| {
            Error::NotAsked(format!("{place} is not known as a place of dead letters\nhint: name it in `dead_letters`"))
        })?;
        let columns = columns(peer, &mut line, &form.table).await?;
        let layout = form.layout(columns).map_err(Error::NotAsked)?;
        end(peer, &mut line, "ROLLBACK").await?;
        line.give_back();
        Ok(Box::new(Queue { lines: Arc::clone(&self.lines), form, layout, last: None }))
    }
}

async fn line(lines: &Lines<MySqlConnection>, access: Access) -> Result<Line<'_, MySqlConnection>, Error> {
    let mut line = lines.take().await?;
    limit(&lines.peer, &mut line).await?;
    begin(&lines.peer, &mut line, access).await?;
    Ok(line)
}

impl Mysql {
    async fn line(&self, access: Access) -> Result<Line<'_, MySqlConnection>, Error> {
        line(&self.lines, access).await
    }

    /// The tables that are configured, else those that are called like one.
    async fn forms(&self, connection: &mut MySqlConnection) -> Result<Vec<Form>, Error> {
        if !self.queues.is_empty() {
            return Ok(self.queues.iter().take(MAX_PLACES).cloned().collect());
        }
        let named = sqlx::raw_sql(AssertSqlSafe(format!(
            "SELECT IF(TABLE_SCHEMA <=> DATABASE(), TABLE_NAME, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)) \
             FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
             AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') \
             AND TABLE_NAME REGEXP '(^failed_jobs$|dead_?letter|(^|_)dlq$)' ORDER BY 1 LIMIT {MAX_PLACES}"
        )));
        let rows = self.lines.peer.within("which tables there are", named.fetch_all(connection)).await?;
        Ok(rows.iter().filter_map(|row| Form::read(&text(row, 0)?).ok()).collect())
    }
}

async fn place(peer: &Peer, connection: &mut MySqlConnection, form: &Form) -> Result<Place, Error> {
    let mut place = Place { name: form.table.to_string(), ..Place::default() };
    if let Err(warning) = form.layout(columns(peer, connection, &form.table).await?) {
        place.warning = warning;
        return Ok(place);
    }
    let table = form.table.quoted(Dialect::Mysql);
    let count = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT {}) AS a", MAX_COUNTED + 1);
    let count = sqlx::raw_sql(AssertSqlSafe(count)).fetch_one(&mut *connection);
    match peer.within("how many letters there are", count).await {
        Ok(row) => {
            let count = text(&row, 0).and_then(|count| count.parse::<i64>().ok());
            place.letters = count.filter(|count| *count <= MAX_COUNTED).and_then(|count| u64::try_from(count).ok());
        }
        // Neither is a reason not to tell of the other places.
        Err(Error::TimedOut { .. } | Error::Denied(_)) => {}
        Err(error) => return Err(error),
    }
    place.warning = warning(peer, connection, form).await?;
    Ok(place)
}

/// What to know before sending back.
async fn warning(peer: &Peer, connection: &mut MySqlConnection, form: &Form) -> Result<String, Error> {
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
async fn columns(peer: &Peer, connection: &mut MySqlConnection, table: &Table) -> Result<Vec<Column>, Error> {
    let schema = table.schema.as_ref().map_or("DATABASE()".to_owned(), |schema| literal(schema));
    let name = literal(&table.name);
    let columns = sqlx::raw_sql(AssertSqlSafe(format!(
        "SELECT c.COLUMN_NAME, c.COLUMN_TYPE, REPLACE(c.EXTRA, 'DEFAULT_GENERATED', '') LIKE '%GENERATED%', \
         c.COLUMN_NAME IN (SELECT MAX(s.COLUMN_NAME) FROM information_schema.STATISTICS s \
         WHERE s.TABLE_SCHEMA = {schema} AND s.TABLE_NAME = {name} GROUP BY s.INDEX_NAME \
         HAVING COUNT(*) = 1 AND MAX(s.NON_UNIQUE) = 0 AND MAX(s.SUB_PART) IS NULL) \
         FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = {schema} AND c.TABLE_NAME = {name} \
         ORDER BY c.ORDINAL_POSITION LIMIT {MAX_COLUMNS}"
    )));
    let rows = peer.within("the columns of a table", columns.fetch_all(connection)).await?;
    let is = |row: &MySqlRow, at| number(row, at).is_some_and(|flag| flag != 0.0);
    let column = |row: &MySqlRow| Column {
        name: text(row, 0).unwrap_or_default(),
        kind: text(row, 1).unwrap_or_default().to_ascii_lowercase(),
        is_computed: is(row, 2),
        is_unique: is(row, 3),
    };
    Ok(rows.iter().map(column).collect())
}

fn is_binary(kind: &str) -> bool {
    ["blob", "binary", "bit("].iter().any(|word| kind.contains(word))
}

/// A table under inspection.
struct Queue {
    lines: Arc<Lines<MySqlConnection>>,
    form: Form,
    layout: Layout,
    /// The id up to which it was read.
    last: Option<String>,
}

impl Queue {
    /// The id's column, and its parameter turned into the column's kind, so that its index is used.
    fn id(&self) -> (String, &'static str) {
        let id = &self.layout.columns[self.layout.id];
        let kind = id.kind.as_str();
        let parameter = match kind {
            _ if is_binary(kind) => "UNHEX(?)",
            _ if kind.contains("int") && kind.contains("unsigned") => "CAST(? AS UNSIGNED)",
            _ if kind.contains("int") => "CAST(? AS SIGNED)",
            _ => "?",
        };
        (quoted(&id.name, Dialect::Mysql), parameter)
    }

    /// The texts of all columns, in their order, then the body and whether it is longer.
    fn select(&self, limit: usize) -> String {
        let is_died_at = |at| self.layout.column(Role::At) == Some(at);
        let texts = self.layout.columns.iter().enumerate().map(|(at, column)| {
            let name = quoted(&column.name, Dialect::Mysql);
            let is_time = column.kind.starts_with("datetime") || column.kind.starts_with("timestamp");
            match column.kind.as_str() {
                _ if at == self.layout.body => "NULL".to_owned(),
                _ if is_died_at(at) && is_time => format!("DATE_FORMAT({name}, '%Y-%m-%dT%H:%i:%s.%fZ')"),
                kind if is_binary(kind) => format!("LEFT(HEX({name}), {TEXT_READ})"),
                _ => format!("LEFT(CAST({name} AS CHAR), {TEXT_READ})"),
            }
        });
        let texts: Vec<String> = texts.collect();
        let body = &self.layout.columns[self.layout.body];
        let name = quoted(&body.name, Dialect::Mysql);
        let body = if is_binary(&body.kind) { name } else { format!("CAST(CAST({name} AS CHAR) AS BINARY)") };
        let (id, parameter) = self.id();
        format!(
            "SELECT {}, SUBSTRING({body}, 1, {BODY_READ}), COALESCE(OCTET_LENGTH({body}) > {BODY_READ}, 0) \
             FROM {} WHERE {} ORDER BY {id} LIMIT {limit}",
            texts.join(", "),
            self.form.table.quoted(Dialect::Mysql),
            if self.last.is_some() { format!("{id} > {parameter}") } else { format!("{id} IS NOT NULL") },
        )
    }

    fn letter(&self, row: &MySqlRow) -> Result<Letter, sqlx::Error> {
        let columns = self.layout.columns.len();
        let texts = (0..columns).map(|at| text(row, at)).collect();
        let body: Option<Vec<u8>> = row.try_get_unchecked(columns)?;
        let is_cut: i64 = row.try_get_unchecked(columns + 1)?;
        Ok(self.layout.letter(&self.form, texts, body.unwrap_or_default(), is_cut != 0))
    }

    /// The statement that inserts, and what is put into it.
    fn insert(&self, to: &Table, target: &[Column], plan: Vec<(usize, Value)>) -> Result<(String, Vec<Value>), Error> {
        let (mut columns, mut values, mut bound) = (Vec::new(), Vec::new(), Vec::new());
        for (at, value) in plan {
            let column = &target[at];
            columns.push(quoted(&column.name, Dialect::Mysql));
            let (parameter, value) = match value {
                Value::Text(text) if is_binary(&column.kind) => ("UNHEX(?)", Value::Text(text)),
                Value::Bytes(bytes) if !is_binary(&column.kind) => {
                    let text = String::from_utf8(bytes).map_err(|_| {
                        Error::NotAsked(format!("the body is no UTF-8, and {to}.{} holds text", column.name))
                    })?;
                    ("?", Value::Text(text))
                }
                value => ("?", value),
            };
            values.push(parameter);
            bound.push(value);
        }
        let (columns, values) = (columns.join(", "), values.join(", "));
        Ok((format!("INSERT INTO {} ({columns}) VALUES ({values})", to.quoted(Dialect::Mysql)), bound))
    }

    /// Whether what was refused as a duplicate is there by its key, and not by something else that is unique.
    async fn is_there(&self, connection: &mut MySqlConnection, to: &Table, key: &str) -> Result<bool, Error> {
        let table = to.quoted(Dialect::Mysql);
        let count = format!("SELECT COUNT(*) FROM {table} WHERE `{IDEMPOTENCY_KEY}` = ?");
        let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).bind(key).fetch_one(connection);
        Ok(self.lines.peer.within("whether a letter is there", count).await? > 0)
    }
}

#[async_trait]
impl Reading for Queue {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let peer = &self.lines.peer;
        let mut line = line(&self.lines, Access::Read).await?;
        let mut query = sqlx::query(AssertSqlSafe(self.select(limit.min(MAX_PAGE))));
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
        let peer = &self.lines.peer;
        let mut line = line(&self.lines, Access::Write).await?;
        let target = columns(peer, &mut line, to).await?;
        let plan = self.layout.plan(&target, outgoing).map_err(|why| Error::NotAsked(format!("{to}: {why}")))?;
        let is_once = target.iter().any(|column| column.name == IDEMPOTENCY_KEY && column.is_unique);
        let (insert, values) = self.insert(to, &target, plan)?;
        let mut query = sqlx::query(AssertSqlSafe(insert));
        for value in values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        // INSERT IGNORE would also pass over what could not be put there at all.
        let inserted = tokio::time::timeout(peer.limit, query.execute(&mut *line)).await;
        let sent = match inserted {
            Ok(Ok(_)) if is_once => Sent::Once,
            Ok(Ok(_)) => Sent::AtLeastOnce,
            Ok(Err(sqlx::Error::Database(error))) if is_once && error.code().as_deref() == Some(DUPLICATE) => {
                if !self.is_there(&mut line, to, &outgoing.idempotency_key).await? {
                    return Err(refusal(peer.reason("the insertion of a letter", sqlx::Error::Database(error))));
                }
                Sent::Already
            }
            Ok(Err(error)) => return Err(refusal(peer.reason("the insertion of a letter", error))),
            Err(_) => return Err(Error::TimedOut { what: "the insertion of a letter", limit: peer.limit }),
        };
        end(peer, &mut line, "COMMIT").await?;
        line.give_back();
        Ok(sent)
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        let peer = &self.lines.peer;
        let mut line = line(&self.lines, Access::Write).await?;
        let ((column, parameter), table) = (self.id(), self.form.table.quoted(Dialect::Mysql));
        let delete = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE {column} = {parameter}"))).bind(id);
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
