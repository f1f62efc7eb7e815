//! The names of a table's columns.

use std::collections::HashMap;

/// Each once, by its place.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    /// Its place, a new one where it is new.
    pub(super) fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    pub(super) fn name(&self, place: usize) -> &str {
        &self.names[place]
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// What to say of a column that is not there.
    pub(super) fn lacks(&self, wanted: &str, among: impl Fn(usize) -> bool) -> anyhow::Error {
        const SHOWN: usize = 40;
        let others = || self.names.iter().enumerate().filter(|(place, _)| among(*place)).map(|(_, name)| name.as_str());
        let nearest = others().map(|name| (strsim::damerau_levenshtein(name, wanted), name)).min();
        let near = nearest.filter(|(steps, _)| *steps <= 1 + wanted.chars().count() / 3);
        let hint = match near {
            Some((_, name)) => format!("did you mean {name:?}?"),
            None => {
                let shown: Vec<&str> = others().take(SHOWN).collect();
                let more = others().count().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("its columns are {}{more}", shown.join(", "))
            }
        };
        anyhow::anyhow!("there is no column {wanted:?}\nhint: {hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_or_all_of_them() {
        let mut names = Names::default();
        for name in ["region", "status", "host"] {
            names.place(name);
        }
        let told = |wanted: &str| names.lacks(wanted, |_| true).to_string();
        assert_eq!(told("stats"), "there is no column \"stats\"\nhint: did you mean \"status\"?");
        assert_eq!(told("outcome"), "there is no column \"outcome\"\nhint: its columns are region, status, host");
    }
}
