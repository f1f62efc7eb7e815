//! The names of one learning: activities, attributes and their values, each kept once and bounded.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use truegreen_model::flow::SpanKind;

use super::template::Templates;

/// Most activities that are told apart; the rest are one.
pub(crate) const MAX_ACTIVITIES: usize = 20_000;
/// Most attributes that may explain an exception.
pub(crate) const MAX_ATTRIBUTES: usize = 256;
/// An attribute with more values than this names things rather than kinds, and explains nothing.
pub(crate) const MAX_VALUES: usize = 32;
/// Most activities that are seen to lead to one.
const MAX_LEADING: usize = 32;
/// Longest name that is kept, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Index into a [`Vocabulary`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActivityId(pub u32);

/// What may happen in a case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Activity {
    /// A span.
    Span {
        /// `service.name`.
        service: Box<str>,
        /// Its kind.
        kind: SpanKind,
        /// Its name, with ids in paths as `*`.
        name: Box<str>,
    },
    /// A log record with an event name.
    Event {
        /// `service.name`.
        service: Box<str>,
        /// The event name.
        name: Box<str>,
    },
    /// A log line, by its template.
    Line {
        /// `service.name`.
        service: Box<str>,
        /// Index among the templates.
        template: u32,
    },
    /// An activity of a plain event log.
    Plain {
        /// Its name.
        name: Box<str>,
    },
    /// Whatever came past the bound.
    Other,
}

impl Activity {
    /// Who does it; empty for a plain event log.
    pub fn service(&self) -> &str {
        match self {
            Activity::Span { service, .. } | Activity::Event { service, .. } | Activity::Line { service, .. } => {
                service
            }
            Activity::Plain { .. } | Activity::Other => "",
        }
    }

    /// The kind of span; `None` for what is no span.
    pub fn kind(&self) -> Option<SpanKind> {
        match self {
            Activity::Span { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// Names by number.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    activities: Vec<Activity>,
    by_activity: HashMap<Activity, ActivityId, FixedState>,
    attributes: Vec<Attribute>,
    by_attribute: HashMap<Box<str>, u16, FixedState>,
    /// Learning is over: what is new from now on explains nothing that was learned.
    pub(crate) learned: bool,
    pub(crate) templates: Templates,
    /// What was seen to lead to it: the span around it, or the one it links to.
    led_by: HashMap<ActivityId, SmallVec<[ActivityId; 4]>, FixedState>,
    /// Spans that only take or settle messages: no effect, whatever their kind.
    pub(crate) plumbing: HashSet<ActivityId, FixedState>,
}

/// An attribute and its values.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Attribute {
    name: Box<str>,
    values: Vec<Box<str>>,
    /// It has more values than are kept.
    names_things: bool,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Vocabulary {
            activities: vec![Activity::Other],
            by_activity: HashMap::default(),
            attributes: Vec::new(),
            by_attribute: HashMap::default(),
            learned: false,
            templates: Templates::default(),
            led_by: HashMap::default(),
            plumbing: HashSet::default(),
        }
    }
}

impl Vocabulary {
    /// The number of an activity.
    pub fn activity(&mut self, activity: Activity) -> ActivityId {
        if let Some(id) = self.by_activity.get(&activity) {
            return *id;
        }
        if self.activities.len() >= MAX_ACTIVITIES {
            return ActivityId(0);
        }
        let id = ActivityId(self.activities.len() as u32);
        self.activities.push(activity.clone());
        self.by_activity.insert(activity, id);
        id
    }

    /// The activity of this number.
    pub fn get(&self, id: ActivityId) -> &Activity {
        self.activities.get(id.0 as usize).unwrap_or(&Activity::Other)
    }

    /// Activities so far; later ones have higher numbers.
    pub fn activities(&self) -> u32 {
        self.activities.len() as u32
    }

    /// An activity as people read it: short, without its service.
    pub fn name(&self, id: ActivityId) -> String {
        match self.get(id) {
            Activity::Span { name, .. } | Activity::Event { name, .. } | Activity::Plain { name } => name.to_string(),
            Activity::Line { template, .. } => self.templates.text(*template),
            Activity::Other => "other".to_owned(),
        }
    }

    /// An activity with its service.
    pub fn full_name(&self, id: ActivityId) -> String {
        match self.get(id).service() {
            "" => self.name(id),
            service => format!("{service}: {}", self.name(id)),
        }
    }

    /// The numbers of an attribute and its value; `None` where it names things, or past the bound.
    pub(crate) fn attribute(&mut self, name: &str, value: &str) -> Option<(u16, u16)> {
        if name.len() > MAX_TEXT_BYTES || value.len() > MAX_TEXT_BYTES {
            return None;
        }
        let id = match self.by_attribute.get(name) {
            Some(id) => *id,
            None if self.attributes.len() >= MAX_ATTRIBUTES => return None,
            None => {
                let id = self.attributes.len() as u16;
                self.attributes.push(Attribute { name: name.into(), values: Vec::new(), names_things: false });
                self.by_attribute.insert(name.into(), id);
                id
            }
        };
        let attribute = self.attributes.get_mut(usize::from(id))?;
        if attribute.names_things && !self.learned {
            return None;
        }
        if let Some(known) = attribute.values.iter().position(|known| **known == *value) {
            return Some((id, known as u16));
        }
        if attribute.values.len() >= MAX_VALUES {
            attribute.names_things |= !self.learned;
            return None;
        }
        attribute.values.push(value.into());
        Some((id, (attribute.values.len() - 1) as u16))
    }

    /// One activity was seen to lead to another.
    pub(crate) fn leads(&mut self, from: ActivityId, to: ActivityId) {
        let leading = self.led_by.entry(to).or_default();
        if leading.len() < MAX_LEADING && !leading.contains(&from) {
            leading.push(from);
        }
    }

    pub(crate) fn led_by(&self, to: ActivityId) -> &[ActivityId] {
        self.led_by.get(&to).map_or(&[], SmallVec::as_slice)
    }

    pub(crate) fn attribute_name(&self, id: u16) -> &str {
        self.attributes.get(usize::from(id)).map_or("", |attribute| &attribute.name)
    }

    pub(crate) fn value(&self, id: u16, value: u16) -> &str {
        let attribute = self.attributes.get(usize::from(id));
        attribute.and_then(|attribute| attribute.values.get(usize::from(value))).map_or("", |value| value)
    }

    /// How many values an attribute has; 0 where it names things.
    pub(crate) fn values(&self, id: u16) -> usize {
        self.attributes.get(usize::from(id)).map_or(0, |attribute| attribute.values.len())
    }

    pub(crate) fn attributes(&self) -> u16 {
        self.attributes.len() as u16
    }

    /// `service.name`s and names are cut so that hostile ones stay small.
    pub(crate) fn cut(text: &str) -> Box<str> {
        let mut end = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].into()
    }
}
