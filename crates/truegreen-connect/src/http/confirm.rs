//! Whether an effect is there, by one GET for each key: `GET /orders/{key}`, at the system's own host and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Http;
use super::exchange::{self, Answer};
use crate::Error;
use crate::config::Method;
use crate::confirm::{Confirm, Found, MAX_KEYS, MAX_ROW_BYTES};

const KEY: &str = "{key}";
const HINT: &str = "hint: `GET /orders/{key}`, from the root of the system's host";
/// Keys are put into a path; a longer one is none.
const MAX_KEY_BYTES: usize = 1024;

#[async_trait]
impl Confirm for Http {
    fn check(&self, question: &str) -> Result<(), String> {
        path(question).map(drop)
    }

    async fn ask(&self, question: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        let path = path(question).map_err(Error::NotAsked)?;
        if keys.len() > MAX_KEYS {
            return Err(Error::NotAsked(format!("{} keys at once, more than {MAX_KEYS}", keys.len())));
        }
        let urls: Vec<Result<String, Error>> = keys.iter().map(|key| self.url(path, key)).collect();
        let (authorization, config) = (self.place.authorization.clone(), Arc::clone(&self.config));
        let asked = tokio::task::spawn_blocking(move || {
            let agent = exchange::agent(&config)?;
            let ask = |url: &str| exchange::ask(&agent, Method::Get, url, authorization.as_deref(), config.timeout);
            one_by_one(&urls, ask)
        });
        asked.await.unwrap_or_else(|error| Err(Error::NotAsked(format!("asking ended by a bug: {error}"))))
    }

    /// What answers over HTTP may be a cache of a replica; nothing tells.
    async fn behind(&self) -> Option<f64> {
        None
    }
}

impl Http {
    fn url(&self, path: &str, key: &str) -> Result<String, Error> {
        // Dots are steps in a path, however they are written.
        if key.is_empty() || key.len() > MAX_KEY_BYTES || key.bytes().all(|c| c == b'.') {
            return Err(Error::NotAsked("the key cannot stand in a path".to_owned()));
        }
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
        Ok(format!("{}{}", self.place.origin, path.replace(KEY, &key)))
    }
}

/// The path of a question.
fn path(question: &str) -> Result<&str, String> {
    let Some(path) = question.trim().strip_prefix("GET ").map(str::trim) else {
        return Err(format!("only GET is asked\n{HINT}"));
    };
    // Two slashes, or a backslash, would be another host to some.
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!("it does not begin with one slash\n{HINT}"));
    }
    if let Some(foreign) = path.chars().find(|c| !c.is_ascii_graphic() || "\\#\"<>^`|".contains(*c)) {
        return Err(format!("{foreign:?} cannot stand in a path\n{HINT}"));
    }
    if path.split(['/', '?']).any(|step| matches!(step, "." | "..")) {
        return Err(format!("it has steps of dots\n{HINT}"));
    }
    match path.matches(KEY).count() {
        1 if !path.replace(KEY, "").contains(['{', '}']) => Ok(path),
        1 => Err(format!("it has another parameter than {{key}}\n{HINT}")),
        n => Err(format!("it names {{key}} {n} times, not once\n{HINT}")),
    }
}

/// Who cannot be reached is not asked for each key anew.
fn one_by_one(
    urls: &[Result<String, Error>],
    ask: impl Fn(&str) -> Result<Answer, Error>,
) -> Result<Vec<Result<Found, Error>>, Error> {
    let mut found: Vec<Result<Found, Error>> = Vec::with_capacity(urls.len());
    let mut gone: Option<Error> = None;
    for url in urls {
        let answer = match (url, &gone) {
            (Err(error), _) | (Ok(_), Some(error)) => Err(error.clone()),
            (Ok(url), None) => ask(url),
        };
        if let Err(error @ (Error::Unreachable(_) | Error::TimedOut { .. })) = &answer {
            gone = Some(error.clone());
        }
        found.push(answer.and_then(|answer| read(&answer)));
    }
    match gone {
        Some(error) if found.iter().all(Result::is_err) => Err(error),
        _ => Ok(found),
    }
}

/// 404 is nothing; of what is there, the fields that are single values. What a cache had before it was asked proves nothing.
fn read(answer: &Answer) -> Result<Found, Error> {
    if let Some(age) = answer.age.filter(|age| *age > 0) {
        let error = format!("a cache answered, with what it was told {age} s before\nhint: ask behind the cache");
        return Err(Error::Answered(error));
    }
    match answer.status {
        404 => return Ok(Found::Nothing),
        200..300 => {}
        401 | 403 => return Err(Error::Denied(format!("it answered {}", answer.status))),
        status => return Err(Error::Answered(status.to_string())),
    }
    let body = answer.body.as_ref().map_err(Clone::clone)?;
    let mut row = BTreeMap::from([("status".to_owned(), Some(answer.status.to_string()))]);
    if answer.is_cut {
        return Err(Error::Answered(format!("more than {} bytes", exchange::MAX_BODY_BYTES)));
    }
    if let Ok(Value::Object(fields)) = serde_json::from_slice(body) {
        row.extend(fields.into_iter().filter_map(|(name, value)| Some((name, scalar(value)?))));
    }
    let bytes: usize = row.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
    match bytes > MAX_ROW_BYTES {
        true => Err(Error::Answered(format!("fields of {bytes} bytes, more than {MAX_ROW_BYTES}"))),
        false => Ok(Found::Rows(vec![row])),
    }
}

