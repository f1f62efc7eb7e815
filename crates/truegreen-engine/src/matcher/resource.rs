//! What is worked out once per resource instead of once per record: who sends, in which scope, and which patterns
//! can match at all.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Signal};
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_otlp::{Attribute, Resource as Sent, Value};

use super::key::{hash, mix};
use super::names::{Found, NameId};
use super::scopes::{ScopeId, Scopes};
use super::{Matcher, PatternId};
use crate::coverage::{Coverage, ServiceId};
use crate::symbols::Symbols;

const MAX_CACHED: usize = 50_000;

/// Attributes that tell the processes of one service apart, the first present counting.
const INSTANCE_NAMES: &[&[u8]] = &[b"service.instance.id", b"k8s.pod.name", b"container.id", b"host.name"];

/// One sender, as its resource describes it.
#[derive(Debug)]
pub(crate) struct Resource {
    /// `service.name`.
    pub(crate) name: Symbol,
    pub(crate) service: ServiceId,
    /// `None` past the bound on instances.
    pub(crate) instance: Option<InstanceId>,
    /// By flow.
    pub(crate) scopes: Box<[Scope]>,
    values: Vec<(NameId, Box<[u8]>)>,
    pub(crate) candidates: Arc<Candidates>,
}

/// The scope of a flow in which a sender's records lie.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// Of the values under the flow's scope names.
    pub(crate) hash: u64,
    pub(crate) id: ScopeId,
}

/// The patterns that can match a record of one service, by signal.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    by_signal: [ByName; 3],
}

#[derive(Debug, Default)]
struct ByName {
    exact: HashMap<Box<[u8]>, SmallVec<[PatternId; 4]>, FixedState>,
    rest: Vec<PatternId>,
    /// Those that read what a record says of its outcome: few records say anything.
    of_outcome: Vec<PatternId>,
}

impl Resource {
    pub(crate) fn value(&self, name: NameId) -> Option<&[u8]> {
        self.values.iter().find(|(id, _)| *id == name).map(|(_, value)| &**value)
    }
}

impl Candidates {
    pub(crate) fn new(matcher: &Matcher, service: &[u8]) -> Self {
        let mut candidates = Candidates::default();
        for (id, pattern) in matcher.patterns() {
            if pattern.service.as_ref().is_some_and(|name| !name.matches(service)) {
                continue;
            }
            let by_name = &mut candidates.by_signal[pattern.signal as usize];
            match &pattern.name {
                _ if pattern.needs_outcome => by_name.of_outcome.push(id),
                Some(name) if name.is_exact() => by_name.exact.entry(name.0.as_bytes().into()).or_default().push(id),
                _ => by_name.rest.push(id),
            }
        }
        candidates
    }

    /// The patterns that a record of this signal and name may match.
    pub(crate) fn of(&self, signal: Signal, name: &[u8], says_outcome: bool) -> impl Iterator<Item = PatternId> + '_ {
        let by_name = &self.by_signal[signal as usize];
        let exact = if by_name.exact.is_empty() { None } else { by_name.exact.get(name) };
        let of_outcome = if says_outcome { &by_name.of_outcome[..] } else { &[] };
        exact.into_iter().flatten().chain(&by_name.rest).chain(of_outcome).copied()
    }
}

/// Resources already worked out, by their bytes.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    cached: HashMap<u64, Arc<Resource>, FixedState>,
    by_service: HashMap<Box<[u8]>, Arc<Candidates>, FixedState>,
    /// How often the cache was emptied since it was full.
    pub(crate) emptied: u64,
}

impl Resources {
    /// The sender, if it was introduced.
    pub(crate) fn find(&self, sent: &Sent<'_, '_>, introduced: &[(u64, Arc<Resource>)]) -> Option<Arc<Resource>> {
        let bytes = hash_of(sent);
        let just_now = || introduced.iter().find(|(known, _)| *known == bytes).map(|(_, resource)| resource);
        self.cached.get(&bytes).or_else(just_now).cloned()
    }

    /// Everybody is a stranger again: the contracts changed.
    pub(crate) fn forget(&mut self) {
        self.cached.clear();
        self.by_service.clear();
    }

    /// Works out what is to be known of a sender.
    pub(crate) fn introduce(&mut self, sent: &Sent<'_, '_>, registers: &mut Registers<'_>) -> (u64, Arc<Resource>) {
        let bytes = hash_of(sent);
        if let Some(resource) = self.cached.get(&bytes) {
            return (bytes, Arc::clone(resource));
        }
        if self.cached.len() >= MAX_CACHED {
            self.cached.clear();
            self.by_service.clear();
            self.emptied += 1;
        }
        let resource = Arc::new(self.work_out(sent, registers));
        self.cached.insert(bytes, Arc::clone(&resource));
        (bytes, resource)
    }

    fn work_out(&mut self, sent: &Sent<'_, '_>, registers: &mut Registers<'_>) -> Resource {
        let Registers { matcher, coverage, symbols, scopes } = registers;
        let text = |name: &[u8]| find(sent.attributes, name).map(|value| value.text());
        let mut found = Found::new();
        matcher.names.gather(sent.attributes, &mut found);
        let values: Vec<_> = found.iter().map(|(id, value)| (*id, value.text().into())).collect();
        let service = text(b"service.name").unwrap_or_else(|| b"unknown_service"[..].into());
        // Contracts that nothing is read for any more lie in no scope.
        let mut in_flows: Box<[Scope]> = matcher.plans.iter().map(|_| Scope { hash: 0, id: ScopeId::NONE }).collect();
        let mut ids: SmallVec<[(FlowId, ScopeId); 8]> = SmallVec::new();
        for plan in matcher.live() {
            let hash = scope(&plan.scope_names, &values);
            let id = scopes.intern(hash);
            in_flows[plan.id.0 as usize] = Scope { hash, id };
            ids.push((plan.id, id));
        }
        let home = scope(&matcher.home_names, &values);

        let name = symbols.intern(&service);
        let service_id = coverage.service(name, home, &ids);
        let label = INSTANCE_NAMES.iter().find_map(|name| text(name)).unwrap_or_default();
        let process = text(b"process.pid").unwrap_or_default();
        let identity = mix(hash(&label), hash(&process));
        let instance = coverage.instance(service_id, identity, &String::from_utf8_lossy(&label));
        let candidates = self.by_service.entry((*service).into());
        let candidates = Arc::clone(candidates.or_insert_with(|| Arc::new(Candidates::new(matcher, &service))));
        Resource { name, service: service_id, instance, scopes: in_flows, values, candidates }
    }
}

/// Where a sender is entered.
pub(crate) struct Registers<'r> {
    pub(crate) matcher: &'r Matcher,
    pub(crate) coverage: &'r mut Coverage,
    pub(crate) symbols: &'r mut Symbols,
    pub(crate) scopes: &'r mut Scopes,
}

fn hash_of(sent: &Sent<'_, '_>) -> u64 {
    sent.parts.iter().fold(0, |all, part| mix(all, hash(part)))
}

fn find<'a>(attributes: &[Attribute<'a>], name: &[u8]) -> Option<Value<'a>> {
    attributes.iter().find(|attribute| attribute.key == name).map(|attribute| attribute.value)
}

/// The hash of these names' values; an absent one differs from an empty one.
fn scope(names: &[NameId], values: &[(NameId, Box<[u8]>)]) -> u64 {
    names.iter().fold(0, |all, name| match values.iter().find(|(id, _)| id == name) {
        Some((_, value)) => mix(all, hash(value)),
        None => mix(all, 1),
    })
}
