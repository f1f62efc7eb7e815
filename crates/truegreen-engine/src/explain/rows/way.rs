//! Where they went: services, instances, hosts, and who owes what failing ones lack.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::observation::Evidence;
use truegreen_model::time::Timestamp;

use super::super::recording::Name;
use super::Rows;

impl<'c> Rows<'c> {
    /// The services that failing ones go through, by when they are come to.
    pub(in super::super) fn path(&self) -> Vec<String> {
        let mut services: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
        let mut requests = 0;
        for row in self.rows.iter().filter(|row| row.is_failing) {
            requests += 1;
            let began = self.spans(row).map(|span| span.start).min().unwrap_or(0);
            let mut first: BTreeMap<Name, u64> = BTreeMap::new();
            for span in self.spans(row) {
                let at = first.entry(span.service).or_insert(u64::MAX);
                *at = (*at).min(span.start - began);
            }
            for (service, at) in first {
                let (sum, count) = services.entry(service).or_default();
                (*sum, *count) = (sum.saturating_add(at), *count + 1);
            }
        }
        // What one in ten goes through is on no path of what fails.
        let mut path: Vec<(u64, &str)> = services
            .iter()
            .filter(|(_, (_, count))| count * 10 > requests)
            .map(|(service, (sum, count))| (sum / count, self.recording.text(*service)))
            .collect();
        path.sort_unstable();
        path.into_iter().map(|(_, service)| service.to_owned()).collect()
    }

    /// Which instances they went through: service, instance, version; failing and healthy ones.
    /// Healthy ones that began before this time went through those of before, which tells nothing of these.
    pub(in super::super) fn instances(&self, since: Timestamp) -> BTreeMap<(&'c str, &'c str, &'c str), (u64, u64)> {
        let version = self.recording.name("service.version");
        let mut instances = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.is_failing || row.case.at >= since) {
            let mut through: BTreeSet<u32> = BTreeSet::new();
            through.extend(self.spans(row).map(|span| span.resource));
            for resource in through.into_iter().filter_map(|id| self.recording.resource(id)) {
                let version = version.and_then(|key| self.recording.attribute(resource.attributes, key));
                let [service, instance, version] =
                    [resource.service, resource.instance, version.unwrap_or(Name::EMPTY)]
                        .map(|name| self.recording.text(name));
                let (failing, healthy) = instances.entry((service, instance, version)).or_insert((0, 0));
                *if row.is_failing { failing } else { healthy } += 1;
            }
        }
        instances
    }

    /// The host of an instance; empty where it tells none.
    pub(in super::super) fn host(&self, service: &str, instance: &str) -> &'c str {
        let recording = self.recording;
        let (service, instance) = (recording.name(service), recording.name(instance));
        let of = recording
            .spans()
            .iter()
            .filter_map(|span| recording.resource(span.resource))
            .find(|of| Some(of.service) == service && Some(of.instance) == instance);
        of.map_or("", |of| recording.text(of.host))
    }

    /// The same, with the hosts of those that are instances.
    pub(in super::super) fn with_hosts(&self, mut names: Vec<String>) -> Vec<String> {
        let recording = self.recording;
        let own: BTreeSet<Name> = names.iter().filter_map(|name| recording.name(name)).collect();
        let resources: BTreeSet<u32> = recording.spans().iter().map(|span| span.resource).collect();
        let of_own =
            resources.into_iter().filter_map(|id| recording.resource(id)).filter(|of| own.contains(&of.instance));
        let hosts: BTreeSet<&str> = of_own.map(|of| recording.text(of.host)).filter(|host| !host.is_empty()).collect();
        names.extend(hosts.into_iter().map(str::to_owned));
        names
    }

    /// The service that takes the step which failing ones lack, as healthy ones show it.
    pub(in super::super) fn owing(&self) -> Option<String> {
        let records: HashMap<Evidence, Name, FixedState> = {
            let spans = self.recording.spans().iter().filter_map(|span| Some((span.evidence?, span.service)));
            spans.chain(self.recording.logs().iter().filter_map(|log| Some((log.evidence?, log.service)))).collect()
        };
        let mut services: BTreeMap<&str, u64> = BTreeMap::new();
        for service in self.rows.iter().filter_map(|row| records.get(&row.case.went_on?)) {
            *services.entry(self.recording.text(*service)).or_default() += 1;
        }
        services.into_iter().max_by_key(|(_, count)| *count).map(|(service, _)| service.to_owned())
    }
}