/// A single value as text, or none for null; nothing for what is not single.
fn scalar(value: Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text)),
        Value::Bool(_) | Value::Number(_) => Some(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Surroundings;
    use crate::{Address, SystemConfig};

    fn answer(status: u16, body: &str) -> Answer {
        let (media_type, body) = (String::new(), Ok(body.as_bytes().to_vec()));
        Answer { status, media_type, leads_to: None, age: None, seconds: 0.0, body, is_cut: false }
    }

    #[test]
    fn only_one_get_with_one_key_is_asked() {
        assert_eq!(path("GET /orders/{key}"), Ok("/orders/{key}"));
        assert_eq!(path("GET /orders?id={key}&full=1"), Ok("/orders?id={key}&full=1"));
        for (question, part) in [
            ("DELETE /orders/{key}", "only GET"),
            ("GET http://elsewhere/{key}", "one slash"),
            ("GET //elsewhere/{key}", "one slash"),
            ("GET /\\elsewhere/{key}", "cannot stand"),
            ("GET /a/../{key}", "steps of dots"),
            ("GET /orders", "0 times"),
            ("GET /{key}/{key}", "2 times"),
            ("GET /{tenant}/{key}", "another parameter"),
            ("GET /{key} HTTP/1.1\r\nx: y", "cannot stand"),
        ] {
            let error = path(question).unwrap_err();
            assert!(error.contains(part) && error.contains("hint:"), "{question}: {error}");
        }
    }

    #[test]
    fn a_key_stays_one_step_of_the_path_on_our_host() {
        let address = Address::parse("http://u:p@orders:8080/health?full=1", &Surroundings).unwrap();
        let http = Http::new(Arc::new(SystemConfig::new("orders", address))).unwrap();
        let url = |key: &str| http.url("/orders/{key}", key);
        assert_eq!(url("o-1").unwrap(), "http://orders:8080/orders/o%2D1");
        assert_eq!(url("../admin?x=1#@h").unwrap(), "http://orders:8080/orders/%2E%2E%2Fadmin%3Fx%3D1%23%40h");
        for key in ["", ".", "..", &"k".repeat(2_000)] {
            assert!(matches!(url(key), Err(Error::NotAsked(_))), "{key}");
        }
    }

    #[test]
    fn what_is_there_is_one_row_of_single_values() {
        assert_eq!(read(&answer(404, "")), Ok(Found::Nothing));
        assert_eq!(read(&Answer { age: Some(0), ..answer(404, "") }), Ok(Found::Nothing));
        let cached = read(&Answer { age: Some(30), ..answer(404, "") });
        assert!(matches!(&cached, Err(Error::Answered(why)) if why.contains("30 s before")), "{cached:?}");
        let Ok(Found::Rows(rows)) = read(&answer(200, r#"{"qty": 3, "sku": "a", "gone": null, "lines": [1]}"#)) else {
            panic!()
        };
        let value = |name: &str| rows[0].get(name).cloned();
        assert_eq!(value("status"), Some(Some("200".to_owned())));
        assert_eq!((value("qty"), value("gone"), value("lines")), (Some(Some("3".to_owned())), Some(None), None));
        assert!(matches!(read(&answer(200, "garbage")), Ok(Found::Rows(rows)) if rows[0].len() == 1));
        assert!(matches!(read(&answer(403, "")), Err(Error::Denied(_))));
        for status in [302, 500] {
            assert!(matches!(read(&answer(status, "")), Err(Error::Answered(_))), "{status}");
        }
        let long = format!("{{\"text\": \"{}\"}}", "x".repeat(5_000));
        assert!(matches!(read(&answer(200, &long)), Err(Error::Answered(_))));
    }

    #[test]
    fn who_cannot_be_reached_is_asked_once() {
        let asked = std::cell::Cell::new(0);
        let urls: Vec<Result<String, Error>> = (0..50).map(|n| Ok(n.to_string())).collect();
        let gone = one_by_one(&urls, |_| {
            asked.set(asked.get() + 1);
            Err(Error::Unreachable("gone".to_owned()))
        });
        assert_eq!((gone, asked.get()), (Err(Error::Unreachable("gone".to_owned())), 1));
        let half = one_by_one(&urls, |url| match url {
            "0" => Ok(answer(404, "")),
            _ => Err(Error::Unreachable("gone".to_owned())),
        });
        let half = half.unwrap();
        assert_eq!((half.len(), half[0].clone(), half[49].is_err()), (50, Ok(Found::Nothing), true));
    }
}
