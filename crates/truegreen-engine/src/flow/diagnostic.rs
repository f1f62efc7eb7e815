//! What is wrong with a contract, where, and how to mend it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Source;

/// Most errors, and most warnings, that one source may give; those beyond are counted in one last diagnostic.
pub const MAX_DIAGNOSTICS: usize = 200;

/// Whether a contract can be taken in spite of a diagnostic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The contracts are refused.
    Error,
    /// The contracts are taken, and yet may not promise what their author thinks.
    Warning,
}

/// One mistake or one doubt, and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: lower case, one sentence without a full stop.
    pub message: String,
    /// The path of its [`Source`].
    pub path: String,
    /// Bytes of the source's text, on character boundaries and within one line.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// The diagnostic with the lines it speaks of, for a terminal. `source` is the one it was found in.
    pub fn render(&self, source: &Source, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let span = whole_characters(&source.text, &self.span);
        let snippet = Snippet::source(&source.text).path(&self.path).annotation(AnnotationKind::Primary.span(span));
        let mut group = level.primary_title(&self.message).element(snippet);
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// Collects the diagnostics of one source while it is read.
pub(super) struct Notes<'a> {
    source: &'a Source,
    line_starts: Vec<usize>,
    found: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl<'a> Notes<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        let line_starts = std::iter::once(0).chain(source.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Notes { source, line_starts, found: Vec::new(), errors: 0, warnings: 0 }
    }

    pub(super) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.note(Severity::Error, span, message.into(), None);
    }

    pub(super) fn error_with(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.note(Severity::Error, span, message.into(), Some(hint.into()));
    }

    pub(super) fn warning_with(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.note(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    /// Errors so far: those beyond the bound count too, so that a flow with one is never taken.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at).max(1)
    }

    /// The first byte of the line of a byte.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.line_starts.get(self.line(at) - 1).copied().unwrap_or(0)
    }

    /// Line and column of a byte, both from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.source.text.get(self.line_start(at)..at).unwrap_or("");
        (self.line(at), before.chars().count() + 1)
    }

    fn note(&mut self, severity: Severity, span: &Range<usize>, message: String, hint: Option<String>) {
        // Each has its own bound, so that no heap of warnings hides an error.
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > MAX_DIAGNOSTICS {
            return;
        }
        let span = first_line(&self.source.text, &whole_characters(&self.source.text, span));
        let (line, column) = self.position(span.start);
        self.found.push(Diagnostic { severity, message, path: self.source.path.clone(), span, line, column, hint });
    }

    /// All of them by position, each once: what an alias repeats is one mistake.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (a.span.start, a.span.end, &a.message).cmp(&(b.span.start, b.span.end, &b.message)));
        self.found.dedup();
        for (severity, count) in [(Severity::Error, self.errors), (Severity::Warning, self.warnings)] {
            let beyond = count.saturating_sub(MAX_DIAGNOSTICS);
            if beyond > 0 {
                let end = self.source.text.len();
                let (line, column) = self.position(end);
                self.found.push(Diagnostic {
                    severity,
                    message: format!("{beyond} more are not shown"),
                    path: self.source.path.clone(),
                    span: end..end,
                    line,
                    column,
                    hint: None,
                });
            }
        }
        self.found
    }
}

/// The span, moved outwards onto character boundaries and into the text.
fn whole_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

/// What of the span is on its first line: a whole step underlined says less than its beginning.
fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let part = text.get(span.clone()).unwrap_or("");
    let line = part.split(['\n', '\r']).next().unwrap_or("");
    span.start..span.start + line.trim_end().len()
}

/// A word of the contract in a message: in backticks, on one line, cut where it is long.
pub(super) fn quoted(word: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = word.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let cut = if word.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{shown}{cut}`")
}

/// Several of them, with commas.
pub(super) fn quoted_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 24;
    let mut words = words.into_iter();
    let mut list: Vec<String> = words.by_ref().take(MOST).map(quoted).collect();
    if words.next().is_some() {
        list.push("…".to_owned());
    }
    list.join(", ")
}

/// The candidate that was most likely meant, if one is near enough to be worth a question.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 100;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let mistakes = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase().replace('-', "_"));
            (distance, candidate)
        })
        .filter(|&(distance, candidate)| distance <= mistakes && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
