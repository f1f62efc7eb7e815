//! What an operation does to messages, tables and caches, told once per operation from what its spans say.
//!
//! Receive and settle spans are clients, process is a consumer, and send may be a client or a producer; so the verb
//! counts before the kind.

use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;

use crate::symbols::Symbols;
use crate::trace::operation::{Operation, OperationId, Operations};

/// What an operation is to messages, tables and caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Publish,
    Process,
    /// Something is changed by it, here or elsewhere: a table, a cache, another service.
    Effect(Effect),
    /// A cache, or a store used as one, is asked.
    CacheRead,
    /// A table is read.
    Read,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    TableWrite,
    /// An entry is put into a cache, or taken out of it.
    CacheWrite,
    Call,
}

/// The roles of operations told so far.
#[derive(Debug, Default)]
pub(super) struct Roles(Vec<Role>);

impl Roles {
    pub(super) fn of(&mut self, id: OperationId, operations: &Operations, symbols: &Symbols) -> Role {
        // Operations are numbered as they are met, and are never changed.
        while self.0.len() <= id.0 as usize {
            let next = OperationId(self.0.len() as u32);
            self.0.push(role(&operations[next], symbols));
        }
        self.0[id.0 as usize]
    }
}

/// Systems that are caches more often than not.
const CACHES: [&str; 4] = ["redis", "memcached", "valkey", "hazelcast"];
const READS: [&str; 14] = [
    "select", "get", "gets", "mget", "hget", "hgetall", "find", "scan", "query", "head", "options", "exists", "ping",
    "show",
];
const NO_EFFECTS: [&str; 14] = [
    "receive",
    "poll",
    "settle",
    "ack",
    "nack",
    "commit",
    "begin",
    "rollback",
    "peek",
    "fetch",
    "connect",
    "acquire",
    "create",
    "delete_message",
];

fn role(operation: &Operation, symbols: &Symbols) -> Role {
    let lower = |symbol: Symbol| symbols.text(symbol).to_ascii_lowercase();
    let system = operation.system.map(lower).unwrap_or_default();
    let name = lower(operation.name);
    let verb = operation.verb.map(lower).unwrap_or_default();
    let cache_name = name.strip_prefix("cache.").or_else(|| name.strip_prefix("cache "));
    let from_name = cache_name.unwrap_or(&name).split([' ', '.', '/']).next().unwrap_or_default();
    let verb = if verb.is_empty() { from_name } else { &verb };
    match operation.kind {
        SpanKind::Producer if operation.subject.is_some() => return Role::Publish,
        SpanKind::Client if matches!(verb, "send" | "publish") && operation.subject.is_some() => return Role::Publish,
        SpanKind::Consumer if !NO_EFFECTS.contains(&verb) && operation.subject.is_some() => return Role::Process,
        SpanKind::Server | SpanKind::Consumer => return Role::Other,
        _ => {}
    }
    let is_cache = CACHES.contains(&&*system) || cache_name.is_some();
    let reads = READS.contains(&verb);
    match operation.kind {
        _ if is_cache && reads => Role::CacheRead,
        _ if is_cache && !NO_EFFECTS.contains(&verb) => Role::Effect(Effect::CacheWrite),
        SpanKind::Client if reads => Role::Read,
        SpanKind::Client if NO_EFFECTS.contains(&verb) => Role::Other,
        SpanKind::Client if !system.is_empty() => Role::Effect(Effect::TableWrite),
        SpanKind::Client => Role::Effect(Effect::Call),
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::stage::{Act, Stage};

    fn told(kind: SpanKind, name: &'static str, [subject, verb, system]: [&'static str; 3]) -> Role {
        let mut stage = Stage::new();
        let tree = stage.tree(&[Act { kind, name, texts: ["", subject, "", verb, system], ..Act::default() }]);
        Roles::default().of(tree.spans[0].operation, &stage.operations, &stage.symbols)
    }

    #[test]
    fn the_verb_counts_before_the_kind() {
        assert_eq!(told(SpanKind::Producer, "publish orders", ["orders", "send", "kafka"]), Role::Publish);
        assert_eq!(told(SpanKind::Client, "send orders", ["orders", "send", "aws_sqs"]), Role::Publish);
        assert_eq!(told(SpanKind::Consumer, "process orders", ["orders", "process", "kafka"]), Role::Process);
        assert_eq!(told(SpanKind::Consumer, "orders receive", ["orders", "receive", "kafka"]), Role::Other);
        assert_eq!(told(SpanKind::Client, "ack orders", ["orders", "settle", "kafka"]), Role::Other);
    }

    #[test]
    fn statements_and_caches_are_told_apart() {
        let write = Role::Effect(Effect::TableWrite);
        assert_eq!(told(SpanKind::Client, "UPDATE stock", ["stock", "UPDATE", "postgresql"]), write);
        assert_eq!(told(SpanKind::Client, "INSERT orders", ["orders", "", "mysql"]), write);
        assert_eq!(told(SpanKind::Client, "SELECT stock", ["stock", "SELECT", "postgresql"]), Role::Read);
        assert_eq!(told(SpanKind::Client, "GET", ["", "", "redis"]), Role::CacheRead);
        assert_eq!(told(SpanKind::Client, "DEL", ["", "", "redis"]), Role::Effect(Effect::CacheWrite));
        assert_eq!(told(SpanKind::Internal, "cache.get", ["stock", "get", ""]), Role::CacheRead);
        assert_eq!(told(SpanKind::Internal, "cache.remove", ["stock", "remove", ""]), Role::Effect(Effect::CacheWrite));
        assert_eq!(told(SpanKind::Client, "POST", ["", "", ""]), Role::Effect(Effect::Call));
        assert_eq!(told(SpanKind::Client, "GET", ["", "", ""]), Role::Read);
        assert_eq!(told(SpanKind::Internal, "book pickup", ["", "", ""]), Role::Other);
    }
}
