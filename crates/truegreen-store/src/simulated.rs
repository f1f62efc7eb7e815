//! A disk in memory that forgets, tears and lies as real ones do. For tests, here and in the simulator: behind the
//! feature `simulated`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::embedded::disk::Disk;

/// Shared by all its clones, so that a test keeps hold of what a log writes to.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    random: fastrand::Rng,
    files: Vec<File>,
    /// Names as processes see them, and as they are after a crash.
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    capacity: u64,
    faults: Faults,
    /// So many more changes are made; then the disk answers no more, until the power comes back.
    changes_left: Option<u64>,
}

/// What goes wrong, once each.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// A write puts down a part, and fails.
    pub write: bool,
    /// A sync fails, and what it did not write is lost.
    pub sync: bool,
    /// A sync of the directory fails.
    pub sync_names: bool,
    /// A file is not removed.
    pub remove: bool,
}

#[derive(Clone, Default, Debug)]
struct File {
    /// As processes see it.
    cached: Vec<u8>,
    /// Which bytes the next sync will write. After a sync that failed there are none, though nothing was written.
    dirty: Vec<bool>,
    /// As it is after a crash.
    durable: Vec<u8>,
    /// Cut to this length since the last sync.
    cut: Option<usize>,
}

/// What is written whole or not at all.
const SECTOR: usize = 64;

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
            self.dirty.resize(end, false);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty[offset..end].fill(true);
    }

    /// Writes the dirty bytes that `chosen` names by their sector.
    fn persist(&mut self, mut chosen: impl FnMut(usize) -> bool) {
        for at in 0..self.cached.len() {
            if self.dirty[at] && chosen(at) {
                if self.durable.len() <= at {
                    self.durable.resize(at + 1, 0);
                }
                self.durable[at] = self.cached[at];
            }
        }
    }

    fn persist_cut(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.durable.truncate(cut);
        }
    }

    fn sync(&mut self) {
        self.persist_cut();
        self.persist(|_| true);
        self.durable.resize(self.cached.len(), 0);
        self.dirty.fill(false);
    }

    /// Part of it reaches the disk; the rest never will, and looks as if it had.
    fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        self.persist_some(random);
        self.dirty.fill(false);
    }

    fn persist_some(&mut self, random: &mut fastrand::Rng) {
        if random.bool() {
            self.persist_cut();
        }
        let length = self.cached.len();
        match random.u8(..3) {
            0 => {}
            1 => {
                let first = self.dirty.iter().position(|dirty| *dirty).unwrap_or(length);
                let prefix = random.usize(first..=length);
                self.persist(|at| at < prefix);
            }
            // The system writes pages in the order it likes.
            _ => {
                let sectors: Vec<bool> = (0..=length / SECTOR).map(|_| random.bool()).collect();
                self.persist(|at| sectors[at / SECTOR]);
            }
        }
    }

    fn crash(&mut self, random: &mut fastrand::Rng) {
        self.persist_some(random);
        self.cut = None;
        self.cached.clone_from(&self.durable);
        self.dirty = vec![false; self.cached.len()];
    }
}

impl World {
    fn id(&self, name: &str) -> io::Result<usize> {
        self.live.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes one change; where the power has failed, none is made.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the power failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.live.values().map(|id| self.files[*id].cached.len() as u64).sum()
    }
}

fn fault(flag: &mut bool) -> io::Result<()> {
    if std::mem::take(flag) { Err(io::Error::other("the disk does not answer")) } else { Ok(()) }
}

