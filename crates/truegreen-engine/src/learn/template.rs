//! Log lines to templates, as they come: a tree of fixed depth by service, number of words and first words leads to
//! the few templates that a line can belong to; it joins the one most alike, whose differing words become `*`, or
//! begins its own. What looks like an id, a number or an address is `*` beforehand.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Most templates; lines past it are template 0, `*`.
pub const MAX_TEMPLATES: usize = 5_000;
/// Most templates of one leaf; a line alike to none of that many joins the most alike all the same.
const MAX_LEAF: usize = 48;
/// Words beyond these are one `*`.
const MAX_WORDS: usize = 32;
/// Bytes of a line that are read, and only its first line.
const MAX_BYTES: usize = 1_024;
/// Share of words that must be the same.
const ALIKE: f64 = 0.5;

/// What stands for anything.
const ANY: &str = "*";

/// All templates.
#[derive(Clone, Debug)]
pub struct Templates {
    templates: Vec<Vec<Box<str>>>,
    leaves: HashMap<Leaf, SmallVec<[u32; 4]>, FixedState>,
    /// Lines that found no room.
    pub overflowed: u64,
}

type Leaf = (Box<str>, u8, Box<str>, Box<str>);

impl Default for Templates {
    fn default() -> Self {
        Templates { templates: vec![vec![ANY.into()]], leaves: HashMap::default(), overflowed: 0 }
    }
}

impl Templates {
    /// The template of a line of this service.
    pub fn add(&mut self, service: &str, line: &str) -> u32 {
        let words = words(line);
        let word = |at: usize| words.get(at).map_or("", |word| if word.contains('*') { ANY } else { word });
        let leaf: Leaf = (service.into(), words.len() as u8, word(0).into(), word(1).into());
        let known = self.leaves.entry(leaf).or_default();
        let mut best = None;
        for id in known.iter().copied() {
            let Some(template) = self.templates.get(id as usize) else { continue };
            let same = likeness(template, &words);
            if best.is_none_or(|(_, most)| same > most) {
                best = Some((id, same));
            }
        }
        let full = known.len() >= MAX_LEAF;
        match best {
            Some((id, same)) if same >= ALIKE || full => {
                self.join(id, &words);
                id
            }
            _ if self.templates.len() >= MAX_TEMPLATES => {
                self.overflowed += 1;
                0
            }
            _ => {
                let id = self.templates.len() as u32;
                known.push(id);
                self.templates.push(words);
                id
            }
        }
    }

    fn join(&mut self, id: u32, words: &[Box<str>]) {
        let Some(template) = self.templates.get_mut(id as usize) else { return };
        for (word, other) in template.iter_mut().zip(words) {
            if word != other && &**word != ANY {
                *word = ANY.into();
            }
        }
    }

    /// A template as text in which `*` stands for anything.
    pub fn text(&self, id: u32) -> String {
        self.templates.get(id as usize).map_or_else(|| ANY.to_owned(), |words| words.join(" "))
    }
}

fn likeness(template: &[Box<str>], words: &[Box<str>]) -> f64 {
    let same = template.iter().zip(words).filter(|(word, other)| word == other).count();
    same as f64 / words.len().max(1) as f64
}

/// The words of a line, with whatever looks like an id as `*`.
fn words(line: &str) -> Vec<Box<str>> {
    let mut end = line.len().min(MAX_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let first = line[..end].lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut words: Vec<Box<str>> = first.split_whitespace().take(MAX_WORDS).map(|word| mask(word).into()).collect();
    if words.len() == MAX_WORDS
        && let Some(last) = words.last_mut()
    {
        *last = ANY.into();
    }
    if words.is_empty() {
        words.push("".into());
    }
    words
}

/// The parts of a word between punctuation that hold a digit become `*`.
fn mask(word: &str) -> String {
    let mut masked = String::with_capacity(word.len());
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '*');
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let wanted = is_part(first);
        let end = rest.find(|c| is_part(c) != wanted).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if wanted && part.bytes().any(|b| b.is_ascii_digit()) {
            masked.push_str(ANY);
        } else {
            masked.push_str(part);
        }
        rest = after;
    }
    masked
}

/// The name of a span with ids in its path as `*`: `GET /users/17/orders` is `GET /users/*/orders`.
pub(crate) fn mask_path(name: &str) -> String {
    let is_id = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let hex = part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        digits > 0 && (digits == part.len() || (hex && part.len() >= 8) || digits >= 6)
    };
    if !name.bytes().any(|b| b.is_ascii_digit()) {
        return name.to_owned();
    }
    let part = |part: &str| if is_id(part) { ANY.to_owned() } else { part.to_owned() };
    let word = |word: &str| word.split('/').map(part).collect::<Vec<_>>().join("/");
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_ids_and_words_share_a_template() {
        let mut templates = Templates::default();
        let first = templates.add("a", "order 17 from 10.0.0.1:443 accepted by worker alpha");
        let second = templates.add("a", "order 4711 from 10.0.0.9:443 accepted by worker beta");
        assert_eq!(first, second);
        assert_eq!(templates.text(first), "order * from *:* accepted by worker *");
        let other = templates.add("a", "order 17 was refused: no stock");
        assert_ne!(first, other);
        assert_ne!(templates.add("b", "order 17 was refused: no stock"), other, "services are apart");
        assert_eq!(templates.text(other), "order * was refused: no stock");
    }

    #[test]
    fn the_same_lines_give_the_same_templates() {
        let lines: Vec<String> = (0..3_000).map(|n| format!("step{} of job {} took {n} ms", n % 7, n % 13)).collect();
        let run = || {
            let mut templates = Templates::default();
            let ids: Vec<u32> = lines.iter().map(|line| templates.add("a", line)).collect();
            (ids, templates.templates)
        };
        assert_eq!(run(), run());
        assert!(run().1.len() < 20, "{:?}", run().1);
    }

    #[test]
    fn hostile_lines_stay_within_bounds() {
        let mut templates = Templates::default();
        for n in 0..u32::try_from(MAX_TEMPLATES).unwrap() + 100 {
            let word: String = n.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect();
            templates.add(&word, &format!("{word} {word}"));
        }
        assert_eq!((templates.templates.len(), templates.overflowed), (MAX_TEMPLATES, 101));
        templates.add("a", &"ä ".repeat(10_000));
        templates.add("a", "");
        templates.add("a", "\n\n");
    }

    #[test]
    fn ids_in_paths_are_any() {
        let cases = [
            ("GET /users/17/orders", "GET /users/*/orders"),
            ("GET /api/v1/users", "GET /api/v1/users"),
            ("GET /o/0a1b2c3d-1111-2222-3333-444455556666", "GET /o/*"),
            ("UPDATE stock", "UPDATE stock"),
        ];
        for (name, masked) in cases {
            assert_eq!(mask_path(name), masked);
        }
    }
}
