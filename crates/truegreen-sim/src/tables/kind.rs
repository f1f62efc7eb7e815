//! All kinds of tables, under one name.

use super::leaves::Leaves;
use super::requests::Requests;
use super::setting::Setting;
use super::world::World;

/// One kind of table.
#[derive(Clone, Debug)]
pub enum Kind {
    /// By what is planted and what is noisy.
    Plain(Setting),
    /// Leaves with what was predicted.
    Leaves(Leaves),
    /// Requests as services log them.
    Requests(Requests),
}

impl Kind {
    /// All of them.
    pub fn all() -> Vec<Kind> {
        let plain = Setting::all().into_iter().map(Kind::Plain);
        let leaves = Leaves::all().into_iter().map(Kind::Leaves);
        plain.chain(leaves).chain(Requests::all().into_iter().map(Kind::Requests)).collect()
    }

    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Plain(setting) => setting.name,
            Kind::Leaves(leaves) => leaves.name,
            Kind::Requests(requests) => requests.name,
        }
    }

    /// Whether there is no noise of any kind.
    pub fn is_easy(&self) -> bool {
        match self {
            Kind::Plain(setting) => setting.is_easy,
            Kind::Leaves(leaves) => leaves.is_easy(),
            Kind::Requests(_) => false,
        }
    }

    /// Whether nothing is asked for.
    pub fn is_beyond(&self) -> bool {
        matches!(self, Kind::Plain(setting) if setting.is_beyond)
    }

    /// Whether a table takes long to make.
    pub fn is_long(&self) -> bool {
        matches!(self, Kind::Plain(setting) if *setting.rows.end() >= 1_000_000)
    }

    /// One from a seed; none where its causes found no place.
    pub fn world(&self, seed: u64) -> Option<World> {
        match self {
            Kind::Plain(setting) => World::plain(setting, seed),
            Kind::Leaves(leaves) => World::leaves(leaves, seed),
            Kind::Requests(requests) => World::requests(requests, seed),
        }
    }
}
