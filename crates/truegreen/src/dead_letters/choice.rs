//! Which letters are meant.

use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::dead_letters::search::Query;
use truegreen_model::letter::Letter;

/// Letters that fit all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// These ids; empty for all.
    pub ids: Vec<String>,
    /// This type of error.
    pub error_type: Option<String>,
    /// This first own frame.
    pub frame: Option<String>,
    /// This type of message.
    pub message_type: Option<String>,
    /// From here.
    pub origin: Option<String>,
    /// In which this is found.
    pub query: Option<Query>,
    /// The same as typed.
    pub searched: Option<String>,
    /// At most so many, the first ones.
    pub limit: Option<usize>,
}

impl Choice {
    /// Whether every letter fits.
    pub fn is_all(&self) -> bool {
        *self == Choice { limit: self.limit, ..Choice::default() }
    }

    /// Whether this one does.
    pub fn fits(&self, letter: &Letter, redaction: &Redaction) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && is(&self.error_type, &letter.error_type)
            && is(&self.frame, &letter.frame)
            && is(&self.message_type, &letter.message_type)
            && is(&self.origin, &letter.origin)
            && self.query.as_ref().is_none_or(|query| query.finds(letter, redaction))
    }

    /// The same in words, for the record.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        if !self.ids.is_empty() {
            let shown: Vec<&str> = self.ids.iter().take(5).map(String::as_str).collect();
            let more = if self.ids.len() > shown.len() { ", …" } else { "" };
            words.push(format!("ids {}{more}", shown.join(", ")));
        }
        let fields = [
            ("error", &self.error_type),
            ("frame", &self.frame),
            ("type", &self.message_type),
            ("origin", &self.origin),
            ("search", &self.searched),
        ];
        words.extend(fields.into_iter().filter_map(|(name, value)| Some(format!("{name} {:?}", value.as_ref()?))));
        let all = if words.is_empty() { "all".to_owned() } else { words.join(", ") };
        match self.limit {
            Some(limit) => format!("{all}, the first {limit}"),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_must_fit_all_of_it() {
        let letter = Letter { id: "1".into(), error_type: "Bad".into(), origin: "orders".into(), ..Letter::default() };
        let fits = |choice: Choice| choice.fits(&letter, &Redaction::default());
        assert!(fits(Choice::default()) && Choice::default().is_all());
        let choice = Choice { error_type: Some("Bad".into()), origin: Some("orders".into()), ..Choice::default() };
        assert_eq!(choice.in_words(), "error \"Bad\", origin \"orders\"");
        assert!(!choice.is_all() && fits(choice));
        assert!(!fits(Choice { ids: vec!["2".into()], ..Choice::default() }));
        assert!(!fits(Choice { query: Some(Query::new("nothing")), ..Choice::default() }));
    }
}
