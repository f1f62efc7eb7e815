//! Client and producer spans whose server or consumer span does not come within ten seconds, as metrics of service
//! graphs count them; more than one in a hundred of an edge over five minutes, where the edge was ever whole. Links are
//! followed, which the usual processors do not do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use truegreen_model::flow::SpanKind;

use super::Rule;
use crate::campaign::fleet::Service;
use crate::campaign::record::{Content, Context, Span};

const WAITS: f64 = 10.0;
const WINDOW: f64 = 300.0;
const SHARE: f64 = 0.01;
const FEWEST: usize = 5;

type Edge = (Service, &'static str);

#[derive(Debug, Default)]
pub(super) struct Unpaired {
    waiting: HashMap<Context, Edge>,
    due: VecDeque<(f64, Context)>,
    /// Spans that were answered before they came.
    answered: HashSet<Context>,
    forgets: VecDeque<(f64, Context)>,
    /// By edge: when, and whether it was paired.
    ends: BTreeMap<Edge, VecDeque<(f64, bool)>>,
    was_whole: BTreeSet<Edge>,
}

impl Rule for Unpaired {
    fn hear(&mut self, at: f64, service: Service, content: &Content) {
        let Content::Spans(spans) = content else { return };
        for span in spans {
            match span.kind {
                SpanKind::Client | SpanKind::Producer => {
                    let Some(edge) = edge(service, span) else { continue };
                    if self.answered.contains(&span.context) {
                        self.end(at, edge, true);
                    } else {
                        self.waiting.insert(span.context, edge);
                        self.due.push_back((at + WAITS, span.context));
                    }
                }
                SpanKind::Server | SpanKind::Consumer => self.answer(at, span),
                _ => {}
            }
        }
    }

    fn firing(&mut self, now: f64) -> BTreeSet<String> {
        while let Some((_, context)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            if let Some(edge) = self.waiting.remove(&context) {
                self.end(now, edge, false);
            }
        }
        while let Some((_, context)) = self.forgets.pop_front_if(|(due, _)| *due <= now) {
            self.answered.remove(&context);
        }
        let mut broken = BTreeSet::new();
        for (edge, ends) in &mut self.ends {
            while ends.pop_front_if(|(at, _)| *at <= now - WINDOW).is_some() {}
            let unpaired = ends.iter().filter(|(_, paired)| !paired).count();
            let is_broken = unpaired >= FEWEST && unpaired as f64 > SHARE * ends.len() as f64;
            if is_broken && self.was_whole.contains(edge) {
                broken.insert(format!("{} to {}", edge.0.name(), edge.1));
            }
        }
        broken
    }
}

impl Unpaired {
    fn answer(&mut self, at: f64, span: &Span) {
        let parent = (span.parent != 0).then_some(Context { trace: span.context.trace, span: span.parent });
        let Some(context) = span.link.or(parent) else { return };
        match self.waiting.remove(&context) {
            Some(edge) => self.end(at, edge, true),
            None => {
                if self.answered.insert(context) {
                    self.forgets.push_back((at + WAITS, context));
                }
            }
        }
    }

    fn end(&mut self, at: f64, edge: Edge, paired: bool) {
        self.ends.entry(edge).or_default().push_back((at, paired));
        if paired {
            self.was_whole.insert(edge);
        }
    }
}

/// Calls of databases have no other end, and are no edge.
fn edge(service: Service, span: &Span) -> Option<Edge> {
    if span.name_of("db.system.name").is_some() || span.name_of("messaging.operation.type") == Some("settle") {
        return None;
    }
    let peer = span.name_of("messaging.destination.name").or_else(|| span.name_of("server.address"))?;
    Some((service, peer))
}
