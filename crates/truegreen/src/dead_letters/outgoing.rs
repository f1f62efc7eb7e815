//! What travels when a letter goes back: its first life, and its lineage.

use truegreen_connect::dead_letters::{Outgoing, headers};
use truegreen_model::letter::Letter;

use super::redrive::entry::{Chosen, Edited};

/// The redrive that sent it.
pub const REDRIVE_ID: &str = "truegreen-redrive-id";
/// The id of the dead letter that it was.
pub const REDRIVE_OF: &str = "truegreen-redrive-of";
/// How often it was sent back so far.
pub const REDRIVE_COUNT: &str = "truegreen-redrive-count";
/// The message id of its first life, since the one it has now is the key of its sending.
pub const FIRST_MESSAGE_ID: &str = "truegreen-first-message-id";
/// `SHA-256 of the body before, SHA-256 after`, where it was edited.
pub const EDITED: &str = "truegreen-edited";
/// Of an id within a key: brokers bound the length of message ids.
const MAX_ID_BYTES: usize = 80;

/// The same each time this letter is sent by this redrive.
pub fn idempotency_key(redrive: &str, chosen: &Chosen) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let id: String = chosen.letter.chars().filter(plain).take(MAX_ID_BYTES).collect();
    // The number tells letters apart whose ids do not.
    format!("{redrive}.{}.{id}", chosen.n)
}

/// How often a letter was sent back so far.
pub fn times_sent_back(letter: &Letter) -> u32 {
    headers::value(&letter.headers, REDRIVE_COUNT).and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// What is sent for this letter.
pub fn of(redrive: &str, chosen: &Chosen, letter: &Letter, edited: Option<&Edited>) -> Outgoing {
    let stays = |(name, _): &&(String, String)| !headers::is_left_by_death(name) && !headers::is_ours(name);
    let mut sent: Vec<(String, String)> = letter.headers.iter().filter(stays).cloned().collect();
    // The consumer's spans then belong to, or link to, the trace of its first life.
    if !letter.traceparent.is_empty() && headers::value(&sent, "traceparent").is_none() {
        sent.push(("traceparent".to_owned(), letter.traceparent.clone()));
    }
    let mut add = |name: &str, value: String| sent.push((name.to_owned(), value));
    add(REDRIVE_ID, redrive.to_owned());
    add(REDRIVE_OF, chosen.letter.clone());
    add(REDRIVE_COUNT, times_sent_back(letter).saturating_add(1).to_string());
    let first = headers::value(&letter.headers, FIRST_MESSAGE_ID).unwrap_or(&letter.message_id);
    if !first.is_empty() {
        add(FIRST_MESSAGE_ID, first.to_owned());
    }
    let body = match edited.and_then(|edited| Some((edited, edited.body()?))) {
        Some((edited, body)) => {
            add(EDITED, format!("{}, {}", edited.hash_before, edited.hash_after));
            body
        }
        None => letter.body.clone(),
    };
    Outgoing {
        to: chosen.to.clone(),
        key: chosen.key.clone(),
        headers: sent,
        body,
        idempotency_key: idempotency_key(redrive, chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_first_life_goes_with_it_and_its_death_stays() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let letter = Letter {
            id: "17".to_owned(),
            message_id: "m-1".to_owned(),
            traceparent: "00-01-02-01".to_owned(),
            headers: vec![
                header("tenant", "blue"),
                header("x-death", "[..]"),
                header(REDRIVE_COUNT, "1"),
                header(REDRIVE_ID, "old"),
            ],
            body: b"{}".to_vec(),
            ..Letter::default()
        };
        let chosen = Chosen { n: 3, letter: "1\u{1b}7".to_owned(), to: "orders".to_owned(), ..Chosen::default() };
        let sent = of("r-1", &chosen, &letter, None);
        let told = |name: &str| headers::value(&sent.headers, name);
        assert_eq!((told("tenant"), told("x-death"), told("traceparent")), (Some("blue"), None, Some("00-01-02-01")));
        assert_eq!(
            (told(REDRIVE_ID), told(REDRIVE_COUNT), told(FIRST_MESSAGE_ID)),
            (Some("r-1"), Some("2"), Some("m-1"))
        );
        assert_eq!((sent.idempotency_key.as_str(), sent.body.as_slice()), ("r-1.3.17", b"{}".as_slice()));

        let edited =
            Edited { hash_before: "a".into(), hash_after: "b".into(), after: "W10=".into(), ..Edited::default() };
        let sent = of("r-1", &chosen, &letter, Some(&edited));
        assert_eq!((headers::value(&sent.headers, EDITED), sent.body.as_slice()), (Some("a, b"), b"[]".as_slice()));
    }
}
