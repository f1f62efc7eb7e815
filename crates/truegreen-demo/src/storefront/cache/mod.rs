//! Products at hand, so that not every look at a page costs a call to inventory.

mod in_memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::sync::Mutex;
use std::time::Duration;

use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use crate::Error;
use crate::parts::Site;
use crate::product::Product;
use crate::telemetry::Telemetry;
use in_memory::InMemory;

/// How long an entry is served at most: a safety net, as changes are told.
const TTL: Duration = Duration::from_secs(600);

/// What an entry is called where others keep theirs, too.
pub(crate) fn key_of(run: &str, sku: &str) -> String {
    format!("truegreen-demo:{run}:stock:{sku}")
}

/// Where the entries are. Its methods may block.
trait Kept: Send + Sync {
    fn get(&self, sku: &str, context: &Context) -> Result<Option<Product>, Error>;
    /// Unless something older than what was removed.
    fn put(&self, product: &Product, context: &Context) -> Result<(), Error>;
    /// Removes what is older than `version`, and lets nothing older in from now on.
    fn remove(&self, sku: &str, version: u64, context: &Context) -> Result<(), Error>;
}

pub(crate) struct Cache {
    telemetry: Telemetry,
    kept: Box<dyn Kept>,
}

impl Cache {
    /// Blocks.
    pub(crate) fn open(telemetry: &Telemetry, site: &Site) -> Result<Cache, Error> {
        match site.parts.cache() {
            None => Ok(Cache::new(telemetry)),
            #[cfg(feature = "redis")]
            Some(address) => Ok(Cache {
                telemetry: telemetry.clone(),
                kept: Box::new(redis::Redis::open(telemetry, address, &site.run)?),
            }),
            // Such an address is refused before anything starts.
            #[cfg(not(feature = "redis"))]
            Some(address) => Err(Error::not_built("cache", address)),
        }
    }

    /// In memory.
    pub(crate) fn new(telemetry: &Telemetry) -> Cache {
        let kept = InMemory { clock: telemetry.clock.clone(), slots: Mutex::default() };
        Cache { telemetry: telemetry.clone(), kept: Box::new(kept) }
    }

    /// A cache that does not answer is a miss.
    pub(crate) fn get(&self, sku: &str, parent: &Context) -> Option<Product> {
        let span = self.span("get", sku, parent);
        let found = self.kept.get(sku, &span);
        let hit = found.as_ref().is_ok_and(Option::is_some);
        span.span().set_attribute(KeyValue::new("cache.hit", hit));
        self.end(&span, found.as_ref().map(drop));
        found.ok().flatten()
    }

    pub(crate) fn put(&self, product: &Product, parent: &Context) {
        let span = self.span("put", &product.sku, parent);
        span.span().set_attribute(KeyValue::new("cache.ttl", i64::try_from(TTL.as_secs()).unwrap_or(i64::MAX)));
        // What is not kept costs a call the next time, and nothing else.
        let put = self.kept.put(product, &span);
        self.end(&span, put.as_ref().map(drop));
    }

    /// Removes what is older than `version`.
    pub(crate) fn remove(&self, sku: &str, version: u64, parent: &Context) -> Result<(), Error> {
        let span = self.span("remove", sku, parent);
        let removed = self.kept.remove(sku, version, &span);
        self.end(&span, removed.as_ref().map(drop));
        removed
    }

    fn span(&self, operation: &'static str, sku: &str, parent: &Context) -> Context {
        let attributes =
            vec![KeyValue::new("cache.operation", operation), KeyValue::new("cache.key", format!("stock:{sku}"))];
        self.telemetry.span(format!("cache.{operation}"), SpanKind::Internal, attributes, parent)
    }

    fn end(&self, span: &Context, done: Result<(), &Error>) {
        match done {
            Ok(()) => self.telemetry.end(span),
            Err(error) => self.telemetry.end_failed(span, error.kind(), error.to_string()),
        }
    }
}
