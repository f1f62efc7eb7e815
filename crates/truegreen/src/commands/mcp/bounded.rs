//! Answers that fit an assistant's attention: the longest lists are shortened until the whole fits, and what was left out is
//! said, so that what is left is still JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Of one answer, as JSON.
pub(super) const MAX_BYTES: usize = 48 << 10;
/// Of one text, where shorter lists do not help.
const MAX_TEXT_CHARS: usize = 2_000;

/// An answer of at most so many bytes, and what it leaves out, by where that was.
pub(super) fn bounded(mut answer: Value, max_bytes: usize) -> String {
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    let mut text = answer.to_string();
    while text.len() > max_bytes {
        let (mut longest, mut at) = (0, None);
        find_longest(&answer, String::new(), &mut longest, &mut at);
        match at.and_then(|at| Some((answer.pointer_mut(&at)?.as_array_mut()?, at))) {
            Some((list, at)) => {
                let half = list.len() / 2;
                *left_out.entry(at).or_default() += list.len() - half;
                list.truncate(half);
            }
            None => {
                shorten_texts(&mut answer);
                text = answer.to_string();
                // Objects alone may be too many; a cut in the middle would be no JSON.
                if text.len() > max_bytes {
                    let hint = "ask for less: one flow, one finding, one key";
                    return json!({ "error": "the answer is too long", "hint": hint }).to_string();
                }
                break;
            }
        }
        text = answer.to_string();
    }
    if !left_out.is_empty()
        && let Value::Object(fields) = &mut answer
    {
        fields.insert("left_out".to_owned(), json!(left_out));
        text = answer.to_string();
    }
    text
}

/// The place of the list that takes most bytes by itself, not by a list within it; of two alike the first.
fn find_longest(value: &Value, at: String, longest: &mut usize, found: &mut Option<String>) {
    match value {
        Value::Array(list) => {
            let within: usize = list.iter().map(own_length).sum();
            if within > *longest && list.len() > 1 {
                (*longest, *found) = (within, Some(at.clone()));
            }
            list.iter().enumerate().for_each(|(n, one)| find_longest(one, format!("{at}/{n}"), longest, found));
        }
        Value::Object(fields) => {
            for (name, one) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                find_longest(one, format!("{at}/{name}"), longest, found);
            }
        }
        _ => {}
    }
}

fn own_length(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.len() + 2,
        Value::Object(fields) => fields.iter().map(|(name, one)| name.len() + 4 + own_length(one)).sum(),
        Value::String(text) => text.len() + 2,
        _ => 8,
    }
}

fn shorten_texts(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(shorten_texts),
        Value::Object(fields) => fields.values_mut().for_each(shorten_texts),
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
                text.truncate(end);
                text.push('…');
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let answer = json!({"a": [1, 2, 3]});
        assert_eq!(bounded(answer.clone(), 100), answer.to_string());
    }

    #[test]
    fn the_longest_list_is_shortened_and_that_is_said() {
        let answer = json!({"findings": [{"examples": vec!["x".repeat(40); 100], "title": "t"}, {"title": "u"}]});
        let text = bounded(answer, 1_000);
        let kept: Value = serde_json::from_str(&text).unwrap();
        assert!(text.len() < 1_100, "{}", text.len());
        assert_eq!(kept["findings"][1]["title"], "u", "only the longest is shortened");
        let left = kept["findings"][0]["examples"].as_array().unwrap().len() as u64;
        assert_eq!(kept["left_out"]["/findings/0/examples"].as_u64().unwrap() + left, 100);
    }

    #[test]
    fn long_texts_are_cut_and_what_cannot_be_is_an_error() {
        let text = bounded(json!({"says": "ä".repeat(5_000)}), 5_000);
        assert!(
            text.len() < 5_000
                && serde_json::from_str::<Value>(&text).unwrap()["says"].as_str().unwrap().ends_with('…')
        );
        let fields: serde_json::Map<String, Value> = (0..1_000).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(bounded(Value::Object(fields), 1_000).contains("the answer is too long"));
    }
}
