//! What the services really did, in their own words: one file of JSON lines each, written as it happens.
//!
//! Only the demo's report and tests read it. Nothing of it reaches Truegreen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What became of all orders of one run, and what else went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Truth {
    /// Orders that were accepted.
    pub entered: u64,
    /// Ids of orders that were accepted, and of which neither the stock was updated nor a reason given, though they need
    /// stock. Sorted.
    pub lost: Vec<String>,
    /// Orders refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Orders whose stock was updated.
    pub updated: u64,
    /// Orders that were sent as a file, for which no stock is needed.
    pub sent: u64,
    /// Ids of lost orders whose stock counts as updated although no row was. Sorted.
    pub missed: Vec<String>,
    /// Ids of orders whose stock was taken more than once. Sorted.
    pub taken_twice: Vec<String>,
    /// Ids of orders that were accepted and not paid. Sorted.
    pub unpaid: Vec<String>,
    /// Payments refused for their token.
    pub refused_tokens: u64,
    /// Returns that were begun.
    pub returns: u64,
    /// Ids of orders whose return was begun and never came to an end. Sorted.
    pub unfinished_returns: Vec<String>,
    /// Times that a product was shown.
    pub reads: u64,
    /// Of these, with a price that had been changed more than a second before.
    pub stale_reads: u64,
}

/// One thing that a service did. Times are the machine's, whatever the service's own clock says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub(crate) enum Deed {
    /// The storefront accepted an order.
    Entered { order: String },
    /// Its stock was updated, and that is committed. No rows: it had been before.
    Updated { order: String, rows: u64 },
    /// It was sent as a file.
    Sent { order: String },
    /// Its stock was to be updated, and no row matched.
    Missed { order: String },
    /// It was acknowledged without doing anything.
    Skipped { order: String },
    /// It was refused.
    Rejected { order: String, reason: String },
    /// It was accepted without having been paid, or its payment was not written down.
    Unpaid { order: String },
    /// Its payment was refused for the token that came with it.
    TokenRefused { order: String },
    /// Its return was begun.
    ReturnBegun { order: String },
    /// Its return came to an end, good or bad.
    ReturnEnded { order: String },
    /// A customer was shown this version of a product.
    Served { sku: String, version: u64, at_ms: i64 },
    /// The price changed with this version.
    Repriced { sku: String, version: u64, at_ms: i64 },
}

/// How long a change may take to reach the customers.
const STALE_AFTER_MS: i64 = 1_000;

/// The truth file of one service, open for appending.
#[derive(Debug)]
pub(crate) struct TruthFile {
    file: File,
    path: PathBuf,
}

const EXTENSION: &str = "truth.jsonl";

impl TruthFile {
    pub(crate) fn open(run_dir: &Path, service: &str) -> Result<Self, Error> {
        let path = run_dir.join(format!("{service}.{EXTENSION}"));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::file("open", &path))?;
        Ok(TruthFile { file, path })
    }

    /// One write for the whole line, so that lines of several threads do not mix and a kill leaves none by halves.
    pub(crate) fn record(&self, deed: &Deed) -> Result<(), Error> {
        let mut line = serde_json::to_vec(deed).map_err(|source| Error::Encode { what: "a deed", source })?;
        line.push(b'\n');
        (&self.file).write_all(&line).map_err(Error::file("write", &self.path))
    }
}

impl Truth {
    /// Reads the truth files of all services in `run_dir`. A file that is not there counts as empty.
    pub(crate) fn read(run_dir: &Path, services: &[&str]) -> Result<Truth, Error> {
        let mut deeds = Vec::new();
        for service in services {
            read_file(&run_dir.join(format!("{service}.{EXTENSION}")), &mut deeds)?;
        }
        Ok(Truth::of(deeds))
    }

    fn of(deeds: Vec<Deed>) -> Truth {
        let mut told = Told::default();
        deeds.into_iter().for_each(|deed| told.add(deed));
        told.sum()
    }
}

/// What the services told, by order or product.
#[derive(Default)]
struct Told {
    entered: BTreeSet<String>,
    /// How often the stock was really reduced.
    updated: BTreeMap<String, u64>,
    sent: BTreeSet<String>,
    missed: BTreeSet<String>,
    rejected: BTreeMap<String, String>,
    unpaid: BTreeSet<String>,
    refused_tokens: u64,
    returns: u64,
    unfinished_returns: BTreeSet<String>,
    served: Vec<(String, u64, i64)>,
    /// When each version came to be.
    repriced: BTreeMap<String, BTreeMap<u64, i64>>,
}

impl Told {
    fn add(&mut self, deed: Deed) {
        match deed {
            Deed::Entered { order } => drop(self.entered.insert(order)),
            Deed::Updated { order, rows } => *self.updated.entry(order).or_default() += u64::from(rows > 0),
            Deed::Sent { order } => drop(self.sent.insert(order)),
            Deed::Missed { order } => drop(self.missed.insert(order)),
            // Being skipped is no end: an order that is only skipped is lost.
            Deed::Skipped { .. } => {}
            Deed::Rejected { order, reason } => drop(self.rejected.insert(order, reason)),
            Deed::Unpaid { order } => drop(self.unpaid.insert(order)),
            Deed::TokenRefused { .. } => self.refused_tokens += 1,
            Deed::ReturnBegun { order } => {
                self.returns += 1;
                self.unfinished_returns.insert(order);
            }
            Deed::ReturnEnded { order } => drop(self.unfinished_returns.remove(&order)),
            Deed::Served { sku, version, at_ms } => self.served.push((sku, version, at_ms)),
            Deed::Repriced { sku, version, at_ms } => {
                self.repriced.entry(sku).or_default().insert(version, at_ms);
            }
        }
    }

