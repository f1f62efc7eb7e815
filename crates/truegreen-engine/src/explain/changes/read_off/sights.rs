//! When each value was seen first and last, and what that proves.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::change::{Change, ChangeKind};

use super::stretches::caller;
use super::{SURE, seen};
use crate::explain::recording::{Attributes, Name, Recording, Span};

/// Fewer records without it prove nothing.
const LEAST: usize = 20;
/// Nanoseconds for which a service was heard without it, before or since: who exports once a minute has told of each instance by
/// then.
const HEARD_WITHOUT: u64 = 60_000_000_000;
/// Most instances that are named.
const MOST_INSTANCES: usize = 200;

/// What a value is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Of {
    Version,
    Image,
    Host,
    Instance,
    Flag,
    Called,
    Address,
    Queue,
}

impl Of {
    fn kind(self) -> ChangeKind {
        match self {
            Of::Version | Of::Image => ChangeKind::Release,
            Of::Host => ChangeKind::Infrastructure,
            Of::Instance => ChangeKind::Scaling,
            Of::Flag => ChangeKind::FeatureFlag,
            Of::Called => ChangeKind::Dependency,
            Of::Address | Of::Queue => ChangeKind::Config,
        }
    }

    fn says(self, service: &str, value: &str) -> String {
        match self {
            Of::Version => format!("{service} runs version {value}"),
            Of::Image => format!("{service} runs image {value}"),
            Of::Host => format!("{service} runs on {value}"),
            Of::Instance => format!("{service} has an instance {value}"),
            Of::Flag => format!("{service} sees flag {value}"),
            Of::Called => format!("{service} calls {value}"),
            Of::Address => format!("{service} uses {value}"),
            Of::Queue => format!("{service} works on {value}"),
        }
    }

    /// Whether it means something that it is seen no more. A version that is gone is the other side of a new one.
    fn may_vanish(self) -> bool {
        matches!(self, Of::Instance | Of::Called | Of::Host)
    }

    fn attribute(self) -> &'static str {
        match self {
            Of::Version => "service.version",
            Of::Image => "container.image.name",
            Of::Host => "host.name",
            Of::Instance => "service.instance.id",
            Of::Flag => "feature_flag.result.variant",
            Of::Called => "callee",
            Of::Address => "server.address",
            Of::Queue => "messaging.destination.name",
        }
    }
}

#[derive(Default)]
struct Sight {
    times: Vec<u64>,
    instances: BTreeSet<Name>,
}

/// All values of all services.
pub(super) struct Sights<'r> {
    recording: &'r Recording,
    /// By service: when its spans began.
    services: BTreeMap<Name, Vec<u64>>,
    values: BTreeMap<(Name, Of, String), Sight>,
}

struct Keys {
    version: Option<Name>,
    image: Option<Name>,
    image_tag: Option<Name>,
    flag: Option<Name>,
    variants: Vec<Name>,
    addresses: Vec<Name>,
    queues: Vec<Name>,
}

impl Keys {
    fn of(recording: &Recording) -> Keys {
        let name = |text: &str| recording.name(text);
        let names = |texts: &[&str]| texts.iter().filter_map(|text| recording.name(text)).collect();
        Keys {
            version: name("service.version"),
            image: name("container.image.name"),
            image_tag: name("container.image.tags")
                .or_else(|| name("container.image.tag"))
                .or_else(|| name("container.image.id")),
            flag: name("feature_flag.key"),
            variants: names(&["feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value"]),
            addresses: names(&["server.address", "net.peer.name"]),
            queues: names(&["messaging.destination.name", "messaging.destination"]),
        }
    }
}

/// A value, when it was seen, and how surely it was not there before.
type First<'s> = (&'s str, &'s Sight, f64);

