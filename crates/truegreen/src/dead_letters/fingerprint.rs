//! What a letter is, as one number: so that what was chosen is what is sent, and an edit can be told from the original.

use sha2::{Digest, Sha256};
use truegreen_connect::dead_letters::headers;
use truegreen_model::letter::Letter;

/// SHA-256 of a letter's key, headers and body, in hexadecimal. Headers that change each time it is looked at do not count.
pub fn of(letter: &Letter) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(letter.key.as_bytes());
    part(&letter.body);
    // Brokers keep headers in tables without an order.
    let mut steady: Vec<&(String, String)> =
        letter.headers.iter().filter(|(name, _)| headers::is_steady(name)).collect();
    steady.sort();
    for (name, value) in steady {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    hex(&hash.finalize())
}

/// SHA-256 of a body alone.
pub fn of_body(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_the_same_each_time_it_is_looked_at() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let letter =
            |headers: Vec<(String, String)>, body: &str| Letter { headers, body: body.into(), ..Letter::default() };
        let first = of(&letter(vec![header("a", "1"), header("x-delivery-count", "1")], "x"));
        let again = of(&letter(vec![header("x-delivery-count", "2"), header("a", "1")], "x"));
        assert_eq!(first, again);
        assert_ne!(first, of(&letter(vec![header("a", "2")], "x")));
        assert_ne!(first, of(&letter(vec![header("a", "1")], "y")));
        assert_ne!(of(&letter(vec![header("a", "bc")], "")), of(&letter(vec![header("ab", "c")], "")));
        assert_eq!(of_body(b"").len(), 64);
    }
}