    fn sum(mut self) -> Truth {
        // Delivered twice, refused once and updated once: the update is what counts.
        self.rejected.retain(|order, _| !self.updated.contains_key(order));
        let ended = |order: &String| {
            self.updated.contains_key(order) || self.rejected.contains_key(order) || self.sent.contains(order)
        };
        let lost: Vec<String> = self.entered.iter().filter(|order| !ended(order)).cloned().collect();
        let mut rejected = BTreeMap::new();
        for reason in self.rejected.values() {
            *rejected.entry(reason.clone()).or_default() += 1;
        }
        let stale = self.served.iter().filter(|(sku, version, at_ms)| self.is_stale(sku, *version, *at_ms)).count();
        Truth {
            entered: self.entered.len() as u64,
            missed: lost.iter().filter(|order| self.missed.contains(*order)).cloned().collect(),
            lost,
            rejected,
            updated: self.updated.len() as u64,
            sent: self.sent.intersection(&self.entered).count() as u64,
            taken_twice: self.updated.iter().filter(|(_, times)| **times > 1).map(|(order, _)| order.clone()).collect(),
            unpaid: self.unpaid.intersection(&self.entered).cloned().collect(),
            refused_tokens: self.refused_tokens,
            returns: self.returns,
            unfinished_returns: self.unfinished_returns.iter().cloned().collect(),
            reads: self.served.len() as u64,
            stale_reads: stale as u64,
        }
    }

    fn is_stale(&self, sku: &str, version: u64, at_ms: i64) -> bool {
        // The one that took its place; the next after it came later still.
        let next = self.repriced.get(sku).and_then(|versions| versions.range(version + 1..).next());
        next.is_some_and(|(_, changed_ms)| at_ms - changed_ms > STALE_AFTER_MS)
    }
}

fn read_file(path: &Path, deeds: &mut Vec<Deed>) -> Result<(), Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    // What follows the last newline is still being written.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    for (index, line) in complete.lines().enumerate() {
        let deed = serde_json::from_str(line).map_err(|source| Error::Json {
            path: path.to_owned(),
            line: index + 1,
            source,
        })?;
        deeds.push(deed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::{Deed, Truth, TruthFile};
    use crate::Error;

    fn order(n: u32) -> String {
        format!("ord-{n}")
    }

    #[test]
    fn an_order_neither_updated_nor_refused_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let storefront = TruthFile::open(dir.path(), "storefront").unwrap();
        let inventory = TruthFile::open(dir.path(), "inventory").unwrap();
        for n in 1..=6 {
            storefront.record(&Deed::Entered { order: order(n) }).unwrap();
        }
        inventory.record(&Deed::Sent { order: order(6) }).unwrap();
        inventory.record(&Deed::Updated { order: order(1), rows: 1 }).unwrap();
        inventory.record(&Deed::Updated { order: order(1), rows: 0 }).unwrap();
        inventory.record(&Deed::Skipped { order: order(2) }).unwrap();
        inventory.record(&Deed::Rejected { order: order(3), reason: "missing_sku".into() }).unwrap();
        inventory.record(&Deed::Rejected { order: order(4), reason: "missing_sku".into() }).unwrap();
        let truth = Truth::read(dir.path(), &["storefront", "orders", "inventory"]).unwrap();
        let expected = Truth {
            entered: 6,
            sent: 1,
            lost: vec![order(2), order(5)],
            rejected: BTreeMap::from([("missing_sku".to_owned(), 2)]),
            updated: 1,
            ..Truth::default()
        };
        assert_eq!(truth, expected);
    }

    #[test]
    fn what_else_went_wrong_is_counted() {
        let at = |version, at_ms| Deed::Served { sku: "mug".into(), version, at_ms };
        let truth = Truth::of(vec![
            Deed::Entered { order: order(1) },
            Deed::Entered { order: order(2) },
            Deed::Updated { order: order(1), rows: 1 },
            Deed::Updated { order: order(1), rows: 1 },
            Deed::Missed { order: order(2) },
            Deed::Unpaid { order: order(2) },
            Deed::Unpaid { order: "ord-never-entered".into() },
            Deed::TokenRefused { order: order(3) },
            Deed::ReturnBegun { order: order(1) },
            Deed::ReturnBegun { order: order(2) },
            Deed::ReturnEnded { order: order(1) },
            Deed::Repriced { sku: "mug".into(), version: 2, at_ms: 10_000 },
            Deed::Repriced { sku: "mug".into(), version: 3, at_ms: 20_000 },
            at(1, 9_999),
            at(1, 11_000),
            at(1, 11_001),
            at(2, 20_000),
            at(3, 60_000),
        ]);
        assert_eq!((truth.taken_twice, truth.lost, truth.missed), (vec![order(1)], vec![order(2)], vec![order(2)]));
        assert_eq!((truth.unpaid, truth.refused_tokens), (vec![order(2)], 1));
        assert_eq!((truth.returns, truth.unfinished_returns), (2, vec![order(2)]));
        assert_eq!((truth.reads, truth.stale_reads), (5, 1));
    }

    #[test]
    fn a_line_still_being_written_is_left_out_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = TruthFile::open(dir.path(), "storefront").unwrap();
        file.record(&Deed::Entered { order: order(1) }).unwrap();
        (&file.file).write_all(br#"{"did":"ente"#).unwrap();
        assert_eq!(Truth::read(dir.path(), &["storefront"]).unwrap().entered, 1);
        (&file.file).write_all(b"\n").unwrap();
        let error = Truth::read(dir.path(), &["storefront"]).unwrap_err();
        assert!(matches!(error, Error::Json { line: 2, .. }), "{error}");
    }
}
