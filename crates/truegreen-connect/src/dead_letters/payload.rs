//! A body as people may see it: bounded, secrets hidden, nothing in it that steers a terminal or turns text round.

use serde_json::Value;

use super::redact::Redaction;

/// How a body reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// JSON, indented.
    Json,
    /// Plain text.
    Text,
    /// No text: in hexadecimal, with what is readable of it beside.
    Hex,
    /// Nothing.
    Empty,
}

impl Form {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Text => "text",
            Form::Hex => "hex",
            Form::Empty => "empty",
        }
    }
}

/// A body as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The text; only line ends in it are control characters.
    pub text: String,
    /// How it reads.
    pub form: Form,
    /// Bytes of the shown text that are left out at its end.
    pub left_out: usize,
}

/// Shows at most `limit` bytes of a body's text.
pub fn show(body: &[u8], redaction: &Redaction, limit: usize) -> Shown {
    let (whole, form) = read(body, redaction);
    let whole = harmless(&whole);
    let mut end = whole.len().min(limit);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    Shown { left_out: whole.len() - end, text: whole[..end].to_owned(), form }
}

/// A body as one line for searching, with its secrets hidden: a search must not tell what is not shown.
pub fn searchable(body: &[u8], redaction: &Redaction) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            redaction.json(&mut value);
            value.to_string()
        }
        Err(_) => redaction.text(&String::from_utf8_lossy(body)),
    }
}

fn read(body: &[u8], redaction: &Redaction) -> (String, Form) {
    if body.is_empty() {
        return (String::new(), Form::Empty);
    }
    if matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        && let Ok(mut value) = serde_json::from_slice::<Value>(body)
        && keeps_numbers(body)
    {
        redaction.json(&mut value);
        return (format!("{value:#}"), Form::Json);
    }
    match std::str::from_utf8(body) {
        Ok(text) if is_readable(text) => (redaction.text(text), Form::Text),
        _ => (hex(body, redaction), Form::Hex),
    }
}

/// Whether every number of a JSON body is written again as it stands there. `12345678901234567890123` and `1.10` are not: such
/// a body is never written anew, and shown as the text that it is.
pub fn keeps_numbers(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'"' => {
                let mut is_escaped = false;
                let end = after.iter().position(|byte| {
                    let ends = *byte == b'"' && !is_escaped;
                    is_escaped = *byte == b'\\' && !is_escaped;
                    ends
                });
                rest = end.map_or(&[], |end| &after[end + 1..]);
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                let (number, after) = rest.split_at(end);
                let again = serde_json::from_slice::<serde_json::Number>(number).map(|number| number.to_string());
                if again.is_ok_and(|again| again.as_bytes() != number) {
                    return false;
                }
                rest = after;
            }
            _ => rest = after,
        }
    }
    true
}

/// A binary body may hold one or two control characters and still be text; not one in eight.
fn is_readable(text: &str) -> bool {
    let odd = text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')).count();
    odd * 8 <= text.len() && !text.contains('\0')
}

/// Sixteen bytes a line; where text in it names a secret, nothing but its length is shown.
fn hex(body: &[u8], redaction: &Redaction) -> String {
    let readable: String =
        body.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect();
    let mut names = readable.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
    if names.any(|name| !name.is_empty() && redaction.hides(name)) {
        return format!("[{} bytes that are no text and name something hidden]", body.len());
    }
    let line = |(n, bytes): (usize, &[u8])| {
        let codes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' };
        format!("{:08x}  {:<47}  {}", n * 16, codes.join(" "), bytes.iter().map(shown).collect::<String>())
    };
    // More is cut by whoever shows it.
    let lines: Vec<String> = body.chunks(16).take(1 << 14).enumerate().map(line).collect();
    lines.join("\n")
}

/// Text in which control characters, and those that turn the direction of writing, are written out: `\u{1b}`.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match c {
            '\n' => shown.push(c),
            '\t' => shown.push_str("    "),
            '\r' => {}
            c if c.is_control() || turns => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// As [`harmless`], on one line, of at most so many characters.
pub fn line(text: &str, limit: usize) -> String {
    let first: String = harmless(text).replace('\n', " ");
    match first.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &[u8]) -> Shown {
        show(body, &Redaction::default(), 10_000)
    }

    #[test]
    fn bodies_read_as_what_they_are() {
        let json = shown(br#"{"sku":"A-1","password":"hunter2","n":[1]}"#);
        assert_eq!((json.form, json.text.contains("\"sku\": \"A-1\"")), (Form::Json, true));
        assert!(!json.text.contains("hunter2"));
        assert_eq!(shown(b"plain=1&token=t0k").text, "plain=1&token=[hidden]");
        assert_eq!(shown(b"").form, Form::Empty);
        let hex = shown(b"\x00\x01AB\xff");
        assert_eq!(hex.text, format!("00000000  {:<47}  ..AB.", "00 01 41 42 ff"));
        let hidden = shown(b"\x00\x08password\x07hunter2");
        assert_eq!((hidden.form, hidden.text.contains("hunter2")), (Form::Hex, false));
    }

    #[test]
    fn nothing_in_a_body_steers_a_terminal() {
        let hostile = shown("plain text a\x1b[2Jb\u{202e}c\r\nd\u{9b}".as_bytes());
        assert_eq!(hostile.text, "plain text a\\u{1b}[2Jb\\u{202e}c\nd\\u{9b}");
        let json = shown("{\"a\": \"\u{202e}\\u001b\"}".as_bytes());
        assert!(!json.text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{}", json.text);
        assert_eq!(line("a\nb\x07", 10), "a b\\u{7}");
        assert_eq!(line("ääää", 2), "ää…");
    }

    #[test]
    fn a_number_is_shown_as_it_is_or_as_text() {
        for (body, keeps) in [
            (r#"{"a": -1.5e300, "b": "1.10", "c\\": [0, 18446744073709551615]}"#, false),
            (r#"{"a": -15, "b": "1.10 \" 2.20", "c\\": [0, 18446744073709551615, 0.5]}"#, true),
            (r#"{"amount": 12345678901234567890123}"#, false),
            (r#"{"amount": 1.10}"#, false),
        ] {
            assert_eq!(keeps_numbers(body.as_bytes()), keeps, "{body}");
            assert_eq!(shown(body.as_bytes()).form == Form::Json, keeps, "{body}");
        }
        assert_eq!(shown(br#"{"amount":1.10,"token":"t0k"}"#).text, r#"{"amount":1.10,"token":[hidden]}"#);
    }

    #[test]
    fn long_bodies_are_cut_between_characters() {
        let cut = show("äöü".as_bytes(), &Redaction::default(), 3);
        assert_eq!((cut.text.as_str(), cut.left_out), ("ä", 4));
    }
}
