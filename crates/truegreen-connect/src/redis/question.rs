//! A question: one command that reads, whose answer is short by what it asks for.

use redis::{Cmd, cmd};

use crate::confirm::MAX_ROWS;

/// What the key is put in for.
pub(super) const KEY: &str = "{key}";
/// Fields of a hash that are taken as one row.
pub(super) const MAX_FIELDS: usize = 64;
/// Characters of a question.
const MAX_CHARS: usize = 1000;

/// What an answer looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// One value, or nil.
    Value,
    /// A number that is 0 where nothing is there.
    Count,
    /// -2 where nothing is there.
    Life,
    /// `none` where nothing is there.
    Kind,
    /// A hash: one row with a column a field.
    Hash,
    /// Values of the fields that were asked for by name.
    Fields,
    /// A row a value.
    List,
    /// A row an entry of a stream, with a column a field.
    Entries,
}

/// What is asked first, so that nothing long is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guard {
    /// The answer is short by itself.
    None,
    /// Bytes, by this command on the first arguments, as many as it takes.
    Bytes(&'static str, usize),
    /// Members, by this command on the first argument.
    Members(&'static str, usize),
}

/// A command that may be asked.
#[derive(Debug)]
struct Command {
    name: &'static str,
    /// Arguments behind its name, at least and at most.
    arguments: (usize, usize),
    shape: Shape,
    guard: Guard,
}

const fn command(name: &'static str, arguments: (usize, usize), shape: Shape, guard: Guard) -> Command {
    Command { name, arguments, shape, guard }
}

/// None of them writes, waits, or looks at more than one key.
const COMMANDS: &[Command] = &[
    command("GET", (1, 1), Shape::Value, Guard::Bytes("STRLEN", 1)),
    command("HGET", (2, 2), Shape::Value, Guard::Bytes("HSTRLEN", 2)),
    command("HGETALL", (1, 1), Shape::Hash, Guard::Members("HLEN", MAX_FIELDS)),
    command("HMGET", (2, 1 + MAX_FIELDS), Shape::Fields, Guard::None),
    command("EXISTS", (1, 1), Shape::Count, Guard::None),
    command("TYPE", (1, 1), Shape::Kind, Guard::None),
    command("TTL", (1, 1), Shape::Life, Guard::None),
    command("PTTL", (1, 1), Shape::Life, Guard::None),
    command("STRLEN", (1, 1), Shape::Count, Guard::None),
    command("HLEN", (1, 1), Shape::Count, Guard::None),
    command("HEXISTS", (2, 2), Shape::Count, Guard::None),
    command("LLEN", (1, 1), Shape::Count, Guard::None),
    command("LINDEX", (2, 2), Shape::Value, Guard::None),
    command("LRANGE", (3, 3), Shape::List, Guard::None),
    command("SCARD", (1, 1), Shape::Count, Guard::None),
    command("SISMEMBER", (2, 2), Shape::Count, Guard::None),
    command("SMEMBERS", (1, 1), Shape::List, Guard::Members("SCARD", MAX_ROWS)),
    command("ZCARD", (1, 1), Shape::Count, Guard::None),
    command("ZCOUNT", (3, 3), Shape::Count, Guard::None),
    command("ZSCORE", (2, 2), Shape::Value, Guard::None),
    command("ZRANK", (2, 2), Shape::Value, Guard::None),
    command("ZRANGE", (3, 3), Shape::List, Guard::None),
    command("XLEN", (1, 1), Shape::Count, Guard::None),
    command("XRANGE", (5, 5), Shape::Entries, Guard::None),
    command("XREVRANGE", (5, 5), Shape::Entries, Guard::None),
    command("JSON.GET", (1, 2), Shape::Value, Guard::None),
];

/// A question that may be asked.
#[derive(Debug)]
pub(super) struct Question {
    command: &'static Command,
    arguments: Vec<String>,
}

impl Question {
    /// Reads one; an error says how to mend it.
    pub(super) fn parse(text: &str) -> Result<Question, String> {
        if text.chars().count() > MAX_CHARS {
            return Err(format!("longer than {MAX_CHARS} characters"));
        }
        let mut words = words(text)?.into_iter();
        let name = words.next().unwrap_or_default().to_ascii_uppercase();
        let arguments: Vec<String> = words.collect();
        let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
            let known: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
            let name: String = name.chars().take(40).collect();
            return Err(format!("`{name}` is not asked\nhint: a command that reads one key: {}", known.join(", ")));
        };
        let keys = arguments.iter().map(|argument| argument.matches(KEY).count()).sum::<usize>();
        if keys != 1 {
            return Err(format!("{keys} times {KEY} in it\nhint: exactly once, such as GET stock:{KEY}"));
        }
        let (least, most) = command.arguments;
        if !(least..=most).contains(&arguments.len()) {
            return Err(format!("{name} with {} arguments\nhint: {}", arguments.len(), takes(least, most)));
        }
        let question = Question { command, arguments };
        question.check_window()?;
        Ok(question)
    }

    /// A range says in the question how long its answer can be.
    fn check_window(&self) -> Result<(), String> {
        let name = self.command.name;
        let number = |at: usize| self.arguments[at].parse::<i64>().ok();
        match name {
            "LRANGE" | "ZRANGE" => {
                let rows = MAX_ROWS as i64;
                let short = |first: i64, last: i64| {
                    (first < 0) == (last < 0) && last.checked_sub(first).is_some_and(|more| more < rows)
                };
                match (number(1), number(2)) {
                    (Some(first), Some(last)) if short(first, last) => Ok(()),
                    _ => Err(format!("{name} of more than {MAX_ROWS}\nhint: {name} KEY 0 {}", MAX_ROWS - 1)),
                }
            }
            "XRANGE" | "XREVRANGE" => {
                let is_counted = self.arguments[3].eq_ignore_ascii_case("COUNT");
                match number(4) {
                    Some(count) if is_counted && (1..=MAX_ROWS as i64).contains(&count) => Ok(()),
                    _ => Err(format!("{name} of more than {MAX_ROWS}\nhint: {name} KEY - + COUNT {MAX_ROWS}")),
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.command.shape
    }

    pub(super) fn guard(&self) -> Guard {
        self.command.guard
    }

    /// The names of the fields that are asked for.
    pub(super) fn fields(&self) -> &[String] {
        self.arguments.get(1..).unwrap_or_default()
    }

    /// The pattern of the names that are asked for; none where the key is no part of a name, but a field in one.
    pub(super) fn names(&self) -> Option<&str> {
        self.arguments.first().map(String::as_str).filter(|name| name.contains(KEY))
    }

    /// The command for this key, which is a part of one argument whatever it holds.
    pub(super) fn of(&self, key: &str) -> Cmd {
        self.with(self.command.name, self.arguments.len(), key)
    }

    /// The command that is asked first for this key.
    pub(super) fn guard_of(&self, key: &str) -> Option<Cmd> {
        match self.command.guard {
            Guard::None => None,
            Guard::Bytes(name, arguments) => Some(self.with(name, arguments, key)),
            Guard::Members(name, _) => Some(self.with(name, 1, key)),
        }
    }

    fn with(&self, name: &str, arguments: usize, key: &str) -> Cmd {
        let mut command = cmd(name);
        for argument in &self.arguments[..arguments] {
            command.arg(argument.replace(KEY, key));
        }
        command
    }
}

fn takes(least: usize, most: usize) -> String {
    if least == most { format!("it takes {least}") } else { format!("it takes {least} to {most}") }
}

/// Split at blanks; what is in double quotes stays whole.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_control() => return Err("a line break or another control character in it".to_owned()),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("a quote is never closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_one_key_can_be_asked() {
        for question in [
            "GET stock:{key}",
            "hget order:{key} state",
            "HGET orders {key}",
            "EXISTS \"a key:{key}\"",
            "HMGET order:{key} state total",
            "LRANGE l:{key} -10 -1",
            "XRANGE events:{key} - + COUNT 10",
            "XREVRANGE events:{key} + - count 1",
        ] {
            Question::parse(question).unwrap();
        }
        let names = |text| Question::parse(text).unwrap().names().map(str::to_owned);
        assert_eq!(names("HGET order:{key} state").as_deref(), Some("order:{key}"));
        assert_eq!(names("HGET orders {key}"), None);
        let packed = Question::parse("GET \"a b:{key}\"").unwrap().of("x\r\nDEL y").get_packed_command();
        assert_eq!(packed, b"*2\r\n$3\r\nGET\r\n$12\r\na b:x\r\nDEL y\r\n", "a key cannot become a command");
    }

    #[test]
    fn what_writes_waits_or_answers_at_length_is_refused() {
        for (question, part) in [
            ("SET stock:{key} 1", "`SET` is not asked"),
            ("DEL {key}", "`DEL` is not asked"),
            ("KEYS *{key}", "`KEYS` is not asked"),
            ("SORT l:{key} STORE x", "`SORT` is not asked"),
            ("EVAL \"return 1\" 0 {key}", "`EVAL` is not asked"),
            ("BLPOP {key} 0", "`BLPOP` is not asked"),
            ("GETDEL {key}", "`GETDEL` is not asked"),
            ("DEBUG SLEEP {key}", "`DEBUG` is not asked"),
            ("GET stock", "0 times {key}"),
            ("GET {key}{key}", "2 times {key}"),
            ("{key} x", "`{KEY}` is not asked"),
            ("GET {key} x", "it takes 1"),
            ("LRANGE {key} 0 -1", "of more than 10"),
            ("LRANGE {key} 0 10", "of more than 10"),
            ("ZRANGE {key} -9223372036854775808 -1", "of more than 10"),
            ("XRANGE {key} - + COUNT 11", "of more than 10"),
            ("XRANGE {key} - + SIZE 1", "of more than 10"),
            ("GET \"{key}", "never closed"),
            ("GET {key}\nDEL x", "control character"),
            ("", "`` is not asked"),
        ] {
            let error = Question::parse(question).unwrap_err();
            assert!(error.contains(part), "{question}: {error}");
        }
    }
}
