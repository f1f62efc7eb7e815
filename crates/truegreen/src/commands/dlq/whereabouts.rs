//! Where the letters are: configuration, system, place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use truegreen_connect::System;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::dead_letters::{DeadLetters, Place};

use super::super::terminal;
use crate::config::{Config, Data};
use crate::dead_letters::lock::{self, Lock};
use crate::dead_letters::redrive::Person;
use crate::dead_letters::{Error, folder};

/// How long somebody who only looks waits for others.
const PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_CONFIG: &str = "truegreen.yaml";

/// Where to look.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct At {
    /// Configuration (YAML) that names the systems
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(super) config: PathBuf,
    /// Folder of the data, where all that is done is remembered [default: of the configuration, else truegreen-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Only this system
    #[arg(long, value_name = "NAME")]
    pub(super) system: Option<String>,
    /// Only this queue, topic, stream or table
    #[arg(long, value_name = "PLACE")]
    pub(super) place: Option<String>,
}

/// The systems that are meant, and where all is remembered.
pub(super) struct Desk {
    /// Those with dead letters.
    pub(super) systems: Vec<System>,
    /// What is not shown.
    pub(super) redaction: Redaction,
    /// Where journals are.
    pub(super) folder: PathBuf,
}

/// One place of one system.
pub(super) struct Spot<'a> {
    pub(super) system: &'a str,
    pub(super) letters: &'a dyn DeadLetters,
    pub(super) place: Place,
}

impl At {
    fn read(&self) -> anyhow::Result<Config> {
        let is_default = self.config == Path::new(DEFAULT_CONFIG);
        anyhow::ensure!(
            self.config.exists() || !is_default,
            "there is no {DEFAULT_CONFIG} here\nhint: name the configuration that has your `systems` with --config"
        );
        Ok(Config::load(&self.config)?)
    }

    /// Where all is remembered. Needs a configuration only where the folder is not given.
    pub(super) fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(folder(data));
        }
        let config = if self.config.exists() { self.read()? } else { Config::default() };
        Ok(folder(&config.data.unwrap_or_else(Data::default).dir))
    }

    /// The systems that are meant. None of them is asked yet.
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        let config = self.read()?;
        let data = self.data.clone().unwrap_or_else(|| config.data.clone().unwrap_or_default().dir);
        let mut systems = Vec::new();
        for one in &config.systems {
            let is_named = self.system.as_ref() == Some(&one.name);
            if self.system.is_some() && !is_named {
                continue;
            }
            match System::new(one.clone()) {
                Ok(system) if system.dead_letters().is_some() => systems.push(system),
                Ok(_) if is_named => {
                    anyhow::bail!("no dead letters can lie in {}\nhint: it is {}", one.name, one.address)
                }
                Ok(_) => {}
                Err(error) if is_named => anyhow::bail!("{}: {error}", one.name),
                Err(error) => terminal::warn(&format!("{} is left out: {error}", one.name)),
            }
        }
        if systems.is_empty() {
            let names: Vec<&str> = config.systems.iter().map(|system| system.name.as_str()).collect();
            let named = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            match &self.system {
                Some(system) => anyhow::bail!("no system is called {system}\nhint: the configuration names {named}"),
                None => anyhow::bail!("no system with dead letters is configured\nhint: `systems` names {named}"),
            }
        }
        Ok(Desk { systems, redaction: Redaction::new(&config.redact), folder: folder(&data) })
    }
}

impl Desk {
    /// Every place that is meant. Systems that do not answer are told of, and fail where none does.
    pub(super) async fn spots(&self, at: &At) -> anyhow::Result<Vec<Spot<'_>>> {
        let mut spots = Vec::new();
        let mut failed = Vec::new();
        for system in &self.systems {
            let Some(letters) = system.dead_letters() else { continue };
            let name = system.config().name.as_str();
            match letters.places().await {
                Ok(places) => {
                    let meant =
                        places.into_iter().filter(|place| at.place.as_ref().is_none_or(|own| *own == place.name));
                    spots.extend(meant.map(|place| Spot { system: name, letters, place }));
                }
                Err(error) => failed.push(Error::of(name)(error)),
            }
        }
        if spots.is_empty() && !failed.is_empty() {
            return Err(failed.remove(0).into());
        }
        failed.iter().for_each(|error| terminal::warn(&error.to_string()));
        // A place may be named that no rule finds, such as an ordinary queue that is used as one.
        if let (true, [system], Some(place)) = (spots.is_empty(), &self.systems[..], &at.place)
            && let Some(letters) = system.dead_letters()
        {
            let place = Place { name: place.clone(), ..Place::default() };
            spots.push(Spot { system: &system.config().name, letters, place });
        }
        Ok(spots)
    }

    /// The one place that is meant.
    pub(super) async fn spot(&self, at: &At) -> anyhow::Result<Spot<'_>> {
        let mut spots = self.spots(at).await?;
        let places: Vec<String> =
            spots.iter().map(|spot| format!("--system {} --place {}", spot.system, spot.place.name)).collect();
        match (spots.pop(), places.len()) {
            (Some(spot), 1) => Ok(spot),
            (None, _) => anyhow::bail!("no place with dead letters is found\nhint: name one with --system and --place"),
            _ => anyhow::bail!(
                "dead letters lie in {} places\nhint: name one of\n  {}",
                places.len(),
                places.join("\n  ")
            ),
        }
    }

    /// Holds a place to look at it. Where nothing can be written, it is looked at all the same.
    pub(super) fn hold_to_look(&self, spot: &Spot<'_>) -> Result<Option<Lock>, Error> {
        match self.hold(spot, "being looked at") {
            Ok(held) => Ok(Some(held)),
            Err(Error::Lock(lock::Error::Io { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds a place, so that nobody else reads or changes it meanwhile.
    pub(super) fn hold(&self, spot: &Spot<'_>, what: &str) -> Result<Lock, Error> {
        let take = || Lock::take(&self.folder, spot.system, &spot.place.name, what, PATIENCE);
        Ok(tokio::task::block_in_place(take)?)
    }
}

/// Who asks.
pub(super) fn person() -> Person {
    let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let own =
        told("USER").or_else(|| told("LOGNAME")).or_else(|| told("USERNAME")).unwrap_or_else(|| "unknown".to_owned());
    let user = match told("SUDO_USER") {
        Some(real) if real != own => format!("{real} as {own}"),
        _ => own,
    };
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|name| name.trim().to_owned());
    let host = read("/proc/sys/kernel/hostname").or_else(|| told("HOSTNAME")).or_else(|| told("COMPUTERNAME"));
    Person { user, host: host.unwrap_or_else(|| "unknown".to_owned()), pid: std::process::id() }
}
