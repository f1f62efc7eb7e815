//! Writing runs and merging them, a small step at a time.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Options;
use super::merge::{Merge, Size, due, mergeable};
use super::run::{Run, RunWriter};
use super::shared::{Shared, State};
use crate::embedded::disk::Disk;
use crate::embedded::walk::failed;
use crate::error::Error;

/// How many records a step of a merge takes on: some milliseconds.
const STEP_RECORDS: usize = 64 << 10;

/// How far runs are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appetite {
    /// Where many are alike.
    Many,
    /// Wherever two can become one.
    Any,
}

/// The only one who changes files of the index.
#[derive(Debug)]
pub(crate) struct Keeper<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) appetite: Appetite,
    pub(crate) merge: Option<Merge>,
}

impl<D: Disk> Keeper<D> {
    /// Works until nothing is left to do, or the builder is gone. A failure is kept where the builder finds it.
    pub(crate) fn work(&mut self) {
        loop {
            if self.shared.lock().is_closing {
                return self.close();
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.shared.change(|state| state.failure = Some(error.to_string()));
                    return;
                }
            }
        }
    }

    /// Leaves no unfinished file behind, as far as that is easily done: the next opening removes it too.
    fn close(&mut self) {
        if let Some(merge) = self.merge.take() {
            drop(self.disk.remove(merge.name()));
        }
    }

    /// Does the most urgent thing; false where there is none.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        let (unwanted, waiting) = {
            let mut state = self.shared.lock();
            if state.failure.is_some() {
                return Ok(false);
            }
            (std::mem::take(&mut state.unwanted), state.frozen.front().cloned())
        };
        if !unwanted.is_empty() {
            return self.remove(&unwanted).map(|()| true);
        }
        if let Some(memory) = waiting {
            let run = self.write(&memory.sorted(), memory.first, memory.end, memory.base)?;
            self.shared.change(|state| {
                state.runs.push(Arc::new(run));
                state.frozen.pop_front();
            });
            return Ok(true);
        }
        match self.merge.take() {
            Some(merge) => self.go_on(merge).map(|()| true),
            None => self.begin_merge(),
        }
    }

    fn write(&self, records: &[super::format::Record], first: u64, end: u64, base: u64) -> Result<Run, Error> {
        let bytes = Options::run_bytes(records.len() as u64);
        let free = self.free()?;
        if free < self.options.min_free_bytes.saturating_add(bytes) {
            return Err(Error::NoSpace { dir: self.disk.path(None), free, least: self.options.min_free_bytes });
        }
        let mut writer = RunWriter::create(&*self.disk, first, end, base, records.len() as u64)?;
        for record in records {
            writer.push(&*self.disk, *record)?;
        }
        writer.finish(&*self.disk)
    }

    fn free(&self) -> Result<u64, Error> {
        self.disk.free_bytes().map_err(failed(&*self.disk, "measure the free space of", None))
    }

    fn begin_merge(&mut self) -> Result<bool, Error> {
        let inputs = {
            let state = self.shared.lock();
            match self.choose(&state) {
                Some(range) => state.runs[range].to_vec(),
                None => return Ok(false),
            }
        };
        let records = inputs.iter().map(|run| run.header.records).sum();
        if self.free()? < self.options.min_free_bytes.saturating_add(Options::run_bytes(records)) {
            // Many runs are slower to look into, and no worse: no reason to stop.
            return Ok(false);
        }
        self.merge = Merge::begin(&*self.disk, inputs)?;
        Ok(self.merge.is_some())
    }

    fn choose(&self, state: &State) -> Option<Range<usize>> {
        let size = |run: &Arc<Run>| Size { records: run.header.records, first: run.header.first, end: run.header.end };
        let sizes: Vec<Size> = state.runs.iter().map(size).collect();
        match self.appetite {
            Appetite::Many => due(&sizes, self.options.full_records()),
            Appetite::Any => mergeable(&sizes, self.options.full_records()),
        }
    }

    fn go_on(&mut self, mut merge: Merge) -> Result<(), Error> {
        if !merge.step(&*self.disk, STEP_RECORDS)? {
            self.merge = Some(merge);
            return Ok(());
        }
        let inputs = std::mem::take(&mut merge.inputs);
        let merged = Arc::new(merge.finish(&*self.disk)?);
        self.shared.change(|state| {
            // The oldest of them may have been dropped since the last step.
            match place(&state.runs, &inputs) {
                Some(range) => {
                    state.runs.splice(range, [merged]);
                    state.unwanted.extend(inputs.iter().map(|run| run.name.clone()));
                }
                None => state.unwanted.push(merged.name.clone()),
            }
        });
        Ok(())
    }

    /// Removes files, and first what is being made of them.
    fn remove(&mut self, names: &[String]) -> Result<(), Error> {
        let is_made_of = |merge: &mut Merge| merge.inputs.iter().any(|run| names.contains(&run.name));
        let abandoned = self.merge.take_if(is_made_of);
        for name in abandoned.iter().map(Merge::name).chain(names.iter().map(String::as_str)) {
            match self.disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&*self.disk, "remove", Some(name))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.disk.sync_names().map_err(failed(&*self.disk, "sync", None))
    }
}

/// Where these runs stand among all, if each of them still does.
fn place(runs: &[Arc<Run>], inputs: &[Arc<Run>]) -> Option<Range<usize>> {
    let oldest = inputs.first()?;
    let start = runs.iter().position(|run| Arc::ptr_eq(run, oldest))?;
    let range = start..start + inputs.len();
    let same = runs.get(range.clone())?.iter().zip(inputs).all(|(run, input)| Arc::ptr_eq(run, input));
    same.then_some(range)
}
