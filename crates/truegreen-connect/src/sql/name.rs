//! Names of tables and columns as somebody wrote them into a configuration.

use super::pieces::Dialect;

/// Characters of a name: what MySQL allows, and one more than PostgreSQL does.
const MAX_NAME: usize = 64;

/// A name that can only be one, whatever it is put into.
///
/// # Errors
/// Why it is none.
pub(crate) fn checked(name: &str) -> Result<&str, String> {
    let is_fine = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '$';
    if name.is_empty() || name.chars().count() > MAX_NAME || !name.chars().all(is_fine) {
        let shown: String = name.chars().take(MAX_NAME).collect();
        return Err(format!("`{shown}` is not the name of a table or column\nhint: letters, digits, `_`, `-` and `$`"));
    }
    Ok(name)
}

/// In the quotes of names.
pub(crate) fn quoted(name: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        Dialect::Mysql => format!("`{}`", name.replace('`', "``")),
    }
}

/// A table, with or without its schema (for MySQL, its database).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl Table {
    /// Reads `table` or `schema.table`, as they are stored: case counts.
    ///
    /// # Errors
    /// Why it is neither.
    pub(crate) fn read(text: &str) -> Result<Table, String> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(checked(schema)?.to_owned()), name),
            None => (None, text),
        };
        Ok(Table { schema, name: checked(name)?.to_owned() })
    }

    /// For a statement.
    pub(crate) fn quoted(&self, dialect: Dialect) -> String {
        let name = quoted(&self.name, dialect);
        self.schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{}.{name}", quoted(schema, dialect)))
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_names() {
        let table = Table::read("shop.failed-jobs").unwrap();
        assert_eq!(table.quoted(Dialect::Postgres), "\"shop\".\"failed-jobs\"");
        assert_eq!(Table::read("jobs").unwrap().quoted(Dialect::Mysql), "`jobs`");
        for text in ["", "a b", "a;b", "a\"b", "a.b.c", "a.", "jobs; DROP TABLE x", &"x".repeat(65)] {
            assert!(Table::read(text).is_err(), "{text}");
        }
    }
}
