//! What a body must say: a JSONPath that selects something, or exactly one value.

use serde_json::Value;
use serde_json_path::JsonPath;
use truegreen_model::probe::{Check, Standing};

use super::exchange::shown;

/// A longer one is a mistake.
const MAX_LENGTH: usize = 500;

/// `$.items[*]`, or `$.status == "ok"`.
#[derive(Debug)]
pub(super) struct Expectation {
    text: String,
    path: JsonPath,
    value: Option<Value>,
}

impl Expectation {
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub(super) fn parse(text: &str) -> Result<Expectation, String> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} bytes"));
        }
        let whole = match JsonPath::parse(text) {
            Ok(path) => return Ok(Expectation { text: text.to_owned(), path, value: None }),
            Err(error) => error,
        };
        // A path may hold `==` in its filters, so the last one that leaves a path to its left is ours.
        let sides = text.rmatch_indices("==").map(|(at, sign)| (text[..at].trim(), text[at + sign.len()..].trim()));
        for (left, right) in sides {
            let Ok(path) = JsonPath::parse(left) else { continue };
            let value = serde_json::from_str(right).map_err(|_| {
                format!("`{right}` is no JSON value\nhint: a text stands in quotes, as in `{left} == \"ok\"`")
            })?;
            return Ok(Expectation { text: text.to_owned(), path, value: Some(value) });
        }
        Err(format!("`{text}` is no JSONPath: {whole}\nhint: `$.items[*]`, or `$.status == \"ok\"`"))
    }

    /// Holds a body against it, or why there is none to hold.
    pub(super) fn check(&self, measurement: &str, otherwise: Standing, body: &Result<Value, String>) -> Check {
        let wrong = match body {
            Ok(body) => self.wrong(body),
            Err(why) => Some(format!("its body {why}")),
        };
        match wrong {
            None => Check::pass(measurement).of(&self.text),
            Some(why) if otherwise == Standing::Warn => {
                Check::new(measurement, otherwise, format!("what it answers is not whole: {why}")).of(&self.text)
            }
            Some(why) => Check::new(measurement, otherwise, why).of(&self.text),
        }
    }

    fn wrong(&self, body: &Value) -> Option<String> {
        let found = self.path.query(body).all();
        match (&self.value, found.as_slice()) {
            (_, []) => Some("nothing is there".to_owned()),
            (None, _) => None,
            (Some(value), [one]) if is_same(value, one) => None,
            (Some(_), [one]) => Some(format!("it is {}", shown(&one.to_string()))),
            (Some(_), several) => Some(format!("there are {} of it", several.len())),
        }
    }
}

/// 1 and 1.0 are the same.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, body: &str) -> String {
        let body = serde_json::from_str(body).map_err(|_| "is no JSON".to_owned());
        Expectation::parse(text).unwrap().check("body", Standing::Fail, &body).reason
    }

    #[test]
    fn a_path_selects_something_or_exactly_that() {
        let body = r#"{"status": "ok", "n": 1.0, "items": [{"id": 1}, {"id": 2}], "none": null}"#;
        for holds in [
            "$.items[*]",
            "$.status == \"ok\"",
            "$.n == 1",
            "$.items[?@.id == 2].id == 2",
            "$.items[?@.id == 2]",
            "$.none == null",
        ] {
            assert_eq!(told(holds, body), "", "{holds}");
        }
        assert_eq!(told("$.status == \"up\"", body), "it is \"ok\"");
        assert_eq!(told("$.price", body), "nothing is there");
        assert_eq!(told("$.items[*].id == 1", body), "there are 2 of it");
        assert_eq!(told("$.status", "<html>"), "its body is no JSON");
    }

    #[test]
    fn mistakes_say_how_to_mend_them() {
        for (text, part) in [
            ("$.status == ok", "a text stands in quotes"),
            ("status", "is no JSONPath"),
            ("$.items[", "hint: `$.items[*]`"),
            (&"$".repeat(600), "longer than"),
        ] {
            let error = Expectation::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
