//! Senders, network, server and troubles in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;
use truegreen_engine::Input;
use truegreen_model::time::Timestamp;
use truegreen_store::order::Event;
use truegreen_store::simulated::Faults;

use super::Broken;
use super::sender::{Deed, END, Mail, TIMEOUT, contract, way};
use super::server::{Outcome, Server};
use super::shape::{Shape, Trouble, What};
use crate::telemetry::{EPOCH, second};

/// What happens next, to whom. A number in front is that of the life it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Happens {
    Wakes(usize),
    Arrives { parcel: usize, attempt: u64 },
    Answered { parcel: usize, attempt: u64, is_taken: bool },
    TimesOut { sender: usize, attempt: u64 },
    Starts,
    Ticks(u32),
    Syncs(u32),
    CheckpointIsDue(u32),
    CheckpointIsTaken(u32),
    CheckpointIsWritten(u32),
    RetentionIsDue(u32),
    GoesWrong(usize),
    GoesRight(usize),
    Dies(u32, bool),
}

/// What was seen of a world that held.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Processes that were killed, or lost their power.
    pub crashes: u64,
    /// Processes that stopped in order.
    pub stops: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Of what was sent, how much was refused.
    pub refused: u64,
    /// Checkpoints that were written.
    pub checkpoints: u64,
}

/// A world.
pub struct World {
    shape: Shape,
    rng: Rng,
    now: Timestamp,
    agenda: BinaryHeap<Reverse<(Timestamp, u64, Happens)>>,
    count: u64,
    mail: Mail,
    server: Server,
    life: u32,
    /// The power fails with the next death.
    is_power_cut: bool,
    busy_until: Timestamp,
    /// How far the wall clock is behind.
    behind: Duration,
    tally: Tally,
}

/// How often an idle server lets time pass.
const TICK: Duration = Duration::from_secs(1);
/// Worlds that take longer never end.
const TOO_LONG: f64 = 3000.0;

/// Lives through the world of this shape.
///
/// # Errors
/// The sentence that is broken.
pub fn live(shape: &Shape) -> Result<Tally, Broken> {
    let mut world = World::new(shape);
    world.run()?;
    world.judge()?;
    Ok(world.tally)
}

impl World {
    fn new(shape: &Shape) -> World {
        let mail = Mail::of(shape);
        let mut world = World {
            rng: Rng::with_seed(shape.seed ^ 0x776f_726c),
            now: EPOCH,
            agenda: BinaryHeap::new(),
            count: 0,
            server: Server::new(shape.seed, contract(), shape.checkpoints),
            life: 0,
            is_power_cut: false,
            busy_until: EPOCH,
            behind: Duration::ZERO,
            tally: Tally { worlds: 1, ..Tally::default() },
            mail,
            shape: shape.clone(),
        };
        world.plan(Duration::ZERO, Happens::Starts);
        for (index, parcel) in world.mail.parcels.clone().into_iter().enumerate() {
            world.mail.posts[parcel.sender].waiting.push_back(index);
            world.plan(parcel.ready_at.since(EPOCH), Happens::Wakes(parcel.sender));
        }
        for (index, trouble) in world.shape.troubles.clone().into_iter().enumerate() {
            world.plan(Duration::from_millis(trouble.at_ms.into()), Happens::GoesWrong(index));
        }
        world
    }

    fn plan(&mut self, later: Duration, what: Happens) {
        self.count += 1;
        self.agenda.push(Reverse((self.now + later, self.count, what)));
    }

    fn plan_within(&mut self, millis: std::ops::Range<u64>, what: Happens) {
        let later = Duration::from_millis(self.rng.u64(millis));
        self.plan(later, what);
    }

    /// The server's wall clock.
    fn wall(&self) -> Timestamp {
        self.now - self.behind
    }

    fn run(&mut self) -> Result<(), Broken> {
        while let Some(Reverse((at, _, what))) = self.agenda.pop() {
            if at > second(END) && self.mail.is_done() && self.is_settled() {
                return Ok(());
            }
            if at > second(TOO_LONG) {
                return Err("whatever is sent again and again is taken in the end".to_owned());
            }
            self.now = at;
            self.happens(what)?;
            let wall = self.wall();
            let outcomes = self.server.go_on(wall, &mut self.mail.parcels)?;
            outcomes.into_iter().for_each(|outcome| self.follow(outcome));
        }
        Ok(())
    }

    /// Long after the last thing that was done or went wrong, and with a server that runs.
    fn is_settled(&self) -> bool {
        let last = self.shape.troubles.iter().map(|trouble| trouble.at_ms).max().unwrap_or_default();
        let calm = Duration::from_secs(400);
        let is_running = self.server.life.as_ref().is_some_and(|life| !life.is_failed());
        is_running && self.now.since(EPOCH + Duration::from_millis(last.into())) > calm
    }

