//! Round after round: start, compare, load, end. After some rounds everything is finished, compared exactly, and begun
//! anew in another folder.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::check::{self, Faults, Kind, Verdicts};
use crate::line::Manner;
use crate::place::Place;
use crate::post::{Post, Task};
use crate::served::Served;

/// Rounds in one folder: what is replayed at a start grows with them.
const ROUNDS_IN_FOLDER: u64 = 10;
/// How long a server is under load before it is ended.
const LOAD_MS: std::ops::Range<u64> = 100..1800;
/// What finishing a folder may take.
const FINISHING: Duration = Duration::from_secs(60);

/// How a round ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Kill,
    /// The disk is full; then it is killed.
    FullDisk,
    /// No file may grow much further; then it is killed.
    ShortFiles,
    Stop,
}

pub(crate) struct Campaign {
    program: PathBuf,
    seed: u64,
    faults: Faults,
    ends: [u64; 4],
    acknowledged: u64,
    refused: u64,
    orders: u64,
    longest: Duration,
    /// Rounds before this are done, and what they left was compared.
    done: u64,
}

/// A folder and all who send to it.
struct Scene {
    place: Place,
    posts: Vec<Post>,
    old: Verdicts,
    rng: Rng,
}

impl Campaign {
    pub(crate) fn new(program: PathBuf, seed: u64) -> Campaign {
        Campaign {
            program,
            seed,
            faults: Faults::default(),
            ends: [0; 4],
            acknowledged: 0,
            refused: 0,
            orders: 0,
            longest: Duration::ZERO,
            done: 0,
        }
    }

    pub(crate) async fn run(&mut self, from: u64, rounds: u64) -> Result<()> {
        let mut next = from;
        while next < from + rounds {
            let until = (next + ROUNDS_IN_FOLDER).min(from + rounds);
            let broken = self.faults;
            let mut scene = self.scene(next)?;
            for round in next..until {
                if let Err(error) = self.round(&mut scene, round).await {
                    self.faults.other += 1;
                    println!("round {round}: {error}");
                }
            }
            if let Err(error) = self.finish(&mut scene, until - 1).await {
                self.faults.other += 1;
                println!("round {}: {error}", until - 1);
            }
            if self.faults != broken {
                println!("what was left of it is in {}", scene.place.keep().display());
            }
            println!("... {until} rounds, {} requests acknowledged", self.acknowledged);
            next = until;
            self.done = until;
        }
        Ok(())
    }

    fn scene(&self, round: u64) -> Result<Scene> {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(round);
        let mut rng = Rng::with_seed(seed);
        let wants_disk = (round / ROUNDS_IN_FOLDER).is_multiple_of(2);
        let place = Place::new(wants_disk, &mut rng)?;
        let manners = [(false, false), (false, true), (true, false), (true, true)];
        let post = |(index, (is_grpc, is_gzipped)): (usize, (bool, bool))| {
            let manner = Manner { is_grpc, is_gzipped };
            Post::new(&format!("p{index}"), manner, seed.wrapping_add(1 + index as u64))
        };
        let posts = manners.into_iter().enumerate().map(post).collect();
        Ok(Scene { place, posts, old: Verdicts::new(), rng })
    }

    async fn round(&mut self, scene: &mut Scene, round: u64) -> Result<()> {
        let began = Instant::now();
        let end = match (scene.rng.u8(..10), scene.place.is_mounted()) {
            (0, _) => End::Stop,
            (1 | 2, true) => End::FullDisk,
            (1 | 2, false) => End::ShortFiles,
            _ => End::Kill,
        };
        self.ends[end as usize] += 1;
        // What filled the disk may be gone before the start, or only after it.
        let is_freed_late = scene.rng.u8(..4) == 0;
        if !is_freed_late {
            scene.place.free();
        }
        let most_bytes = (end == End::ShortFiles).then(|| scene.place.longest_file() + scene.rng.u64(..200_000));
        // What is smaller than a file that a start must make is not started with.
        let served = match Served::start(&self.program, &scene.place, most_bytes) {
            Err(_) if most_bytes.is_some() => Served::start(&self.program, &scene.place, None)?,
            started => started?,
        };
        self.compare(scene, &served, round).await?;
        let (told, task) = watch::channel(Task::Load);
        let works = scene.set_to_work(&served, &task);
        let load = Duration::from_millis(scene.rng.u64(LOAD_MS));
        tokio::time::sleep(load / 2).await;
        scene.place.free();
        if end == End::FullDisk {
            scene.place.fill(scene.rng.u64(..300_000))?;
        }
        tokio::time::sleep(load / 2).await;
        let ended = if end == End::Stop { served.stop().await.map(Some) } else { served.kill().map(|()| None) };
        told.send_replace(Task::Stop);
        self.gather(scene, works, round).await?;
        if ended?.is_some_and(|status| !status.success()) {
            return Err(Error::other("a server that is asked to stop ends with success"));
        }
        self.longest = self.longest.max(began.elapsed());
        Ok(())
    }

