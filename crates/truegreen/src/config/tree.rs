//! A configuration file as a tree that remembers where each value stands, read field by field so that every mistake
//! is found before any is reported.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One YAML value.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    /// A scalar, as text.
    Scalar(String),
    List(Vec<Spanned<Node>>),
    Map(BTreeMap<String, Spanned<Node>>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(Node::Map(map))
    }
}

/// One thing wrong with a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Line, from 1; 0 where it is about the file as a whole.
    pub line: u64,
    /// What is wrong, and how to mend it.
    pub message: String,
}

/// One mapping of the file, from which fields are taken one by one.
pub(super) struct Section<'a> {
    path: String,
    line: u64,
    fields: BTreeMap<&'a str, &'a Spanned<Node>>,
    known: Vec<&'static str>,
    mistakes: &'a RefCell<Vec<Mistake>>,
}

impl<'a> Section<'a> {
    /// Reads `node` as a mapping; anything else is a mistake and gives an empty one.
    pub(super) fn new(path: &str, node: &'a Spanned<Node>, mistakes: &'a RefCell<Vec<Mistake>>) -> Section<'a> {
        let mut section = Section {
            path: path.to_owned(),
            line: node.referenced.line(),
            fields: BTreeMap::new(),
            known: Vec::new(),
            mistakes,
        };
        match &node.value {
            Node::Map(map) => section.fields = map.iter().map(|(key, value)| (key.as_str(), value)).collect(),
            Node::Null => {}
            _ => section.complain(section.line, format!("{} is not a mapping of fields", section.shown_path())),
        }
        section
    }

    /// Takes a scalar field, if it is there and can be read.
    pub(super) fn scalar<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let node = self.take(name)?;
        let line = node.referenced.line();
        let Node::Scalar(text) = &node.value else {
            self.complain(line, format!("`{}` is not a single value", self.path_of(name)));
            return None;
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(line, format!("`{}`: {wrong}", self.path_of(name)));
                None
            }
        }
    }

    /// Takes a field that must be there.
    pub(super) fn required<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if !self.fields.contains_key(name) {
            self.known.push(name);
            self.complain(self.line, format!("`{}` is missing", self.path_of(name)));
            return None;
        }
        self.scalar(name, read)
    }

    /// Takes a nested mapping.
    pub(super) fn section(&mut self, name: &'static str) -> Option<Section<'a>> {
        let node = self.take(name)?;
        Some(Section::new(&self.path_of(name), node, self.mistakes))
    }

    /// Whether a field is there and holds fields of its own.
    pub(super) fn is_mapping(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|node| matches!(node.value, Node::Map(_)))
    }

    /// Takes a list of nested mappings.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Section<'a>> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let Node::List(items) = &node.value else {
            self.complain(node.referenced.line(), format!("`{}` is not a list", self.path_of(name)));
            return Vec::new();
        };
        let path = self.path_of(name);
        let nested = items.iter().enumerate();
        nested.map(|(n, item)| Section::new(&format!("{path}[{n}]"), item, self.mistakes)).collect()
    }

    /// Takes a nested mapping whose names are the user's own.
    pub(super) fn named(&mut self, name: &'static str) -> Vec<(&'a str, Section<'a>)> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let path = self.path_of(name);
        let Node::Map(map) = &node.value else {
            self.complain(node.referenced.line(), format!("`{path}` is not a mapping of names"));
            return Vec::new();
        };
        map.iter().map(|(of, node)| (of.as_str(), Section::new(&format!("{path}.{of}"), node, self.mistakes))).collect()
    }

    /// Takes a list of single values.
    pub(super) fn list<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let path = self.path_of(name);
        let Node::List(items) = &node.value else {
            self.complain(node.referenced.line(), format!("`{path}` is not a list"));
            return Vec::new();
        };
        let mut values = Vec::new();
        for item in items {
            let value = match &item.value {
                Node::Scalar(text) => read(text),
                _ => Err("not a single value".to_owned()),
            };
            match value {
                Ok(value) => values.push(value),
                Err(wrong) => self.complain(item.referenced.line(), format!("`{path}`: {wrong}")),
            }
        }
        values
    }

    /// Complains of every field that was not asked for. Call it last.
    pub(super) fn finish(self) {
        for (name, node) in &self.fields {
            if self.known.contains(name) {
                continue;
            }
            let hint = format!("fields here are: {}", self.known.join(", "));
            let message = format!("unknown field `{}`\nhint: {hint}", self.path_of(name));
            self.complain(node.referenced.line(), message);
        }
    }

    /// Notes a mistake about this section as a whole.
    pub(super) fn wrong(&self, message: String) {
        self.complain(self.line, message);
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Spanned<Node>> {
        self.known.push(name);
        let node = *self.fields.get(name)?;
        (!matches!(node.value, Node::Null)).then_some(node)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn shown_path(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", self.path) }
    }

    fn complain(&self, line: u64, message: String) {
        self.mistakes.borrow_mut().push(Mistake { line, message });
    }
}
