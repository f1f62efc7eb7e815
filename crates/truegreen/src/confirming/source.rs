//! Who can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use truegreen_connect::confirm::Confirm;
use truegreen_connect::keys::Keys;
use truegreen_connect::{Kind, System};

use crate::systems::Systems;

pub(super) const CANNOT: &str = "effects cannot be looked up in a system of that kind";

/// A system in which effects can be looked up.
pub trait Source: Send + Sync + 'static {
    /// How it is asked; `None` where it cannot be.
    fn confirm(&self) -> Option<&dyn Confirm>;

    /// How its keys are listed; `None` where they cannot be.
    fn keys(&self) -> Option<&dyn Keys> {
        None
    }

    /// How long one question may take.
    fn timeout(&self) -> Duration;

    /// Whether it may be a replica. If it may be, and does not tell how far it is behind, that something is not there
    /// proves nothing.
    fn may_be_behind(&self) -> bool;
}

impl Source for System {
    fn confirm(&self) -> Option<&dyn Confirm> {
        System::confirm(self)
    }

    fn keys(&self) -> Option<&dyn Keys> {
        System::keys(self)
    }

    fn timeout(&self) -> Duration {
        self.config().timeout
    }

    fn may_be_behind(&self) -> bool {
        matches!(self.config().address.kind(), Kind::Postgres | Kind::Mysql | Kind::Redis)
    }
}

/// All of them, by name.
#[derive(Clone, Default)]
pub struct Sources(BTreeMap<String, Arc<dyn Source>>);

impl Sources {
    /// These, by name.
    pub fn new(sources: impl IntoIterator<Item = (String, Arc<dyn Source>)>) -> Sources {
        Sources(sources.into_iter().collect())
    }

    /// The one of this name, if effects can be looked up in it.
    ///
    /// # Errors
    /// Why not.
    pub fn find(&self, name: &str) -> Result<Arc<dyn Source>, String> {
        let Some(source) = self.0.get(name) else {
            return Err(format!("no system `{name}`\nhint: name it under `systems` of the configuration"));
        };
        match source.confirm() {
            Some(_) => Ok(Arc::clone(source)),
            None => Err(format!("`{name}`: {CANNOT}")),
        }
    }
}

impl From<&Systems> for Sources {
    fn from(systems: &Systems) -> Sources {
        let source = |system: &Arc<System>| -> (String, Arc<dyn Source>) {
            let system = Arc::clone(system);
            (system.config().name.clone(), system)
        };
        Sources::new(systems.all().map(source))
    }
}