    fn happens(&mut self, what: Happens) -> Result<(), Broken> {
        match what {
            Happens::Wakes(sender) => self.send(sender),
            Happens::Arrives { parcel, attempt } => self.arrive(parcel, attempt),
            Happens::Answered { parcel, attempt, is_taken } => self.hear(parcel, attempt, is_taken),
            Happens::TimesOut { sender, attempt } => self.time_out(sender, attempt),
            Happens::Starts => self.start()?,
            Happens::GoesWrong(index) => self.go_wrong(index),
            Happens::GoesRight(_) => self.server.disk.leave_free(1 << 40),
            Happens::Ticks(life) if life == self.life => {
                self.tell(Event::TickDue);
                self.plan(TICK, what);
            }
            Happens::CheckpointIsDue(life) if life == self.life => {
                self.tell(Event::CheckpointDue);
                self.plan_within(5_000..40_000, what);
            }
            Happens::RetentionIsDue(life) if life == self.life => {
                self.tell(Event::RetentionDue);
                self.plan_within(10_000..30_000, what);
            }
            Happens::Syncs(life) if life == self.life => self.server.synced(),
            Happens::CheckpointIsTaken(life) if life == self.life => {
                let is_given = self.rng.u8(..20) > 0;
                self.tell(if is_given { Event::CheckpointTaken } else { Event::CheckpointFailed });
            }
            Happens::CheckpointIsWritten(life) if life == self.life => {
                if self.rng.u8(..20) > 0 {
                    self.server.checkpoint_written();
                    self.tally.checkpoints += 1;
                } else {
                    self.tell(Event::CheckpointFailed);
                }
            }
            Happens::Dies(life, is_power_cut) if life == self.life => self.die(is_power_cut),
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        if let Some(life) = &mut self.server.life {
            life.tell(event);
        }
    }

    fn follow(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answer { parcel, attempt, is_taken } => {
                self.tally.acknowledged += u64::from(is_taken);
                if !is_taken {
                    self.refused(parcel);
                }
                self.answer(parcel, attempt, is_taken);
            }
            Outcome::Syncing => {
                let slow = self.rng.u8(..50) == 0;
                self.plan_within(if slow { 1000..8000 } else { 1..300 }, Happens::Syncs(self.life));
            }
            Outcome::TakingCheckpoint => self.plan_within(1..500, Happens::CheckpointIsTaken(self.life)),
            Outcome::WritingCheckpoint => self.plan_within(1..3000, Happens::CheckpointIsWritten(self.life)),
            Outcome::Died => self.die(self.is_power_cut),
            Outcome::Stopped => {
                self.tally.stops += 1;
                self.end_life(false);
            }
        }
    }

    fn refused(&mut self, parcel: usize) {
        self.tally.refused += 1;
        let sender = self.mail.parcels[parcel].sender;
        if let Some(life) = &mut self.server.life {
            life.gap(&self.mail.posts[sender].who);
            // Whoever runs it sees that it takes nothing any more.
            if life.is_failed() {
                self.plan_within(1000..20_000, Happens::Dies(self.life, false));
            }
        }
    }

    fn start(&mut self) -> Result<(), Broken> {
        if self.server.life.is_some() {
            return Ok(());
        }
        let wall = self.wall();
        self.server.start(wall, &self.mail.parcels)?;
        self.plan(TICK, Happens::Ticks(self.life));
        if self.shape.checkpoints {
            self.plan_within(5_000..40_000, Happens::CheckpointIsDue(self.life));
            self.plan_within(10_000..30_000, Happens::RetentionIsDue(self.life));
        }
        Ok(())
    }

    fn die(&mut self, is_power_cut: bool) {
        self.tally.crashes += 1;
        self.end_life(is_power_cut);
    }

    fn end_life(&mut self, is_power_cut: bool) {
        self.is_power_cut = false;
        self.life += 1;
        self.server.die(is_power_cut);
        self.plan_within(200..40_000, Happens::Starts);
    }

    fn go_wrong(&mut self, index: usize) {
        let Trouble { what, n, .. } = self.shape.troubles[index];
        let for_secs = Duration::from_secs(n.into());
        match (what, &mut self.server.life) {
            (What::Kill | What::PowerCut, Some(life)) => {
                life.doom(n);
                self.is_power_cut = what == What::PowerCut;
                // Where nothing happens, it dies idle.
                self.plan_within(500..3000, Happens::Dies(self.life, self.is_power_cut));
            }
            (What::Kill | What::PowerCut, None) => self.server.die(what == What::PowerCut),
            (What::Stop, _) => self.tell(Event::StopAsked),
            (What::FullDisk, _) => {
                let free = self.rng.u64(..4000);
                self.server.disk.leave_free(free);
                self.plan(for_secs * 4, Happens::GoesRight(index));
            }
            (What::FailedSync, _) => self.server.disk.fail(Faults { sync: true, ..Faults::default() }),
            (What::FailedWrite, _) => self.server.disk.fail(Faults { write: true, ..Faults::default() }),
            (What::Busy, _) => self.busy_until = self.now + for_secs,
            (What::ClockBack, _) => self.behind = for_secs,
        }
    }
}

