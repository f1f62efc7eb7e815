//! A sender: keeps what was not acknowledged, and sends it again, through as many lives of the server as it takes.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::line::{Answer, Line, Manner};
use crate::orders::{Book, Parcel};

/// Calls in flight at once over gRPC.
const CALLS: usize = 4;

pub(crate) struct Post {
    pub(crate) manner: Manner,
    pub(crate) book: Book,
    /// Sent, or about to be, and not acknowledged.
    pub(crate) kept: Vec<Parcel>,
    pub(crate) refused: u64,
    /// Answers that no sender should get.
    pub(crate) strange: Vec<String>,
    rng: Rng,
}

/// Where the server takes requests.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) grpc: String,
    pub(crate) http: String,
}

/// What a sender is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// Send, new things too.
    Load,
    /// Send what is kept, and what is left to ship; no new orders.
    Finish,
    Stop,
}

impl Post {
    pub(crate) fn new(name: &str, manner: Manner, seed: u64) -> Post {
        let rng = Rng::with_seed(seed ^ 0x706f_7374);
        Post { manner, book: Book::new(name, seed), kept: Vec::new(), refused: 0, strange: Vec::new(), rng }
    }

    /// Sends until it is told to stop, or has nothing left.
    pub(crate) async fn work(mut self, ways: Ways, mut task: watch::Receiver<Task>) -> Post {
        let address = if self.manner.is_grpc { &ways.grpc } else { &ways.http };
        let mut line = None;
        loop {
            let wanted = *task.borrow_and_update();
            match wanted {
                Task::Stop => return self,
                Task::Load => self.fill(),
                Task::Finish => {
                    let last = self.book.last_parcel();
                    self.kept.push(last);
                }
            }
            if line.is_none() {
                line = Line::open(address, self.manner.is_grpc).await.ok();
            }
            let is_well = match &line {
                Some(open) => self.send(open).await,
                None => false,
            };
            if !is_well {
                line = None;
            }
            if wanted == Task::Finish && self.kept.is_empty() {
                return self;
            }
            let pause = Duration::from_millis(if is_well { self.rng.u64(2..25) } else { self.rng.u64(10..40) });
            drop(tokio::time::timeout(pause, task.changed()).await);
        }
    }

    fn fill(&mut self) {
        let most = if self.manner.is_grpc { CALLS } else { 1 };
        while self.kept.len() < most {
            let parcel = self.book.next_parcel();
            self.kept.push(parcel);
        }
    }

    /// Sends what is kept, side by side; keeps what was not taken. Says whether the line still holds.
    async fn send(&mut self, line: &Line) -> bool {
        let mut calls = JoinSet::new();
        let kept = std::mem::take(&mut self.kept);
        let mut waiting = kept.into_iter();
        for parcel in waiting.by_ref().take(CALLS) {
            self.book.offered(&parcel);
            let (line, is_gzipped) = (line.clone(), self.manner.is_gzipped);
            calls.spawn(async move { (line.send(&parcel.body, is_gzipped).await, parcel) });
        }
        self.kept.extend(waiting);
        let mut is_well = true;
        while let Some(done) = calls.join_next().await {
            let Ok((answer, parcel)) = done else { continue };
            match answer {
                Ok(Answer::Taken) => {
                    self.book.acknowledged(&parcel);
                    continue;
                }
                Ok(Answer::Refused) => self.refused += 1,
                Ok(Answer::Strange(what)) => self.strange.push(what),
                Err(_) => is_well = false,
            }
            self.kept.push(parcel);
        }
        is_well
    }
}
