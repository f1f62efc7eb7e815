//! Redis and Valkey: a cache or a store, its streams, and what lies dead in them.
//!
//! Each probe and each question has a connection of its own, so that what is told is how it is now; a reading of dead letters
//! keeps one.

mod confirm;
mod dial;
mod entry;
mod glance;
mod info;
mod keys;
mod letters;
mod probe;
mod question;
mod reading;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use truegreen_model::probe::Check;

use crate::confirm::Confirm;
use crate::dead_letters::DeadLetters;
use crate::keys::Keys;
use crate::live::Live;
use crate::system::Ask;
use crate::{Error, SystemConfig};

/// Redis, or Valkey.
pub struct Redis {
    config: Arc<SystemConfig>,
    evicted: Mutex<Option<probe::Evicted>>,
}

impl Redis {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its address names what cannot be connected to.
    pub fn new(config: Arc<SystemConfig>) -> Result<Redis, Error> {
        dial::Route::of(&config)?;
        Ok(Redis { config, evicted: Mutex::new(None) })
    }
}

#[async_trait]
impl Ask for Redis {
    async fn probe(&self) -> Vec<Check> {
        self.checks().await
    }

    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn Keys> {
        Some(self)
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn live(&self) -> Option<&dyn Live> {
        Some(self)
    }
}