    /// Everything is sent until it is acknowledged; once more the server is killed; then all must be there, exactly.
    async fn finish(&mut self, scene: &mut Scene, round: u64) -> Result<()> {
        scene.place.free();
        let served = Served::start(&self.program, &scene.place, None)?;
        let (_told, task) = watch::channel(Task::Finish);
        let works = scene.set_to_work(&served, &task);
        tokio::time::timeout(FINISHING, self.gather(scene, works, round)).await??;
        served.kill()?;
        let served = Served::start(&self.program, &scene.place, None)?;
        self.compare(scene, &served, round).await?;
        if !served.stop().await?.success() {
            return Err(Error::other("a server that is asked to stop ends with success"));
        }
        let verified = Command::new(&self.program).args(["store", "verify"]).arg(scene.place.data()).output()?;
        if !verified.status.success() {
            let said = String::from_utf8_lossy(&verified.stdout).into_owned();
            return Err(Error::other(format!("`store verify` finds the log whole: {said}")));
        }
        for post in &scene.posts {
            self.acknowledged += post.book.acknowledged;
            self.refused += post.refused;
            self.orders += post.book.orders.len() as u64;
        }
        Ok(())
    }

    async fn compare(&mut self, scene: &mut Scene, served: &Served, round: u64) -> Result<()> {
        let mut faults = check::books(&served.web, &scene.posts, scene.place.old_orders).await?;
        faults.extend(check::orders(&served.web, &scene.posts, &mut scene.rng).await?);
        let old = check::old(&served.web, scene.place.old_orders).await?;
        faults.extend(check::changed(&scene.old, &old));
        scene.old = old;
        for (kind, what) in faults {
            println!("round {round}: {what}");
            match kind {
                Kind::Lost => self.faults.lost += 1,
                Kind::Doubled => self.faults.doubled += 1,
                Kind::Changed => self.faults.changed += 1,
                Kind::Unbalanced => self.faults.unbalanced += 1,
            }
        }
        Ok(())
    }

    async fn gather(&mut self, scene: &mut Scene, works: Vec<JoinHandle<Post>>, round: u64) -> Result<()> {
        for work in works {
            let mut post = work.await.map_err(Error::other)?;
            for what in post.strange.drain(..) {
                println!("round {round}: no sender is told this: {what}");
                self.faults.other += 1;
            }
            scene.posts.push(post);
        }
        Ok(())
    }

    /// From which round on a campaign that was ended goes on.
    pub(crate) fn next(&self, from: u64) -> u64 {
        self.done.max(from)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_none()
    }

    pub(crate) fn summary(&self, rounds: u64, commit: &str) -> String {
        let Faults { lost, doubled, changed, unbalanced, other } = self.faults;
        let [kills, full, short, stops] = self.ends;
        format!(
            "crash: {rounds} rounds at {commit}, {lost} requests lost, {doubled} counted twice, {changed} verdicts \
             changed, {unbalanced} books unbalanced, {other} other faults ({kills} killed, {full} with a full disk, \
             {short} with short files, {stops} stopped; {} requests with {} orders acknowledged, {} refused; longest \
             round {:.1} s; seed {})",
            self.acknowledged,
            self.orders,
            self.refused,
            self.longest.as_secs_f64(),
            self.seed
        )
    }
}

impl Scene {
    fn set_to_work(&mut self, served: &Served, task: &watch::Receiver<Task>) -> Vec<JoinHandle<Post>> {
        let posts = std::mem::take(&mut self.posts);
        posts.into_iter().map(|post| tokio::spawn(post.work(served.ways.clone(), task.clone()))).collect()
    }
}
