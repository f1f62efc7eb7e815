//! Log lines to the sentences they are made of, with whatever varies as `*`.
//!
//! What looks like an id, a number or an address is `*` from the start. A word is one only if many words were seen in its
//! place with all others the same: "request accepted" and "request refused" are two sentences, of which one may be
//! what is missing, while names of a hundred customers are one. So lines are counted first, and settled when all of
//! them are known; the order in which they came changes nothing. (`learn::template` decides line by line, and merges
//! lines that are half alike, since there a sentence must be known when it comes.)

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::Recording;
use super::texts::{Name, Texts};

/// Words beyond these are one `*`.
const MAX_WORDS: usize = 40;
/// Bytes of a line that are read.
const MAX_BYTES: usize = 1_024;
/// So many different words in one place, all others being the same, are values of a variable. An author writes no more
/// than a handful of sentences that differ in one word.
const VARIES: usize = 10;
/// A line varies in no more places than these, or is settled crudely.
const ROUNDS: usize = 3;
/// Sentences of one service with as many words and the same first word that are kept apart. Past it every place that
/// varies is `*`.
const MAX_ALIKE: usize = 200;

const ANY: &str = "*";

/// Which masked lines there were, by service.
#[derive(Debug, Default)]
pub(super) struct Templates {
    seen: HashSet<(Name, Name), FixedState>,
}

impl Templates {
    pub(super) fn saw(&mut self, service: Name, masked: Name) {
        if masked != Name::EMPTY {
            self.seen.insert((service, masked));
        }
    }

    /// Gives each log its final template.
    pub(super) fn settle(self, recording: &mut Recording) {
        let mut seen: Vec<(Name, Name)> = self.seen.into_iter().collect();
        seen.sort_unstable();
        let mut settled: HashMap<(Name, Name), Name, FixedState> = HashMap::default();
        for of_service in seen.chunk_by(|a, b| a.0 == b.0) {
            for (masked, template) in merged(of_service, &recording.texts) {
                let template = recording.texts.add(&template);
                settled.insert((of_service[0].0, masked), template);
            }
        }
        for log in &mut recording.logs {
            if let Some(template) = settled.get(&(log.service, log.template)) {
                log.template = *template;
            }
        }
    }
}

/// A masked line on its way to its template.
struct Line<'t> {
    masked: Name,
    words: Vec<&'t str>,
}

/// Lines of one service whose templates are not themselves.
fn merged(lines: &[(Name, Name)], texts: &Texts) -> Vec<(Name, String)> {
    let mut by_length: BTreeMap<usize, Vec<Line<'_>>> = BTreeMap::new();
    for (_, masked) in lines {
        let words: Vec<&str> = texts.text(*masked).split(' ').collect();
        by_length.entry(words.len()).or_default().push(Line { masked: *masked, words });
    }
    let hasher = FixedState::default();
    let mut changed = Vec::new();
    for lines in by_length.values_mut().filter(|lines| lines.len() >= VARIES) {
        for _ in 0..ROUNDS {
            if !generalise(lines, &hasher) {
                break;
            }
        }
        crowded(lines);
        for line in lines {
            let template = line.words.join(" ");
            if template != texts.text(line.masked) {
                changed.push((line.masked, template));
            }
        }
    }
    changed
}

/// Makes each place `*` in which many words were seen with all others the same. Says whether any was.
fn generalise(lines: &mut [Line<'_>], hasher: &FixedState) -> bool {
    let place = |at: usize, word: &str| hasher.hash_one((at, word));
    let whole: Vec<u64> = lines
        .iter()
        .map(|line| line.words.iter().enumerate().fold(0, |sum: u64, (at, word)| sum.wrapping_add(place(at, word))))
        .collect();
    let mut stars = Vec::new();
    for at in 0..lines.first().map_or(0, |line| line.words.len()) {
        let mut alike: HashMap<u64, HashSet<&str, FixedState>, FixedState> = HashMap::default();
        let rest = |n: usize, line: &Line<'_>| whole[n].wrapping_sub(place(at, line.words[at]));
        for (n, line) in lines.iter().enumerate() {
            alike.entry(rest(n, line)).or_default().insert(line.words[at]);
        }
        for (n, line) in lines.iter().enumerate() {
            if line.words[at] != ANY && alike.get(&rest(n, line)).is_some_and(|words| words.len() >= VARIES) {
                stars.push((n, at));
            }
        }
    }
    for (n, at) in &stars {
        lines[*n].words[*at] = ANY;
    }
    !stars.is_empty()
}

/// Where there are still too many that begin alike, every place that varies is `*`.
fn crowded(lines: &mut [Line<'_>]) {
    let mut by_first: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, line) in lines.iter().enumerate() {
        by_first.entry(line.words[0]).or_default().push(n);
    }
    for group in by_first.into_values() {
        let distinct: HashSet<&[&str], FixedState> = group.iter().map(|n| lines[*n].words.as_slice()).collect();
        let is_crowded = distinct.len() > MAX_ALIKE;
        drop(distinct);
        if !is_crowded {
            continue;
        }
        for at in 1..lines[group[0]].words.len() {
            let words: HashSet<&str, FixedState> = group.iter().map(|n| lines[*n].words[at]).collect();
            if words.len() >= VARIES {
                group.iter().for_each(|n| lines[*n].words[at] = ANY);
            }
        }
    }
}

/// A line with whatever looks like an id as `*`, its words one space apart. Only the first line that says anything counts:
/// what follows is a stack or a dump.
pub(super) fn mask(line: &str, out: &mut String) {
    out.clear();
    let mut end = line.len().min(MAX_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let says = |line: &&str| line.chars().any(char::is_alphanumeric);
    let line = line[..end].lines().find(says).unwrap_or_default();
    let mut words = 0;
    for word in line.split_whitespace().flat_map(members) {
        if words == MAX_WORDS {
            out.push_str(" *");
            return;
        }
        let before = out.len();
        if before > 0 {
            out.push(' ');
        }
        let start = out.len();
        mask_word(word, out);
        // Numbers in a row are one, so that a list of any length reads the same.
        if out[start..].trim_matches(|c: char| !c.is_alphanumeric() && c != '*') == ANY {
            out.truncate(start);
            out.push_str(ANY);
            if out[..before].rsplit(' ').next() == Some(ANY) {
                out.truncate(before);
                continue;
            }
        }
        words += 1;
    }
}

/// JSON is written without spaces, and has words all the same: `{"a":"b","c":1}` is `{"a":`, `"b",`, `"c":` and `1}`.
fn members(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let cut = |at: &usize| {
            let (here, next) = (bytes[*at], bytes[*at + 1]);
            (here == b'"' && next == b':') || (here == b',' && next == b'"')
        };
        let end = match (0..bytes.len().saturating_sub(1)).find(cut) {
            Some(at) if bytes[at] == b'"' => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (member, after) = rest.split_at(end);
        rest = after;
        Some(member)
    })
}

/// The parts of a word between punctuation that hold a digit become `*`.
fn mask_word(word: &str, out: &mut String) {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '*');
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let wanted = is_part(first);
        let end = rest.find(|c| is_part(c) != wanted).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let is_id = wanted && part.bytes().any(|b| b.is_ascii_digit());
        out.push_str(if is_id { ANY } else { part });
        rest = after;
    }
}
