//! Keys by a pattern of their names, walked in steps that each take Redis a fraction of a millisecond.

use std::time::Instant;

use async_trait::async_trait;
use redis::cmd;

use super::Redis;
use super::dial::Connection;
use super::question::{KEY, Question};
use crate::Error;
use crate::keys::{Keys, Listed, MAX_KEY_BYTES, MAX_LISTED};

/// Names that Redis looks at in one step, in which it serves nobody else.
const STEP: usize = 250;
/// Steps of one listing. Where the pattern fits few names, the next listing goes on behind them.
const MAX_STEPS: usize = 40;

/// `product:{key}`; all of it but the key is taken as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    before: String,
    after: String,
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |times: usize| format!("{times} times {KEY} in it\nhint: exactly once, such as product:{KEY}");
        let text = text.trim();
        match (text.matches(KEY).count(), text.split_once(KEY)) {
            _ if text.len() > MAX_KEY_BYTES => Err(format!("longer than {MAX_KEY_BYTES} bytes")),
            _ if text.chars().any(char::is_control) => {
                Err("a line break or another control character in it".to_owned())
            }
            (1, Some((before, after))) => Ok(Pattern { before: before.to_owned(), after: after.to_owned() }),
            (times, _) => Err(wrong(times)),
        }
    }

    /// For SCAN, in which some signs would stand for others.
    fn glob(&self) -> String {
        let mut glob = String::new();
        let plain = |text: &str, glob: &mut String| {
            for c in text.chars() {
                if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                    glob.push('\\');
                }
                glob.push(c);
            }
        };
        plain(&self.before, &mut glob);
        glob.push('*');
        plain(&self.after, &mut glob);
        glob
    }

    /// What stands in the place of the key.
    fn key<'a>(&self, name: &'a str) -> Option<&'a str> {
        let key = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (!key.is_empty() && key.len() <= MAX_KEY_BYTES).then_some(key)
    }
}

#[async_trait]
impl Keys for Redis {
    fn check(&self, which: &str) -> Result<(), String> {
        Pattern::parse(which).map(drop)
    }

    fn asked_by(&self, question: &str) -> Option<String> {
        Question::parse(question).ok()?.names().map(str::to_owned)
    }

    async fn list(&self, which: &str, from: Option<&str>, limit: usize) -> Result<Listed, Error> {
        let pattern = Pattern::parse(which).map_err(Error::NotAsked)?;
        let (glob, began) = (pattern.glob(), Instant::now());
        let mut connection = Connection::open(&self.config).await?;
        let (mut cursor, mut keys) = (from.unwrap_or("0").to_owned(), Vec::new());
        for _ in 0..MAX_STEPS {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&glob).arg("COUNT").arg(STEP);
            let (next, names): (String, Vec<Vec<u8>>) = connection.ask("SCAN", &scan).await?;
            let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
            keys.extend(names.filter_map(|name| pattern.key(name)).map(str::to_owned));
            cursor = next;
            if cursor == "0" || keys.len() >= limit.min(MAX_LISTED) || began.elapsed() > self.config.timeout / 2 {
                break;
            }
        }
        keys.truncate(MAX_LISTED);
        Ok(Listed { keys, next: (cursor != "0").then_some(cursor) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_what_varies_and_all_else_is_taken_as_it_stands() {
        let pattern = Pattern::parse("shop[1]:{key}:p*").unwrap();
        assert_eq!(pattern.glob(), "shop\\[1\\]:*:p\\*");
        assert_eq!(pattern.key("shop[1]:17:p*"), Some("17"));
        for other in ["shop[1]::p*", "shop1:17:p*", "shop[1]:17:p", "shop[1]:p*", ""] {
            assert_eq!(pattern.key(other), None, "{other}");
        }
        assert_eq!(Pattern::parse("{key}").unwrap().glob(), "*");
        for (text, part) in [("product:*", "0 times"), ("{key}:{key}", "2 times"), ("a\n{key}", "control character")] {
            assert!(Pattern::parse(text).unwrap_err().contains(part), "{text}");
        }
    }
}
