//! A question for an effect: whether it can be asked at all, seen before any server does.

use super::pieces::{Dialect, Piece, Pieces};

/// Bytes of a question.
const MAX_QUESTION_BYTES: usize = 8 << 10;

/// A question that can be asked, cut at its parameter. Comments are left out of it: hints in them could lift the time limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    parts: Vec<String>,
}

impl Question {
    /// Reads one: a single SELECT, or WITH, with the key as its one parameter.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub(crate) fn read(text: &str, dialect: Dialect) -> Result<Question, String> {
        let parts = parts(&lawful(text, dialect)?, dialect)?;
        let hint = match dialect {
            Dialect::Postgres => "hint: the key is `$1`: SELECT status FROM orders WHERE id = $1",
            Dialect::Mysql => "hint: the key is `?`, once: SELECT status FROM orders WHERE id = ?",
        };
        match parts.len() - 1 {
            0 => Err(format!("it has no parameter\n{hint}")),
            1 => Ok(Question { parts }),
            _ if dialect == Dialect::Postgres => Ok(Question { parts }),
            more => Err(format!("it has {more} parameters\n{hint}")),
        }
    }

    /// Reads one that lists keys, as it is asked: the same without any parameter.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub(crate) fn listing(text: &str, dialect: Dialect) -> Result<String, String> {
        let pieces = lawful(text, dialect)?;
        if pieces.iter().any(|piece| matches!(piece, Piece::Parameter(_))) {
            let hint = "hint: keys are listed by a SELECT without one; its first column is the key";
            return Err(format!("it has a parameter\n{hint}"));
        }
        Ok(parts(&pieces, dialect)?.concat())
    }

    /// Its text, with this in the place of the parameter.
    pub(crate) fn with(&self, parameter: &str) -> String {
        self.parts.join(parameter)
    }
}

/// The pieces of one SELECT that does no harm that can be seen.
fn lawful(text: &str, dialect: Dialect) -> Result<Vec<Piece<'_>>, String> {
    if text.len() > MAX_QUESTION_BYTES {
        return Err(format!("it is longer than {MAX_QUESTION_BYTES} bytes\nhint: make a view of it"));
    }
    let mut pieces = Vec::new();
    for piece in Pieces::of(text, dialect) {
        let piece = piece.map_err(|fault| format!("{fault}\nhint: write it plainly"))?;
        if piece != Piece::Gap || !matches!(pieces.last(), None | Some(Piece::Gap)) {
            pieces.push(piece);
        }
    }
    while matches!(pieces.last(), Some(Piece::Gap | Piece::Sign(';'))) {
        pieces.pop();
    }
    match pieces.first() {
        Some(Piece::Word(word)) if is(word, "SELECT") || is(word, "WITH") => {}
        None => return Err("there is no question".to_owned()),
        Some(_) => return Err("it does not start with SELECT or WITH\nhint: ask, and change nothing".to_owned()),
    }
    if pieces.contains(&Piece::Sign(';')) {
        return Err("it is more than one statement\nhint: one SELECT without `;`".to_owned());
    }
    balanced(&pieces)?;
    harmless(&pieces)?;
    Ok(pieces)
}

