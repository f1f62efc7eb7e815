//! A folder for a server: on a small file system of its own where that can be mounted, so that it can be filled up.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;
use truegreen_model::time::Timestamp;
use truegreen_sim::otlp;
use truegreen_sim::telemetry::{Content, Sender, SpanRef};
use truegreen_store::{Kind, Log, Options};

use crate::orders::{CONTRACT, span};

/// Size of the small file system.
const DISK_BYTES: u64 = 256 << 20;

pub(crate) struct Place {
    root: Option<TempDir>,
    path: PathBuf,
    is_mounted: bool,
    min_free_kib: u64,
    /// Orders that were over, one way or the other, before the first start.
    pub(crate) old_orders: u64,
}

impl Place {
    /// A new folder, with a log of eight minutes that were.
    pub(crate) fn new(wants_disk: bool, rng: &mut Rng) -> Result<Place> {
        let root = tempfile::Builder::new().prefix("truegreen-crash-").tempdir()?;
        let path = root.path().to_owned();
        fs::create_dir(path.join("disk"))?;
        let is_mounted = wants_disk && mount(&path.join("disk"));
        let min_free_kib = *rng.choice(&[1, 256, 4096]).unwrap_or(&256);
        let mut place = Place { root: Some(root), path, is_mounted, min_free_kib, old_orders: 0 };
        fs::create_dir(place.flows())?;
        fs::write(place.flows().join("orders.yaml"), CONTRACT)?;
        let config = format!("data: {{dir: {:?}, min_free: {min_free_kib}KiB}}\n", place.data());
        fs::write(place.config(), config)?;
        place.write_past(rng)?;
        Ok(place)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.path
    }

    pub(crate) fn flows(&self) -> PathBuf {
        self.path.join("flows")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.yaml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("disk").join("data")
    }

    pub(crate) fn is_mounted(&self) -> bool {
        self.is_mounted
    }

    /// Leaves so many bytes free on the disk, beyond what the server leaves alone.
    pub(crate) fn fill(&self, free: u64) -> Result<()> {
        let mut filler = File::create(self.path.join("disk").join("filler"))?;
        let used = used(&self.path.join("disk"));
        let free = free + self.min_free_kib * 1024;
        let zeroes = vec![0; 1 << 20];
        let mut left = DISK_BYTES.saturating_sub(used).saturating_sub(free);
        while left > 0 {
            let part = left.min(1 << 20);
            // A server that writes too may be quicker.
            if filler.write_all(&zeroes[..part as usize]).is_err() {
                break;
            }
            left -= part;
        }
        Ok(())
    }

    pub(crate) fn free(&self) {
        drop(fs::remove_file(self.path.join("disk").join("filler")));
    }

    /// The longest file of the log.
    pub(crate) fn longest_file(&self) -> u64 {
        let files = fs::read_dir(self.data()).into_iter().flatten().filter_map(|file| file.ok()?.metadata().ok());
        files.map(|file| file.len()).max().unwrap_or_default()
    }

    /// Leaves it where it is, for somebody to look at.
    pub(crate) fn keep(&mut self) -> PathBuf {
        drop(self.root.take().map(TempDir::keep));
        self.path.clone()
    }

    /// What a server would have written in the last minutes: orders that are completed, late and lost, and some on
    /// their way. What they come to must not change by what happens to the server later.
    fn write_past(&mut self, rng: &mut Rng) -> Result<()> {
        let began = crate::now() - Duration::from_secs(480);
        let mut entries: Vec<(Timestamp, Content)> = Vec::new();
        let (shop, stock) = (Sender::new("shop", "shop-old"), Sender::new("stock", "stock-old"));
        for beat in 0..95 {
            let at = began + Duration::from_secs(beat * 5);
            entries.push((at, Content::Metrics(vec![(shop.clone(), at), (stock.clone(), at)])));
        }
        for order in 0..40 {
            let key = format!("old-{order}");
            let trace = rng.u128(1..);
            let placed = began + Duration::from_millis(rng.u64(20_000..440_000));
            let one = |who: &Sender, name: &str, id: u64, at: Timestamp| {
                let content = vec![(who.clone(), vec![span(name, &key, SpanRef { trace, span: id }, at)])];
                (at + Duration::from_secs(1), Content::Spans(content))
            };
            entries.push(one(&shop, "place order", 1, placed));
            match order % 4 {
                0 | 1 => entries.push(one(&stock, "ship order", 2, placed + Duration::from_secs(4))),
                2 => entries.push(one(&stock, "ship order", 2, placed + Duration::from_secs(14))),
                _ => {}
            }
            self.old_orders += 1;
        }
        entries.sort_by_key(|(at, _)| *at);
        let options = Options { min_free_bytes: 0, ..Options::default() };
        let mut log = Log::open(&self.data(), options).map_err(std::io::Error::other)?;
        for (at, content) in entries {
            let kind = if matches!(content, Content::Metrics(_)) { Kind::Metrics } else { Kind::Traces };
            log.append(at, kind, &otlp::encode(&content)).map_err(std::io::Error::other)?;
        }
        log.commit().map_err(std::io::Error::other)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mounted && self.root.is_some() {
            drop(Command::new("umount").arg(self.path.join("disk")).status());
        }
    }
}

/// Only root may, and not everywhere.
fn mount(at: &Path) -> bool {
    let size = format!("size={DISK_BYTES}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
    mounted.is_ok_and(|done| done.status.success())
}

fn used(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => used(&entry.path()),
        // Whole pages are taken.
        Ok(data) => data.len().next_multiple_of(4096),
        Err(_) => 0,
    });
    bytes.sum()
}
