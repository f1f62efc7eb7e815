//! A statement cut into words, literals and signs: enough to see what it asks, and to show one without its data.

/// Whose SQL it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Postgres,
    Mysql,
}

/// A part of a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A quoted name, without its quotes.
    Name(&'a str),
    /// A string, with its quotes.
    Text(&'a str),
    Number(&'a str),
    /// `$1` or `?`.
    Parameter(&'a str),
    Sign(char),
    /// White space, or a comment.
    Gap,
}

/// What could not be cut further: something that is opened and never closed, or that runs though it looks like a comment.
pub(crate) type Fault = &'static str;

/// Cuts a statement.
pub(crate) struct Pieces<'a> {
    rest: &'a str,
    dialect: Dialect,
}

impl<'a> Pieces<'a> {
    pub(crate) fn of(statement: &'a str, dialect: Dialect) -> Pieces<'a> {
        Pieces { rest: statement, dialect }
    }

    fn cut(&mut self, length: usize) -> &'a str {
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        piece
    }

    /// Up to and with this mark, which is looked for from `from` on.
    fn cut_past(&mut self, from: usize, mark: &str, fault: Fault) -> Result<&'a str, Fault> {
        match self.rest[from..].find(mark) {
            Some(at) => Ok(self.cut(from + at + mark.len())),
            None => Err(fault),
        }
    }

    fn comment(&mut self) -> Result<Piece<'a>, Fault> {
        if self.dialect == Dialect::Mysql {
            if self.rest.starts_with("/*!") || self.rest.starts_with("/*M!") {
                return Err("a comment that runs (`/*!`) hides what is asked");
            }
            return self.cut_past(2, "*/", "a comment is never closed").map(|_| Piece::Gap);
        }
        let (mut depth, mut at) = (1, 2);
        while depth > 0 {
            let Some(next) = self.rest[at..].find(['/', '*']) else { return Err("a comment is never closed") };
            at += next;
            let (step, change) = match &self.rest.as_bytes()[at..] {
                [b'/', b'*', ..] => (2, 1),
                [b'*', b'/', ..] => (2, -1),
                _ => (1, 0),
            };
            (at, depth) = (at + step, depth + change);
        }
        self.cut(at);
        Ok(Piece::Gap)
    }

    /// Something between quotes, of which a doubled one is part.
    fn quoted(&mut self, from: usize, quote: char, escapes: bool) -> Result<&'a str, Fault> {
        let mut chars = self.rest[from..].char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if escapes && c == '\\' {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(self.cut(from + at + c.len_utf8()));
            }
        }
        Err("a quote is never closed")
    }

    fn dollar(&mut self) -> Result<Piece<'a>, Fault> {
        let digits = self.rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            return Ok(Piece::Parameter(self.cut(1 + digits)));
        }
        let tag = self.rest[1..].find(|c: char| !is_word(c)).unwrap_or(self.rest.len() - 1);
        if self.rest[1 + tag..].starts_with('$') {
            let mark = &self.rest[..tag + 2];
            return self.cut_past(mark.len(), mark, "a dollar quote is never closed").map(Piece::Text);
        }
        self.cut(1);
        Ok(Piece::Sign('$'))
    }

    fn next_piece(&mut self, first: char) -> Result<Piece<'a>, Fault> {
        let is_mysql = self.dialect == Dialect::Mysql;
        let second = self.rest[first.len_utf8()..].chars().next();
        match first {
            c if c.is_whitespace() => {
                self.cut(self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len()));
                Ok(Piece::Gap)
            }
            '-' if self.rest.starts_with("--") && (!is_mysql || starts_gap(&self.rest[2..])) => Ok(self.line()),
            '#' if is_mysql => Ok(self.line()),
            '/' if second == Some('*') => self.comment(),
            '\'' => self.quoted(0, '\'', is_mysql).map(Piece::Text),
            '"' if is_mysql => self.quoted(0, '"', true).map(Piece::Text),
            '"' => self.quoted(0, '"', false).map(|name| Piece::Name(&name[1..name.len() - 1])),
            '`' if is_mysql => self.quoted(0, '`', false).map(|name| Piece::Name(&name[1..name.len() - 1])),
            '$' if !is_mysql => self.dollar(),
            '?' if is_mysql => Ok(Piece::Parameter(self.cut(1))),
            'e' | 'E' if second == Some('\'') && !is_mysql => self.quoted(1, '\'', true).map(Piece::Text),
            c if c.is_ascii_digit() => {
                let end = self.rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(self.rest.len());
                Ok(Piece::Number(self.cut(end)))
            }
            c if is_word(c) => {
                let end = self.rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(self.rest.len());
                Ok(Piece::Word(self.cut(end)))
            }
            c => {
                self.cut(c.len_utf8());
                Ok(Piece::Sign(c))
            }
        }
    }

    fn line(&mut self) -> Piece<'a> {
        self.cut(self.rest.find('\n').unwrap_or(self.rest.len()));
        Piece::Gap
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.rest.chars().next()?;
        let piece = self.next_piece(first);
        if piece.is_err() {
            self.rest = "";
        }
        Some(piece)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn starts_gap(rest: &str) -> bool {
    rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control())
}

/// The first `length` characters of a statement with each literal as `?`: what is done, and none of the data.
pub(crate) fn shape(statement: &str, dialect: Dialect, length: usize) -> String {
    let mut shape = String::new();
    for piece in Pieces::of(statement, dialect) {
        match piece {
            Ok(Piece::Word(word)) => shape.push_str(word),
            Ok(Piece::Name(name)) => shape.push_str(name),
            Ok(Piece::Text(_) | Piece::Number(_) | Piece::Parameter(_)) => shape.push('?'),
            Ok(Piece::Sign(sign)) => shape.push(sign),
            Ok(Piece::Gap) if shape.is_empty() || shape.ends_with(' ') => {}
            Ok(Piece::Gap) => shape.push(' '),
            // Cut off by the server, perhaps in the middle of a literal.
            Err(_) => break,
        }
        if shape.chars().count() >= length {
            break;
        }
    }
    shape.chars().take(length).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_without_its_data() {
        let update = "UPDATE users  SET mail='a@b''c', pin = 1234 /* for Ann */ WHERE id=$1 -- Ann\n AND n = E'\\'x'";
        assert_eq!(shape(update, Dialect::Postgres, 80), "UPDATE users SET mail=?, pin = ? WHERE id=? AND n = ?");
        assert_eq!(shape("SELECT $body$Ann's$body$, \"a b\"", Dialect::Postgres, 80), "SELECT ?, a b");
        let mysql = "SELECT \"Ann\", `a b`, 'it\\'s' # Ann\nFROM t--1";
        assert_eq!(shape(mysql, Dialect::Mysql, 80), "SELECT ?, a b, ? FROM t--?");
        assert_eq!(shape("SELECT 'cut off in the mid", Dialect::Postgres, 80), "SELECT");
        assert_eq!(shape("SELECT a FROM b", Dialect::Postgres, 8), "SELECT a");
        assert_eq!(shape("SELECT ä/* /* x */ Ann */+1", Dialect::Postgres, 80), "SELECT ä +?");
    }

    #[test]
    fn whatever_is_cut_ends() {
        for text in ["$", "$$", "$a$", "'", "\"", "/*", "/*/", "--", "E'\\", "`", "é'é", "$é$x$é$", "1.é", "/**"] {
            for dialect in [Dialect::Postgres, Dialect::Mysql] {
                assert!(Pieces::of(text, dialect).count() <= text.chars().count(), "{text}");
            }
        }
    }
}