impl World {
    /// The next parcel of this sender leaves, if none is on its way.
    fn send(&mut self, sender: usize) {
        let post = &mut self.mail.posts[sender];
        if post.sent.is_some() {
            return;
        }
        let Some(&parcel) = post.waiting.front().filter(|next| self.mail.parcels[**next].ready_at <= self.now) else {
            return;
        };
        post.sent = Some(parcel);
        post.attempt += 1;
        let attempt = post.attempt;
        self.plan(TIMEOUT, Happens::TimesOut { sender, attempt });
        let copies = if self.rng.u8(..20) == 0 { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(delay) = way(&mut self.rng) {
                self.plan(delay, Happens::Arrives { parcel, attempt });
            }
        }
    }

    fn arrive(&mut self, parcel: usize, attempt: u64) {
        let (wall, is_busy) = (self.wall(), self.now < self.busy_until);
        let Some(life) = &mut self.server.life else { return self.answer(parcel, attempt, false) };
        if is_busy {
            self.refused(parcel);
            self.answer(parcel, attempt, false);
        } else {
            life.offer(parcel, attempt, wall);
        }
    }

    fn answer(&mut self, parcel: usize, attempt: u64, is_taken: bool) {
        if let Some(delay) = way(&mut self.rng) {
            self.plan(delay, Happens::Answered { parcel, attempt, is_taken });
        }
    }

    fn hear(&mut self, parcel: usize, attempt: u64, is_taken: bool) {
        let sender = self.mail.parcels[parcel].sender;
        let post = &mut self.mail.posts[sender];
        if post.attempt != attempt || post.sent != Some(parcel) {
            return;
        }
        post.sent = None;
        self.mail.parcels[parcel].is_known |= is_taken;
        self.settle(sender, is_taken);
    }

    fn time_out(&mut self, sender: usize, attempt: u64) {
        let post = &mut self.mail.posts[sender];
        if post.attempt == attempt && post.sent.take().is_some() {
            self.settle(sender, false);
        }
    }

    /// An attempt is over.
    fn settle(&mut self, sender: usize, is_taken: bool) {
        let post = &mut self.mail.posts[sender];
        let is_kept = post.waiting.front().is_some_and(|parcel| self.mail.parcels[*parcel].is_kept);
        if is_taken || !is_kept {
            post.waiting.pop_front();
            self.plan(Duration::ZERO, Happens::Wakes(sender));
        } else {
            self.plan_within(500..5000, Happens::Wakes(sender));
        }
    }

    /// In the end.
    fn judge(&mut self) -> Result<(), Broken> {
        let entries = self.server.settle(&self.mail.parcels)?;
        let mut engine = super::history::replayed(&contract(), &entries);
        engine.apply(self.now, Input::Tick);
        let report = &engine.report().flows["orders"];
        let entered = self.mail.deeds.len() as u64;
        if report.entered != entered {
            return Err(format!("every acknowledged order is in the books, once: {entered}, {report:?}"));
        }
        let mut seen = super::history::Verdicts::new();
        for journey in engine.journeys() {
            if seen.insert(journey.key.clone(), journey.verdict).is_some() {
                return Err(format!("no order is in the books twice: {}", journey.key));
            }
        }
        let is_skewed = self.shape.troubles.iter().any(|trouble| trouble.what == What::ClockBack);
        for (order, deed) in self.mail.deeds.iter().enumerate() {
            let verdict = seen.get(&format!("order-{order}")).map_or("", String::as_str);
            let is_right = match deed {
                Deed::Done => verdict == "completed",
                // What comes from the future proves that clocks differ, and makes late what is later than that.
                Deed::Late => verdict == "late" || (is_skewed && verdict == "completed"),
                Deed::Forgotten => verdict == "unaccounted" || verdict == "unknown",
            };
            if !is_right {
                return Err(format!("what was done is in the books as it was done: order-{order} {deed:?} {verdict}"));
            }
        }
        // The power fails once more: what was told must be told again, by whoever starts then.
        self.server.die(true);
        let wall = self.wall();
        self.server.start(wall, &self.mail.parcels)?;
        Ok(())
    }
}
