//! What must not be shown of a letter: values whose names say that they are secret or personal.

use serde_json::Value;

/// Names that are never shown; each covers all names that hold it as a word: `card` covers `card_number` and `cardNumber`,
/// not `discarded`.
pub const ALWAYS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "authorization",
    "auth",
    "cookie",
    "credential",
    "credentials",
    "apikey",
    "api_key",
    "private_key",
    "access_key",
    "card",
    "pan",
    "cvv",
    "cvc",
    "iban",
    "ssn",
    "pin",
    "session",
];
/// What stands in place of a value.
pub const HIDDEN: &str = "[hidden]";
/// Nested deeper, nothing is shown.
const MAX_DEPTH: usize = 64;

/// Which values are hidden.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redaction {
    /// Each a sequence of words in small letters.
    names: Vec<Vec<String>>,
}

impl Default for Redaction {
    fn default() -> Self {
        Redaction::new(std::iter::empty::<&str>())
    }
}

impl Redaction {
    /// [`ALWAYS`], and these names.
    pub fn new<T: AsRef<str>>(further: impl IntoIterator<Item = T>) -> Redaction {
        let mut names: Vec<Vec<String>> = ALWAYS.iter().map(|name| words(name)).collect();
        names.extend(further.into_iter().map(|name| words(name.as_ref())).filter(|words| !words.is_empty()));
        Redaction { names }
    }

    /// Whether values of this name are hidden.
    pub fn hides(&self, name: &str) -> bool {
        let own = words(name);
        let joined = own.concat();
        self.names.iter().any(|hidden| {
            own.windows(hidden.len()).any(|run| run.iter().zip(hidden).all(|(own, hidden)| is_word(own, hidden)))
                || joined == hidden.concat()
        })
    }

    /// A header's value as it may be shown.
    pub fn header<'a>(&self, name: &str, value: &'a str) -> &'a str {
        if self.hides(name) { HIDDEN } else { value }
    }

    /// Hides values within a JSON value.
    pub fn json(&self, value: &mut Value) {
        self.within(value, 0);
    }

    fn within(&self, value: &mut Value, depth: usize) {
        match value {
            Value::Object(_) | Value::Array(_) if depth > MAX_DEPTH => *value = Value::from(HIDDEN),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.hides(name) && !value.is_null() {
                        *value = Value::from(HIDDEN);
                    } else {
                        self.within(value, depth + 1);
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.within(item, depth + 1)),
            // JSON within a text is how envelopes carry bodies.
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                    let before = inner.clone();
                    self.within(&mut inner, depth + 1);
                    if inner != before {
                        *text = inner.to_string();
                    }
                }
            }
            _ => {}
        }
    }

    /// Hides values in plain text: `name=value`, `name: value`, also within JSON that is cut short or forms.
    pub fn text(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['=', ':']) {
            let (before, after) = rest.split_at(at);
            let name = before.trim_end_matches(['"', '\'', ' ']);
            let name = name.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).next().unwrap_or(name);
            shown.push_str(before);
            shown.push_str(&after[..1]);
            rest = &after[1..];
            if !name.is_empty() && self.hides(name) {
                let value = value_length(rest);
                if value > 0 {
                    shown.push_str(HIDDEN);
                    rest = &rest[value..];
                }
            }
        }
        shown.push_str(rest);
        shown
    }
}

/// How long the value at the beginning is: up to its closing quote, else to what ends a field or a line. `Bearer x` and
/// `Basic x` are two words of one value.
fn value_length(text: &str) -> usize {
    let value = text.trim_start_matches(' ');
    let lead = text.len() - value.len();
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let mut is_escaped = false;
        for (at, c) in value.char_indices().skip(1) {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                c if c == quote => return lead + at + 1,
                _ => {}
            }
        }
        return text.len();
    }
    let ends = |c: char| matches!(c, '&' | ';' | ',' | '\n' | '\r' | '}' | ']');
    let mut length = value.find(ends).unwrap_or(value.len());
    let scheme = value.split(' ').next().unwrap_or_default().to_ascii_lowercase();
    if !matches!(scheme.as_str(), "bearer" | "basic" | "digest") {
        length = value[..length].find(' ').unwrap_or(length);
    }
    lead + length
}

/// `userPassword`, `user_password` and `X-User-Password` as words in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars().take(200) {
        if !c.is_alphanumeric() {
            words.push(String::new());
        } else {
            if c.is_uppercase() && was_small {
                words.push(String::new());
            }
            if let Some(last) = words.last_mut() {
                last.extend(c.to_lowercase());
            }
        }
        was_small = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Also in the plural, and with a number behind it.
fn is_word(own: &str, hidden: &str) -> bool {
    own.trim_end_matches(|c: char| c.is_ascii_digit()).strip_prefix(hidden).is_some_and(|rest| matches!(rest, "" | "s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_hidden_by_their_words() {
        let redaction = Redaction::new(["email", "date of birth"]);
        for name in [
            "password",
            "userPassword",
            "X-Api-Key",
            "apiKey",
            "APIKEY",
            "card_number",
            "Authorization",
            "set-cookie",
            "refresh_tokens",
            "customer_email",
            "DateOfBirth",
            "password2",
        ] {
            assert!(redaction.hides(name), "{name}");
        }
        for name in ["discarded", "sku", "order.id", "company", "authority", "traceparent", "expansion", ""] {
            assert!(!redaction.hides(name), "{name}");
        }
        assert!(!Redaction::default().hides("email"));
    }

    #[test]
    fn values_are_hidden_wherever_they_stand() {
        let redaction = Redaction::default();
        let mut value = json!({"order": {"id": "o-1", "card": {"number": "4111"}}, "list": [{"token": "t0k"}],
            "inner": "{\"password\": \"hunter2\", \"a\": 1}"});
        redaction.json(&mut value);
        let text = value.to_string();
        for hidden in ["4111", "t0k", "hunter2"] {
            assert!(!text.contains(hidden), "{text}");
        }
        assert!(text.contains("o-1"));

        for text in [
            "user=ada&password=hunter2&x=1",
            "Authorization: Bearer hunter2 \nnext",
            "{\"token\" : \"hun\\\"ter2\", \"a",
            "password='hunter2' rest",
            "secret: hunter2, a: 1",
            "{\"password\":\"hunter2",
            "at login(pwd=hunter2)",
        ] {
            let shown = redaction.text(text);
            assert!(!shown.contains("ter2") && shown.contains(HIDDEN), "{shown}");
        }
        assert_eq!(redaction.text("a: b = c, d"), "a: b = c, d");
        assert_eq!(redaction.header("cookie", "x"), HIDDEN);
    }

    #[test]
    fn what_is_nested_too_deep_is_hidden_as_a_whole() {
        let mut value = json!("deep");
        for _ in 0..100 {
            value = json!([value]);
        }
        Redaction::default().json(&mut value);
        assert!(!value.to_string().contains("deep"));
    }
}
