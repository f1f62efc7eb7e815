//! The thread that follows the log and notes what each request mentions: after the acknowledgement, so that no sender
//! waits for it. The index is derived: what of it is lost or damaged is built anew from the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use truegreen_store::index::{Index, Options, Term};
use truegreen_store::{Error, Reader};

use super::archive::{Archive, Shelf};
use super::terms::{Names, Terms};

/// How long a request may wait for being indexed, where nothing else is to be done.
const TICK: Duration = Duration::from_millis(25);

/// A running indexer.
#[derive(Debug)]
pub struct Indexer {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Default, Debug)]
struct Stop {
    asked: Mutex<bool>,
    bell: Condvar,
}

impl Indexer {
    /// Follows the log from where the index in this folder ends; values under these names are indexed.
    pub fn start(reader: Reader, dir: &Path, options: Options, names: Names) -> std::io::Result<(Archive, Indexer)> {
        let (shelf, stop) = (Arc::new(Shelf::default()), Arc::new(Stop::default()));
        let archive = Archive::new(reader.clone(), Arc::clone(&shelf));
        let work =
            Work { reader, shelf, stop: Arc::clone(&stop), dir: dir.to_owned(), options, terms: Terms::new(names) };
        let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || work.run())?;
        Ok((archive, Indexer { stop, thread }))
    }

    /// Ends it and waits. What is not indexed by then is indexed after the next start. Fails if it had panicked.
    pub fn stop(self) -> std::thread::Result<()> {
        *self.stop.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.bell.notify_all();
        self.thread.join()
    }
}

impl Stop {
    fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a tick, or until it is asked for.
    fn wait(&self) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.bell.wait_timeout_while(asked, TICK, |asked| !*asked));
    }
}

struct Work {
    reader: Reader,
    shelf: Arc<Shelf>,
    stop: Arc<Stop>,
    dir: PathBuf,
    options: Options,
    terms: Terms,
}

impl Work {
    fn run(mut self) {
        let log = self.reader.first_sequence()..self.reader.end_sequence();
        let followed = Index::open(&self.dir, self.options, log).and_then(|mut index| {
            let followed = self.follow(&mut index);
            // Whatever happened: what is indexed need not be indexed again.
            index.flush().and(followed)
        });
        if let Err(error) = followed {
            tracing::error!("orders can be looked up by what showed their steps only: {error}");
            self.shelf.failed(error.to_string());
        }
    }

    fn follow(&mut self, index: &mut Index) -> Result<(), Error> {
        self.shelf.opened(index.finder(), index.next_sequence());
        // Oldest first, so that the newest are taken first.
        let mut unseen = self.reader.segment_starts();
        let mut first = 0;
        while !self.stop.is_asked() {
            self.catch_up(index)?;
            let retained = self.reader.first_sequence();
            if retained > first {
                index.drop_before(retained)?;
                first = retained;
            }
            match unseen.pop() {
                // The first look into a segment is slow: it is ours, not that of whoever is on call.
                // What is damaged there is told to whoever wants it.
                Some(start) => drop(self.reader.get_block(start)),
                None => {
                    self.shelf.warmed();
                    self.stop.wait();
                }
            }
        }
        Ok(())
    }

    fn catch_up(&mut self, index: &mut Index) -> Result<(), Error> {
        for entry in self.reader.read_from(index.next_sequence()) {
            let entry = entry?;
            let terms = self.terms.of(entry.kind, &entry.body);
            index.add(entry.sequence, terms.iter().copied().map(Term))?;
            self.shelf.indexed(entry.sequence + 1);
            if self.stop.is_asked() {
                break;
            }
        }
        Ok(())
    }
}
