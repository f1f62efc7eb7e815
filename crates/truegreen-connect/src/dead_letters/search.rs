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

#[cfg(test)]
mod tests {
    use super::*;

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
