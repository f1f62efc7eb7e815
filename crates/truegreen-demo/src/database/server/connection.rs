//! One connection of either client, with the few things that the demo asks of both.

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection as _};
use truegreen_connect::{Address, Kind};

use crate::database::Named;

/// What a `?` of a statement stands for.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

pub(super) enum Connection {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgConnection),
    #[cfg(feature = "mysql")]
    Mysql(sqlx::MySqlConnection),
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Text(text) => query.bind(text.to_owned()),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }};
}

impl Connection {
    /// Within the schema or database `home`; within none of ours where that is empty.
    pub(super) async fn open(address: &Address, home: &str) -> Result<Connection, sqlx::Error> {
        let url = address.secret_url().as_str();
        match address.kind() {
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                let mut options = url.parse::<sqlx::postgres::PgConnectOptions>()?.application_name("truegreen-demo");
                if !home.is_empty() {
                    options = options.options([("search_path", home)]);
                }
                sqlx::PgConnection::connect_with(&options).await.map(Connection::Postgres)
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                let mut options = url.parse::<sqlx::mysql::MySqlConnectOptions>()?;
                if !home.is_empty() {
                    options = options.database(home);
                }
                sqlx::MySqlConnection::connect_with(&options).await.map(Connection::Mysql)
            }
            _ => Err(sqlx::Error::Configuration(format!("no client for {address} is built in").into())),
        }
    }

    pub(super) fn named(&self, home: &str, version: &str) -> Named {
        match self {
            #[cfg(feature = "postgres")]
            Connection::Postgres(_) => Named { system: "postgresql", namespace: home.into() },
            #[cfg(feature = "mysql")]
            Connection::Mysql(_) => {
                let is_maria = version.to_ascii_lowercase().contains("mariadb");
                Named { system: if is_maria { "mariadb" } else { "mysql" }, namespace: home.into() }
            }
        }
    }

    pub(super) async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        match self {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let query = bound!(sqlx::query::<sqlx::Postgres>(AssertSqlSafe(numbered(sql))), values);
                query.execute(connection).await.map(|done| done.rows_affected())
            }
            #[cfg(feature = "mysql")]
            Connection::Mysql(connection) => {
                let query = bound!(sqlx::query::<sqlx::MySql>(AssertSqlSafe(sql.to_owned())), values);
                query.execute(connection).await.map(|done| done.rows_affected())
            }
        }
    }

    pub(super) async fn numbers(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Option<(i64, i64)>, sqlx::Error> {
        match self {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                bound!(sqlx::query_as::<sqlx::Postgres, _>(AssertSqlSafe(numbered(sql))), values)
                    .fetch_optional(connection)
                    .await
            }
            #[cfg(feature = "mysql")]
            Connection::Mysql(connection) => {
                bound!(sqlx::query_as::<sqlx::MySql, _>(AssertSqlSafe(sql.to_owned())), values)
                    .fetch_optional(connection)
                    .await
            }
        }
    }

    pub(super) async fn text(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Option<String>, sqlx::Error> {
        match self {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                bound!(sqlx::query_scalar::<sqlx::Postgres, _>(AssertSqlSafe(numbered(sql))), values)
                    .fetch_optional(connection)
                    .await
            }
            #[cfg(feature = "mysql")]
            Connection::Mysql(connection) => {
                bound!(sqlx::query_scalar::<sqlx::MySql, _>(AssertSqlSafe(sql.to_owned())), values)
                    .fetch_optional(connection)
                    .await
            }
        }
    }

    /// Statements that cannot be prepared, such as those of transactions.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => statement.execute(connection).await.map(drop),
            #[cfg(feature = "mysql")]
            Connection::Mysql(connection) => statement.execute(connection).await.map(drop),
        }
    }
}

/// The code that each system's own documentation lists: SQLSTATE, or MySQL's number.
pub(super) fn code(error: &dyn DatabaseError) -> Option<String> {
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return Some(error.number().to_string());
    }
    error.code().map(Into::into)
}

/// PostgreSQL numbers its parameters.
#[cfg(feature = "postgres")]
fn numbered(sql: &str) -> String {
    let mut pieces = sql.split('?');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (index, piece) in pieces.enumerate() {
        text.push_str(&format!("${}{piece}", index + 1));
    }
    text
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    #[test]
    fn parameters_are_numbered() {
        assert_eq!(super::numbered("UPDATE a SET b = ? WHERE c = ?"), "UPDATE a SET b = $1 WHERE c = $2");
    }
}
