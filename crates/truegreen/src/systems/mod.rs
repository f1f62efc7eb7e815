//! The systems that the configuration names, ready to be asked by whoever needs an answer, and asked how they are at
//! regular times ([`probes`]). Caches are held against their sources ([`comparing`]), and what each service says of itself
//! against what flows and systems say ([`claims`]).

pub mod claims;
pub mod comparing;
pub mod latest;
pub mod probes;
mod schedule;
pub mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use truegreen_connect::{Error, System, SystemConfig};

/// All of them, by name.
#[derive(Clone, Default)]
pub struct Systems(Arc<BTreeMap<String, Arc<System>>>);

impl Systems {
    /// Asks none of them yet.
    ///
    /// # Errors
    /// The name of the first that cannot be asked by this build, and why.
    pub fn new(configs: &[SystemConfig]) -> Result<Systems, (String, Error)> {
        let mut systems = BTreeMap::new();
        for config in configs {
            let system = System::new(config.clone()).map_err(|error| (config.name.clone(), error))?;
            systems.insert(config.name.clone(), Arc::new(system));
        }
        Ok(Systems(Arc::new(systems)))
    }

    /// The system of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<System>> {
        self.0.get(name)
    }

    /// All, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<System>> {
        self.0.values()
    }
}
