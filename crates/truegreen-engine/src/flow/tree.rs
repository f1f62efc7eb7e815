//! YAML text as a tree that remembers where everything stood, so that every mistake can be pointed at and not only
//! the first. Bounded: by the size of the text, by depth, and by what aliases may unfold to.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostic::{Notes, quoted};

/// Longest text of one source.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Deepest nesting of brackets, and of indentation; a contract needs about ten.
const MAX_NESTING: usize = 32;
/// What all anchors and aliases of one source may copy, in bytes, a node counting [`NODE_COST`].
const MAX_COPIED: usize = 4 << 20;
const NODE_COST: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `plain`: written without quotes, so that it may be a number, true, false or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the text; every key once.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    fn null(span: Range<usize>) -> Node {
        let value = Value::Scalar { text: String::new(), plain: true };
        Node { span, value }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, to be read after "found".
    pub(super) fn found(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Value::Scalar { text, .. } => quoted(text),
        }
    }

    fn cost(&self) -> usize {
        NODE_COST
            + match &self.value {
                Value::Scalar { text, .. } => text.len(),
                Value::List(items) => items.iter().map(Node::cost).sum(),
                Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.value.cost()).sum(),
            }
    }
}

/// One YAML document.
pub(super) struct Document {
    pub(super) root: Node,
    /// Nothing in it was wrong as YAML, so that what is not there was not written.
    pub(super) sound: bool,
}

/// All documents of a source that could be read to their end; empty ones are left out.
pub(super) fn documents(text: &str, notes: &mut Notes<'_>) -> Vec<Document> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_NESTING,
        block_nesting_limit: MAX_NESTING,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(text);
    let mut documents = Vec::new();
    let mut errors_before = 0;
    loop {
        match parser.next_event() {
            None => return documents,
            Some(Ok((Event::DocumentStart(..), _))) => {
                errors_before = notes.errors();
                builder.start_document();
            }
            Some(Ok((Event::DocumentEnd, _))) => {
                let sound = notes.errors() == errors_before;
                let root = builder.root.take().filter(|root| !root.is_null());
                documents.extend(root.map(|root| Document { root, sound }));
            }
            Some(Ok((event, span))) => builder.take(event, &span, notes),
            Some(Err(error)) => {
                syntax_error(text, &error, notes);
                // The rest of that document cannot be read; the ones after it can.
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

fn syntax_error(text: &str, error: &ScanError, notes: &mut Notes<'_>) {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let next = text[text.ceil_char_boundary(at)..].chars().next();
    let span = at..at + next.filter(|c| !c.is_control()).map_or(0, char::len_utf8);
    let message = format!("not YAML: {}", error.info());
    let line = text.get(notes.line_start(at)..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let indentation = &line[..line.len() - line.trim_start().len()];
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start_matches([' ', '-']);
    if indentation.contains('\t') {
        notes.error_with(&span, message, "indent with spaces; YAML takes no tabs");
    } else if value.starts_with(['*', '@', '%', '`', '&', '!']) {
        notes.error_with(&span, message, format!("put the value in quotes: {:?}", value.trim_end()));
    } else if value.contains(": ") {
        notes.error_with(&span, message, "a value with `: ` in it must be in quotes");
    } else {
        notes.error(&span, message);
    }
}

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, waiting: Waiting },
}

/// What a mapping waits for.
enum Waiting {
    Key,
    Value(String, Range<usize>),
    /// A value whose key was wrong or a repeated one.
    Ignored,
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    unfinished: HashSet<usize>,
    copied: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        Builder { text, open: Vec::new(), root: None, anchors: HashMap::new(), unfinished: HashSet::new(), copied: 0 }
    }

    /// What an earlier document left behind when it broke off is forgotten.
    fn start_document(&mut self) {
        self.open.clear();
        self.root = None;
        self.anchors.clear();
        self.unfinished.clear();
    }

    fn take(&mut self, event: Event<'_>, span: &Span, notes: &mut Notes<'_>) {
        let range = span.byte_range().unwrap_or(0..0);
        if let Some(tag) = event.tag() {
            let place = span.tag_span().and_then(|tag| tag.byte_range()).unwrap_or(range.clone());
            notes.error_with(
                &place,
                format!("the tag {} means nothing in a contract", quoted(&tag.original())),
                "take it out",
            );
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.complete(Node { span: range, value }, anchor, notes);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(range.start, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), waiting: Waiting::Key };
                self.begin(range.start, anchor, content);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range.end, notes),
            Event::Alias(id) => self.alias(id, range, notes),
            Event::UnresolvedAlias(name) => {
                notes.error_with(
                    &range,
                    format!("`*{name}` is an alias in YAML, and no `&{name}` stands before it"),
                    format!("text that starts with `*` must be in quotes: \"*{name}\""),
                );
                self.complete(Node::null(range), 0, notes);
            }
            _ => {}
        }
    }

    fn begin(&mut self, start: usize, anchor: usize, content: Content) {
        if anchor != 0 {
            self.unfinished.insert(anchor);
        }
        self.open.push(Open { start, anchor, content });
    }

    fn end(&mut self, end: usize, notes: &mut Notes<'_>) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        self.unfinished.remove(&open.anchor);
        let span = open.start..end.max(open.start);
        self.complete(Node { span, value }, open.anchor, notes);
    }

    fn alias(&mut self, id: usize, span: Range<usize>, notes: &mut Notes<'_>) {
        let copy = match self.anchors.get(&id) {
            Some(node) if self.copied + node.cost() <= MAX_COPIED => {
                self.copied += node.cost();
                Node { span, value: node.value.clone() }
            }
            _ if self.unfinished.contains(&id) => {
                notes.error(&span, "this alias stands inside of what it names");
                Node::null(span)
            }
            _ => {
                notes.error_with(
                    &span,
                    format!("the aliases of this file unfold to more than {MAX_COPIED} bytes"),
                    "write the repeated parts out, or split the file",
                );
                Node::null(span)
            }
        };
        self.complete(copy, 0, notes);
    }

    fn complete(&mut self, node: Node, anchor: usize, notes: &mut Notes<'_>) {
        if anchor != 0 {
            let cost = node.cost();
            if self.copied + cost <= MAX_COPIED {
                self.copied += cost;
                self.anchors.insert(anchor, node.clone());
            }
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, seen, waiting } => match std::mem::replace(waiting, Waiting::Key) {
                Waiting::Key => *waiting = key(node, seen, notes),
                Waiting::Value(key, key_span) => {
                    let value = on_its_key(node, self.text, &key_span);
                    entries.push(Entry { key, key_span, value });
                }
                Waiting::Ignored => {}
            },
        }
    }
}

fn key(node: Node, seen: &mut HashMap<String, usize>, notes: &mut Notes<'_>) -> Waiting {
    let Value::Scalar { text, .. } = node.value else {
        notes.error(&node.span, format!("expected a field's name, found {}", node.found()));
        return Waiting::Ignored;
    };
    if let Some(&first) = seen.get(&text) {
        let line = notes.line(first);
        notes.error_with(
            &node.span,
            format!("{} is given twice", quoted(&text)),
            format!("the first is on line {line}; take one of them out"),
        );
        return Waiting::Ignored;
    }
    seen.insert(text.clone(), node.span.start);
    Waiting::Value(text, node.span)
}

/// A value that is not there has no place of its own: its key is where to look.
fn on_its_key(mut node: Node, text: &str, key_span: &Range<usize>) -> Node {
    if node.is_null() && text.get(node.span.clone()).is_none_or(str::is_empty) {
        node.span = key_span.clone();
    }
    node
}