fn is(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

/// It stands in parentheses when it is asked, and must not leave them.
fn balanced(pieces: &[Piece<'_>]) -> Result<(), String> {
    let mut depth = 0;
    for piece in pieces {
        match piece {
            Piece::Sign('(') => depth += 1,
            Piece::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            break;
        }
    }
    if depth == 0 { Ok(()) } else { Err("its parentheses do not match".to_owned()) }
}

/// The server refuses writes by itself, and ends what takes too long. What it would let pass is refused here, and what can be
/// seen at once is told at once.
fn harmless(pieces: &[Piece<'_>]) -> Result<(), String> {
    let solid: Vec<&Piece<'_>> = pieces.iter().filter(|piece| **piece != Piece::Gap).collect();
    for (at, piece) in solid.iter().enumerate() {
        let next = solid.get(at + 1);
        let (Piece::Word(name) | Piece::Name(name)) = piece else { continue };
        if next == Some(&&Piece::Sign('(')) {
            let name = name.to_ascii_lowercase();
            if let Some((_, why)) = HARMFUL.iter().find(|(prefix, _)| name.starts_with(prefix)) {
                return Err(format!("{name}() {why}\nhint: ask for rows only"));
            }
        }
        let Piece::Word(word) = piece else { continue };
        let follows = |words: &[&str]| matches!(next, Some(Piece::Word(next)) if words.iter().any(|w| is(next, w)));
        if is(word, "INTO") {
            return Err("INTO writes its answer somewhere\nhint: ask for rows only".to_owned());
        }
        let shares = matches!(solid.get(at + 2), Some(Piece::Word(mode)) if is(mode, "SHARE"));
        let locks = is(word, "LOCK") && follows(&["IN"]) && shares;
        if locks || is(word, "FOR") && follows(&["UPDATE", "SHARE", "NO", "KEY"]) {
            return Err("it locks the rows that it reads\nhint: leave FOR UPDATE and its like out".to_owned());
        }
    }
    Ok(())
}

/// Functions by how their names begin, and what they do.
const HARMFUL: &[(&str, &str)] = &[
    ("pg_sleep", "sleeps"),
    ("sleep", "sleeps"),
    ("benchmark", "only takes time"),
    ("pg_advisory", "takes locks"),
    ("pg_try_advisory", "takes locks"),
    ("get_lock", "takes locks"),
    ("pg_", "looks into the server, or changes it"),
    ("set_config", "changes settings"),
    ("setval", "writes"),
    ("nextval", "writes"),
    ("dblink", "asks another server"),
    ("lo_", "reads or writes files"),
    ("load_file", "reads files"),
    ("query_to_xml", "asks in a string what cannot be seen here"),
];

fn parts(pieces: &[Piece<'_>], dialect: Dialect) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    for piece in pieces {
        let mut add = |text: &str| {
            if let Some(part) = parts.last_mut() {
                part.push_str(text);
            }
        };
        match piece {
            Piece::Word(text) | Piece::Text(text) | Piece::Number(text) => add(text),
            Piece::Name(name) if dialect == Dialect::Postgres => add(&format!("\"{name}\"")),
            Piece::Name(name) => add(&format!("`{name}`")),
            Piece::Sign(sign) => add(sign.encode_utf8(&mut [0; 4])),
            Piece::Gap => add(" "),
            Piece::Parameter("$1" | "?") => parts.push(String::new()),
            Piece::Parameter(other) => {
                return Err(format!("it has the parameter `{other}`\nhint: the key is `$1`, and all there is"));
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_is_cut_at_its_parameter() {
        let read = |text| Question::read(text, Dialect::Postgres).map(|question| question.with("KEY"));
        assert_eq!(read("select a from t where k=$1;\n").unwrap(), "select a from t where k=KEY");
        assert_eq!(
            read(
                "WITH x AS (SELECT 1) /*+ hint */ SELECT \"a\"\"b\", '$1;', x ? 'y' FROM x -- ;\nWHERE k = $1 OR $1 = j"
            )
            .unwrap(),
            "WITH x AS (SELECT 1) SELECT \"a\"\"b\", '$1;', x ? 'y' FROM x WHERE k = KEY OR KEY = j"
        );
        let text = "SELECT `a b` FROM t WHERE k = ? AND lock IN (1)";
        assert_eq!(Question::read(text, Dialect::Mysql).unwrap().with("?"), text);
    }

    #[test]
    fn keys_are_listed_without_a_parameter_and_without_harm() {
        let list = |text| Question::listing(text, Dialect::Postgres);
        let text = "SELECT id FROM products -- few\n ORDER BY random() LIMIT 50;";
        assert_eq!(list(text).unwrap(), "SELECT id FROM products ORDER BY random() LIMIT 50");
        for (text, part) in [
            ("SELECT id FROM products WHERE id > $1", "it has a parameter"),
            ("DELETE FROM products RETURNING id", "does not start with SELECT"),
            ("SELECT pg_sleep(60)", "sleeps"),
            ("SELECT id FROM products; SELECT 1", "more than one statement"),
        ] {
            assert!(list(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        for (text, part) in [
            ("", "no question"),
            ("DELETE FROM t WHERE k = $1", "does not start with SELECT"),
            ("COPY t TO '/tmp/x'", "does not start with SELECT"),
            ("SELECT 1; DROP TABLE t; --$1", "more than one statement"),
            ("SELECT a FROM t", "no parameter"),
            ("SELECT a FROM t WHERE k = $1 AND l = $2", "the parameter `$2`"),
            ("SELECT * INTO u FROM t WHERE k = $1", "INTO writes"),
            ("SELECT a FROM t WHERE k = $1 FOR NO KEY UPDATE", "locks the rows"),
            ("SELECT pg_sleep(10), $1", "pg_sleep() sleeps"),
            ("SELECT pg_catalog.\"pg_sleep\" (10), $1", "pg_sleep() sleeps"),
            ("SELECT pg_advisory_lock(1), $1", "takes locks"),
            ("SELECT 1) AS q, (SELECT $1", "parentheses"),
            ("SELECT 'a, $1", "never closed"),
        ] {
            let error = Question::read(text, Dialect::Postgres).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        for (text, part) in [
            ("SELECT a FROM t WHERE k = ? OR j = ?", "2 parameters"),
            ("SELECT a FROM t WHERE k = ? /*! INTO OUTFILE '/tmp/x' */", "comment that runs"),
            ("SELECT a FROM t WHERE k = ? LOCK IN SHARE MODE", "locks the rows"),
            ("SELECT SLEEP(10), ?", "sleeps"),
        ] {
            let error = Question::read(text, Dialect::Mysql).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
