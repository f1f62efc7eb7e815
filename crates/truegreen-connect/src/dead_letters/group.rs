//! Dead letters that are alike, counted together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::letter::Letter;

/// Groups that are told apart; what is beyond them is counted as one.
pub const MAX_GROUPS: usize = 500;
/// Ids of a group that are kept.
const MAX_EXAMPLES: usize = 5;

/// By what letters are alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// Type of the error and first own frame.
    #[default]
    Error,
    /// Type of the message.
    Type,
    /// Where they came from.
    Origin,
}

impl By {
    /// All, with their names.
    pub const ALL: [(By, &'static str); 3] = [(By::Error, "error"), (By::Type, "type"), (By::Origin, "origin")];

    /// Of a name in [`By::ALL`].
    pub fn named(name: &str) -> Option<By> {
        By::ALL.into_iter().find(|(_, own)| *own == name).map(|(by, _)| by)
    }

    fn of(self, letter: &Letter) -> (&str, &str) {
        match self {
            By::Error => (&letter.error_type, &letter.frame),
            By::Type => (&letter.message_type, ""),
            By::Origin => (&letter.origin, ""),
        }
    }
}

/// Letters that are alike.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// Error type, message type or origin; empty where nothing tells.
    pub name: String,
    /// First own frame, where letters are grouped by error.
    pub frame: String,
    /// How many.
    pub letters: u64,
    /// What the error of one of them said.
    pub error: String,
    /// RFC 3339: the earliest and latest death that is told; empty where none is.
    pub first_died_at: String,
    /// The latest.
    pub last_died_at: String,
    /// Message types in it, or origins where it is grouped by type; the first few.
    pub among: Vec<String>,
    /// Ids of some.
    pub examples: Vec<String>,
}

/// Groups being counted.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by: By,
    groups: BTreeMap<(String, String), Group>,
    beyond: u64,
}

impl Groups {
    /// None yet.
    pub fn new(by: By) -> Groups {
        Groups { by, ..Groups::default() }
    }

    /// Counts one.
    pub fn add(&mut self, letter: &Letter) {
        let (name, frame) = self.by.of(letter);
        let key = (name.to_owned(), frame.to_owned());
        if !self.groups.contains_key(&key) && self.groups.len() >= MAX_GROUPS {
            self.beyond += 1;
            return;
        }
        let group = self.groups.entry(key).or_insert_with(|| Group {
            name: name.to_owned(),
            frame: frame.to_owned(),
            error: letter.error.chars().take(500).collect(),
            ..Group::default()
        });
        group.letters += 1;
        let among = if self.by == By::Type { &letter.origin } else { &letter.message_type };
        if !among.is_empty() && group.among.len() < MAX_EXAMPLES && !group.among.contains(among) {
            group.among.push(among.clone());
        }
        if group.examples.len() < MAX_EXAMPLES {
            group.examples.push(letter.id.clone());
        }
        if let Ok(died) = letter.died_at.parse::<jiff::Timestamp>() {
            let is = |other: &str, sooner: bool| match other.parse::<jiff::Timestamp>() {
                Ok(other) => (died < other) == sooner && died != other,
                Err(_) => true,
            };
            if is(&group.first_died_at, true) {
                group.first_died_at.clone_from(&letter.died_at);
            }
            if is(&group.last_died_at, false) {
                group.last_died_at.clone_from(&letter.died_at);
            }
        }
    }

    /// The largest first; and how many letters belong to groups beyond [`MAX_GROUPS`].
    pub fn counted(self) -> (Vec<Group>, u64) {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.letters));
        (groups, self.beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n: u32, error: &str, frame: &str) -> Letter {
        Letter {
            id: n.to_string(),
            error_type: error.to_owned(),
            frame: frame.to_owned(),
            message_type: format!("type-{}", n % 2),
            died_at: format!("2026-01-01T00:00:{:02}Z", n % 60),
            ..Letter::default()
        }
    }

    #[test]
    fn letters_of_one_error_at_one_frame_are_one_group() {
        let mut groups = Groups::new(By::Error);
        for n in 0..7 {
            groups.add(&letter(n, "OutOfStock", if n < 5 { "reserve" } else { "release" }));
        }
        let (groups, beyond) = groups.counted();
        assert_eq!((groups.len(), groups[0].letters, groups[1].letters, beyond), (2, 5, 2, 0));
        assert_eq!(
            (groups[0].first_died_at.as_str(), groups[0].last_died_at.as_str()),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:04Z")
        );
        assert_eq!(groups[0].among, ["type-0", "type-1"]);
        assert_eq!(By::named("origin"), Some(By::Origin));
    }

    #[test]
    fn groups_are_bounded_and_the_rest_is_counted() {
        let mut groups = Groups::new(By::Error);
        for n in 0..MAX_GROUPS as u32 + 10 {
            groups.add(&letter(n, &format!("E{n}"), ""));
        }
        let (groups, beyond) = groups.counted();
        assert_eq!((groups.len(), beyond), (MAX_GROUPS, 10));
    }
}
