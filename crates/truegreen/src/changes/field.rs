//! What is read of a payload: named fields, each within a bound.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest text of a field; longer ones are cut.
pub(crate) const MAX_TEXT: usize = 300;
/// Most instances of a change, and most of its attributes.
pub(crate) const MAX_INSTANCES: usize = 200;
pub(crate) const MAX_ATTRIBUTES: usize = 32;

/// The text at a path such as `project.name`; nothing where there is none, or it is empty. Numbers are told as text.
pub(super) fn text(value: &Value, path: &str) -> Option<String> {
    let text = match at(value, path)? {
        Value::String(text) => clipped(text.trim(), MAX_TEXT),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The first line of a text.
pub(super) fn line(value: &Value, path: &str) -> Option<String> {
    let line = at(value, path)?.as_str()?.trim().lines().next()?;
    Some(clipped(line, MAX_TEXT)).filter(|line| !line.is_empty())
}

/// The first of these that is there.
pub(super) fn first(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| text(value, path))
}

pub(super) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| match value {
        Value::Array(all) => name.parse::<usize>().ok().and_then(|place| all.get(place)),
        _ => value.get(name),
    })
}

/// Without control characters, and no longer than this many of the others.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// An address without what may be secret in it: user, password, query.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    (!host.is_empty()).then(|| clipped(&format!("{scheme}://{host}{path}"), 1000))
}

pub(super) fn link(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().filter_map(|path| at(value, path)?.as_str()).find_map(address)
}

/// An id that the same texts always give.
pub(crate) fn id_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_may_be_secret() {
        assert_eq!(address("https://me:pass@ci.example/run/7?token=s#x").as_deref(), Some("https://ci.example/run/7"));
        assert_eq!(address("javascript:alert(1)"), None);
        assert_eq!(address("https://"), None);
    }

    #[test]
    fn texts_are_cut_and_cannot_steer_a_terminal() {
        let value = serde_json::json!({"a": {"b": ["x", "\u{1b}[31mred"]}, "n": 7});
        assert_eq!(text(&value, "a.b.1").as_deref(), Some("[31mred"));
        assert_eq!(text(&value, "n").as_deref(), Some("7"));
        assert_eq!(text(&value, "a.c"), None);
    }
}