impl SimulatedDisk {
    /// An empty disk whose accidents are drawn from this seed.
    pub fn new(seed: u64) -> Self {
        SimulatedDisk(Arc::new(Mutex::new(World {
            random: fastrand::Rng::with_seed(seed),
            files: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            capacity: 1 << 40,
            faults: Faults::default(),
            changes_left: None,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong next.
    pub fn fail(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// Lets this many bytes be free.
    pub fn leave_free(&self, bytes: u64) {
        let mut world = self.world();
        world.capacity = world.used() + bytes;
    }

    /// The power fails and comes back.
    pub fn crash(&self) {
        let world = &mut *self.world();
        for file in &mut world.files {
            file.crash(&mut world.random);
        }
        // Of each name that was made or removed and not synced, either may be true.
        let names: Vec<String> = world.live.keys().chain(world.durable.keys()).cloned().collect();
        for name in names {
            let (live, durable) = (world.live.get(&name).copied(), world.durable.get(&name).copied());
            let kept = if live == durable || world.random.bool() { live } else { durable };
            match kept {
                Some(id) => {
                    world.live.insert(name.clone(), id);
                    world.durable.insert(name, id);
                }
                None => {
                    world.live.remove(&name);
                    world.durable.remove(&name);
                }
            }
        }
        world.faults = Faults::default();
        world.changes_left = None;
    }

    /// Lets the power fail at the change after so many more; [`SimulatedDisk::crash`] brings it back.
    pub fn fail_after(&self, changes: u64) {
        self.world().changes_left = Some(changes);
    }

    /// The files as processes see them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let world = self.world();
        world.live.iter().map(|(name, id)| (name.clone(), world.files[*id].cached.clone())).collect()
    }

    /// A disk with these files, all durable.
    pub fn with(files: &[(String, Vec<u8>)]) -> Self {
        let disk = SimulatedDisk::new(0);
        {
            let world = &mut *disk.world();
            for (name, bytes) in files {
                let mut file = File::default();
                file.write(0, bytes);
                file.sync();
                world.live.insert(name.clone(), world.files.len());
                world.files.push(file);
            }
            world.durable = world.live.clone();
        }
        disk
    }
}

impl Disk for SimulatedDisk {
    fn path(&self, name: Option<&str>) -> PathBuf {
        PathBuf::from(name.unwrap_or("simulated"))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.world().live.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        let world = self.world();
        Ok(world.files[world.id(name)?].cached.len() as u64)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        if world.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.files.push(File::default());
        let id = world.files.len() - 1;
        world.live.insert(name.to_owned(), id);
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let world = &mut *self.world();
        let id = world.id(name)?;
        if let Err(failure) = world.change() {
            let most = world.random.usize(..=bytes.len());
            let file = &mut world.files[id];
            file.write(file.cached.len(), &bytes[..most]);
            return Err(failure);
        }
        let free = world.capacity.saturating_sub(world.used());
        let (most, failure) = if std::mem::take(&mut world.faults.write) {
            (world.random.usize(..=bytes.len()), Some(io::Error::other("the disk does not answer")))
        } else if bytes.len() as u64 > free {
            (free as usize, Some(io::ErrorKind::StorageFull.into()))
        } else {
            (bytes.len(), None)
        };
        let file = &mut world.files[id];
        file.write(file.cached.len(), &bytes[..most]);
        failure.map_or(Ok(()), Err)
    }

    fn rewrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let world = &mut *self.world();
        let id = world.id(name)?;
        world.change()?;
        world.files[id].write(offset as usize, bytes);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let world = &mut *self.world();
        let id = world.id(name)?;
        if std::mem::take(&mut world.faults.sync) || world.change().is_err() {
            world.files[id].fail_sync(&mut world.random);
            return Err(io::Error::other("the disk does not answer"));
        }
        world.files[id].sync();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let world = &mut *self.world();
        fault(&mut world.faults.sync_names)?;
        world.change()?;
        world.durable = world.live.clone();
        Ok(())
    }

    fn read_at(&self, name: &str, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        let world = self.world();
        let bytes = world.files[world.id(name)?].cached.get(offset as usize..).unwrap_or_default();
        let read = bytes.len().min(room.len());
        room[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let world = &mut *self.world();
        let id = world.id(name)?;
        world.change()?;
        let (file, length) = (&mut world.files[id], length as usize);
        file.cached.truncate(length);
        file.dirty.truncate(length);
        file.cut = Some(file.cut.map_or(length, |cut| cut.min(length)));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let world = &mut *self.world();
        world.change()?;
        let id = world.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.live.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let world = &mut *self.world();
        fault(&mut world.faults.remove)?;
        world.change()?;
        world.live.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let world = self.world();
        Ok(world.capacity.saturating_sub(world.used()))
    }
}
