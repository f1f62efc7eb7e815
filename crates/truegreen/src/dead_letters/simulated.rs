//! A place in memory, for tests of what stands above it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use truegreen_connect::Error;
use truegreen_connect::dead_letters::{DeadLetters, Outgoing, Place, Reading, Sent};
use truegreen_model::letter::Letter;

#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) letters: Vec<Letter>,
    pub(crate) sent: Vec<Outgoing>,
    /// So many next sendings fail.
    pub(crate) failing: usize,
}

/// One place, `dead`.
#[derive(Clone, Default)]
pub(crate) struct Simulated(pub(crate) Arc<Mutex<Inside>>);

struct Pages {
    of: Simulated,
    shown: Vec<String>,
}

impl Simulated {
    pub(crate) fn with(letters: Vec<Letter>) -> Simulated {
        Simulated(Arc::new(Mutex::new(Inside { letters, ..Inside::default() })))
    }
}

#[async_trait]
impl DeadLetters for Simulated {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let letters = self.0.lock().unwrap().letters.len() as u64;
        let warning = "what fails again is lost".to_owned();
        Ok(vec![Place { name: "dead".to_owned(), letters: Some(letters), warning }])
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        match place {
            "dead" => Ok(Box::new(Pages { of: self.clone(), shown: Vec::new() })),
            _ => Err(Error::Answered(format!("no place is called {place}"))),
        }
    }
}

#[async_trait]
impl Reading for Pages {
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error> {
        let inside = self.of.0.lock().unwrap();
        let new = inside.letters.iter().filter(|letter| !self.shown.contains(&letter.id)).take(limit);
        let new: Vec<Letter> = new.cloned().collect();
        self.shown.extend(new.iter().map(|letter| letter.id.clone()));
        Ok(new)
    }

    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error> {
        let mut inside = self.of.0.lock().unwrap();
        if inside.failing > 0 {
            inside.failing -= 1;
            return Err(Error::Unreachable("reset by peer".to_owned()));
        }
        inside.sent.push(outgoing.clone());
        Ok(Sent::AtLeastOnce)
    }

    async fn remove(&mut self, id: &str) -> Result<(), Error> {
        assert!(self.shown.iter().any(|shown| shown == id), "only what this reading has shown is removed");
        self.of.0.lock().unwrap().letters.retain(|letter| letter.id != id);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
