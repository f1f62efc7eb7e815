//! Where something deviates that no contract names.

use serde::{Deserialize, Serialize};
use truegreen_model::observation::Symbol;

use crate::matcher::key::{hash, mix};
use crate::symbols::Symbols;
use crate::trace::operation::Operation;

/// Where something deviates: a service, one of its operations, and whom or what it concerns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// `service.name`.
    pub(crate) service: Symbol,
    /// A span's name.
    pub(crate) operation: Option<Symbol>,
    /// The service or host at the other end.
    pub(crate) peer: Option<Symbol>,
    /// A destination, a table, a cache, a partition.
    pub(crate) subject: Option<Symbol>,
}

impl Place {
    /// A service as a whole.
    pub(crate) fn service(service: Symbol) -> Place {
        Place { service, operation: None, peer: None, subject: None }
    }

    /// One operation, and what it is done to.
    pub(crate) fn operation(operation: &Operation) -> Place {
        Place {
            service: operation.service_name,
            operation: Some(operation.name),
            peer: operation.peer,
            subject: operation.subject,
        }
    }

    /// The same by its texts, so that it stays the same when symbols are numbered anew.
    pub(super) fn hash(&self, symbols: &Symbols) -> u64 {
        let Place { service, operation, peer, subject } = self;
        let parts = [Some(*service), *operation, *peer, *subject];
        parts.iter().fold(0, |all, part| mix(all, part.map_or(0, |symbol| hash(symbols.text(symbol).as_bytes()))))
    }
}
