//! Full-text search over dead letters.

use truegreen_model::letter::Letter;

use super::payload::searchable;
use super::redact::Redaction;

/// Words of one question; more are left off.
const MAX_WORDS: usize = 16;

/// Words that must all stand somewhere in a letter: body, headers, error, ids. Quotes keep words together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    words: Vec<String>,
}

impl Query {
    /// Of a text as people type it.
    pub fn new(text: &str) -> Query {
        let mut words = Vec::new();
        for (n, part) in text.split('"').enumerate() {
            if n % 2 == 1 {
                words.push(part.to_lowercase());
            } else {
                words.extend(part.split_whitespace().map(str::to_lowercase));
            }
        }
        words.retain(|word| !word.is_empty());
        words.truncate(MAX_WORDS);
        Query { words }
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether all of it is found in what may be shown of this letter.
    pub fn finds(&self, letter: &Letter, redaction: &Redaction) -> bool {
        let mut missing: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut look = |text: &str| {
            if !missing.is_empty() && !text.is_empty() {
                let text = text.to_lowercase();
                missing.retain(|word| !text.contains(word));
            }
            missing.is_empty()
        };
        let Letter { id, origin, key, message_id, message_type, error_type, error, frame, traceparent, .. } = letter;
        for text in [id, origin, key, message_id, message_type, error_type, frame, traceparent] {
            if look(text) {
                return true;
            }
        }
        if look(&redaction.text(error)) {
            return true;
        }
        for (name, value) in &letter.headers {
            if look(name) || look(&redaction.text(redaction.header(name, value))) {
                return true;
            }
        }
        look(&searchable(&letter.body, redaction))
    }
}

/// Whether what may be shown of this letter names this key: as a whole word, letter by letter. `o-1` is named by
/// `{"order": "o-1"}` and `order o-1 failed`, and not by `o-12` or `foo-1`.
pub fn names(letter: &Letter, key: &str, redaction: &Redaction) -> bool {
    if key.is_empty() {
        return false;
    }
    let Letter { key: own, message_id, error, headers, body, .. } = letter;
    [own, message_id].into_iter().any(|text| has_word(text, key))
        || headers
            .iter()
            .any(|(name, value)| has_word(value, key) && has_word(&redaction.text(redaction.header(name, value)), key))
        || (has_word(error, key) && has_word(&redaction.text(error), key))
        || (may_hold(body, key) && {
            let (body, quoted) = (searchable(body, redaction), serde_json::Value::from(key).to_string());
            // JSON writes quotes and the like in another way.
            has_word(&body, key) || has_word(&body, &quoted[1..quoted.len() - 1])
        })
}

/// Spares reading most bodies that do not.
fn may_hold(body: &[u8], key: &str) -> bool {
    // JSON may write anything else in another way than it is.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@');
    !key.chars().all(is_plain) || String::from_utf8_lossy(body).contains(key)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_whole_word_and_secrets_name_nothing() {
        let letter = |body: &str| Letter { body: body.as_bytes().to_vec(), ..Letter::default() };
        let named = |body: &str, key: &str| names(&letter(body), key, &Redaction::default());
        for (body, key, is) in [
            (r#"{"order":{"id":"o-1"}}"#, "o-1", true),
            (r#"{"order":{"id":"o-12"}}"#, "o-1", false),
            (r#"{"id":42}"#, "42", true),
            (r#"{"id":421}"#, "42", false),
            ("order o-1.", "o-1", true),
            ("foo-1", "o-1", false),
            ("o-1_2", "o-1", false),
            (r#"{"id":"a\"b"}"#, "a\"b", true),
            (r#"{"id":"\u00e4 1"}"#, "ä 1", true),
            (r#"{"token":"o-1"}"#, "o-1", false),
            ("", "", false),
        ] {
            assert_eq!(named(body, key), is, "{body} {key}");
        }
        let header = |name: &str| Letter { headers: vec![(name.to_owned(), "o-1".to_owned())], ..Letter::default() };
        assert!(names(&header("order"), "o-1", &Redaction::default()));
        assert!(!names(&header("authorization"), "o-1", &Redaction::default()));
        let keyed = Letter { key: "o-1".to_owned(), ..Letter::default() };
        assert!(names(&keyed, "o-1", &Redaction::default()) && !names(&keyed, "O-1", &Redaction::default()));
    }

    #[test]
    fn all_words_must_stand_somewhere_and_secrets_are_not_found() {
        let letter = Letter {
            error: "Out of Stock".to_owned(),
            headers: vec![
                ("tenant".to_owned(), "blue".to_owned()),
                ("authorization".to_owned(), "Bearer t0k".to_owned()),
            ],
            body: br#"{"sku":"A-1","card":"4111"}"#.to_vec(),
            ..Letter::default()
        };
        let finds = |text: &str| Query::new(text).finds(&letter, &Redaction::default());
        for found in ["a-1", "STOCK blue", "\"of stock\"", "sku tenant", ""] {
            assert!(finds(found), "{found}");
        }
        for not in ["a-2", "stock red", "\"stock of\"", "4111", "t0k"] {
            assert!(!finds(not), "{not}");
        }
    }
}