impl<'r> Sights<'r> {
    pub(super) fn of(recording: &'r Recording) -> Sights<'r> {
        let keys = Keys::of(recording);
        let mut sights = Sights { recording, services: BTreeMap::new(), values: BTreeMap::new() };
        for span in recording.spans() {
            sights.services.entry(span.service).or_default().push(span.start);
            sights.resource(&keys, span);
            sights.span(&keys, span);
        }
        for log in recording.logs() {
            if let Some(text) = sights.flag(&keys, log.attributes) {
                sights.note(log.service, log.instance, Of::Flag, text, log.time);
            }
        }
        sights.services.values_mut().for_each(|times| times.sort_unstable());
        sights.values.values_mut().for_each(|sight| sight.times.sort_unstable());
        sights
    }

    fn note(&mut self, service: Name, instance: Name, of: Of, value: String, at: u64) {
        if value.is_empty() {
            return;
        }
        let sight = self.values.entry((service, of, value)).or_default();
        sight.times.push(at);
        if sight.instances.len() < MOST_INSTANCES && instance != Name::EMPTY {
            sight.instances.insert(instance);
        }
    }

    fn text(&self, of: Attributes, key: Option<Name>) -> Option<String> {
        self.recording.attribute(of, key?).map(|value| self.recording.text(value).to_owned())
    }

    fn resource(&mut self, keys: &Keys, span: &Span) {
        let Some(resource) = self.recording.resource(span.resource).copied() else { return };
        let text = |key: Option<Name>| self.text(resource.attributes, key);
        let image = text(keys.image)
            .map(|name| text(keys.image_tag).map_or_else(|| name.clone(), |tag| format!("{name}:{tag}")));
        let told = [
            (Of::Version, text(keys.version)),
            (Of::Image, image),
            (Of::Host, Some(self.recording.text(resource.host).to_owned())),
            (Of::Instance, Some(self.recording.text(resource.instance).to_owned())),
        ];
        for (of, value) in told {
            self.note(span.service, span.instance, of, value.unwrap_or_default(), span.start);
        }
    }

    fn span(&mut self, keys: &Keys, span: &Span) {
        if let Some(text) = self.flag(keys, span.attributes) {
            self.note(span.service, span.instance, Of::Flag, text, span.start);
        }
        for event in self.recording.events(span) {
            if let Some(text) = self.flag(keys, event.attributes) {
                self.note(span.service, span.instance, Of::Flag, text, event.time);
            }
        }
        let first = |keys: &[Name]| keys.iter().find_map(|key| self.text(span.attributes, Some(*key)));
        let (address, queue) = (first(&keys.addresses), first(&keys.queues));
        // A server tells its own address, which names no dependency.
        let is_client = matches!(span.kind, truegreen_otlp::SpanKind::Client | truegreen_otlp::SpanKind::Producer);
        if let Some(address) = address.filter(|_| is_client) {
            self.note(span.service, span.instance, Of::Address, address, span.start);
        }
        if let Some(queue) = queue {
            self.note(span.service, span.instance, Of::Queue, queue, span.start);
        }
        if let Some(caller) = caller(self.recording, span) {
            let callee = self.recording.text(span.service).to_owned();
            // As of its caller's start, which is what is counted.
            self.note(caller.service, caller.instance, Of::Called, callee, caller.start);
        }
    }

    fn flag(&self, keys: &Keys, of: Attributes) -> Option<String> {
        let flag = self.text(of, keys.flag)?;
        let variant = keys.variants.iter().find_map(|key| self.text(of, Some(*key)))?;
        Some(format!("{flag}={variant}"))
    }

    /// What came.
    pub(super) fn first(&self) -> Vec<Change> {
        let mut came: BTreeMap<(Name, Of), Vec<First<'_>>> = BTreeMap::new();
        for ((service, of, value), sight) in &self.values {
            let (Some(all), Some(first)) = (self.services.get(service), sight.times.first()) else { continue };
            let before = all.partition_point(|at| at < first);
            let since = all.len() - before;
            let sure = unlikely(sight.times.len(), since, before);
            let is_heard_before = all.first().is_some_and(|heard| first.saturating_sub(*heard) >= HEARD_WITHOUT);
            if sure >= SURE && is_heard_before {
                came.entry((*service, *of)).or_default().push((value, sight, sure));
            }
        }
        let releases: BTreeSet<Name> =
            came.keys().filter(|(_, of)| matches!(of, Of::Version | Of::Image)).map(|(service, _)| *service).collect();
        // Another version runs in other instances, maybe elsewhere: that is one change.
        came.retain(|(service, of), _| !(matches!(of, Of::Instance | Of::Host) && releases.contains(service)));
        came.into_iter().flat_map(|((service, of), values)| self.tell_all(service, of, &values)).collect()
    }

    /// Several instances are one change: there are more of them, or all were started anew.
    fn tell_all(&self, service: Name, of: Of, values: &[First<'_>]) -> Vec<Change> {
        let name = self.recording.text(service);
        let one = |(value, sight, sure): &First<'_>| {
            let first = sight.times.first().copied().unwrap_or_default();
            let mut change = seen(of.kind(), first, Some(name), of.says(name, value), *sure);
            self.tell(&mut change, of, value, sight);
            change
        };
        let all: Vec<Change> = values.iter().map(one).collect();
        if of != Of::Instance || all.len() < 2 {
            return all;
        }
        let Some(first) = all.iter().min_by_key(|change| change.at).cloned() else { return all };
        let title = format!("{name} has {} new instances", all.len());
        let until = all.iter().map(|change| change.at).max();
        let instances = all.iter().flat_map(|change| change.instances.clone()).collect();
        vec![Change { id: format!("seen/{title}"), title, until, instances, ..first }]
    }

    /// What went.
    pub(super) fn gone(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((service, of, value), sight) in &self.values {
            let (Some(all), Some(last)) = (self.services.get(service), sight.times.last()) else { continue };
            let name = self.recording.text(*service);
            let during = all.partition_point(|at| at <= last);
            let gone = unlikely(sight.times.len(), during, all.len() - during);
            let is_heard_since = all.last().is_some_and(|heard| heard.saturating_sub(*last) >= HEARD_WITHOUT);
            if of.may_vanish() && gone >= SURE && is_heard_since {
                let title = format!("no longer: {}", of.says(name, value));
                let mut change = seen(of.kind(), *last, Some(name), title, gone);
                self.tell(&mut change, *of, value, sight);
                changes.push(change);
            }
        }
        changes
    }

    fn tell(&self, change: &mut Change, of: Of, value: &str, sight: &Sight) {
        if of == Of::Version {
            change.version = Some(value.to_owned());
        }
        change.attributes.insert(of.attribute().to_owned(), value.to_owned());
        change.instances = sight.instances.iter().map(|name| self.recording.text(*name).to_owned()).collect();
        change.instances.sort();
    }
}

/// How surely something that `seen` of `among` show is not there at all where none of `others` shows it: one minus the
/// probability of that by chance.
fn unlikely(seen: usize, among: usize, others: usize) -> f64 {
    // Fewer may be one burst, whose records resemble one another.
    if among == 0 || others < LEAST {
        return 0.0;
    }
    // The share is estimated from few: one less than was seen, at the most all but one.
    let share = (seen as f64 - 0.5).max(0.0) / (among as f64 + 0.5);
    1.0 - (1.0 - share.clamp(0.0, 1.0)).powf(others as f64)
}

#[cfg(test)]
mod tests {
    use super::unlikely;

    #[test]
    fn what_is_rare_may_have_been_missed() {
        assert!(unlikely(50, 100, 100) > 0.999);
        assert!(unlikely(1, 100, 100) < 0.5);
        assert_eq!(unlikely(100, 100, 3), 0.0, "seen from the very beginning");
    }
}
