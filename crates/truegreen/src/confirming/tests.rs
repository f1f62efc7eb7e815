//! Against a folder in which each file is a row: a system that can be read, slowed down and taken away.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use truegreen_connect::Error;
use truegreen_connect::confirm::{Confirm, Found};
use truegreen_model::confirmation::{Answer, NoAnswer, QuestionId};
use truegreen_model::flow::{Expected, FlowId, StepId};
use truegreen_model::observation::KeyHash;

use super::*;

/// A row for each file, its columns the lines `name=value`.
struct Folder {
    path: PathBuf,
    behind: Option<f64>,
    may_be_behind: bool,
    hangs: bool,
    batches: AtomicU64,
}

impl Source for Folder {
    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn may_be_behind(&self) -> bool {
        self.may_be_behind
    }
}

#[async_trait]
impl Confirm for Folder {
    fn check(&self, question: &str) -> Result<(), String> {
        if question.starts_with("READ ") { Ok(()) } else { Err("it does not only read".to_owned()) }
    }

    async fn ask(&self, _: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if !self.path.is_dir() {
            return Err(Error::Unreachable("no such folder".to_owned()));
        }
        let row = |key: &String| {
            if key.contains('/') {
                return Err(Error::Denied(key.clone()));
            }
            let Ok(text) = std::fs::read_to_string(self.path.join(key)) else { return Ok(Found::Nothing) };
            let column = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), Some(value.into())));
            Ok(Found::Rows(vec![text.lines().filter_map(column).collect()]))
        };
        Ok(keys.iter().map(row).collect())
    }

    async fn behind(&self) -> Option<f64> {
        self.behind
    }
}

/// What was made durable; it fails so many times before.
#[derive(Clone)]
struct Journal {
    answers: mpsc::UnboundedSender<Confirmation>,
    failures: Arc<Mutex<u32>>,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Answers for Journal {
    async fn record(&self, answers: Vec<Confirmation>) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if *failures > 0 {
            *failures -= 1;
            return false;
        }
        answers.into_iter().for_each(|answer| drop(self.answers.send(answer)));
        true
    }

    async fn ended(&self) {
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }
}

/// A folder that is asked.
struct World {
    asker: Asker,
    answers: mpsc::UnboundedReceiver<Confirmation>,
    stop: tokio::sync::watch::Sender<bool>,
    folder: Arc<Folder>,
    metrics: Arc<Metrics>,
    running: tokio::task::JoinHandle<()>,
    _rows: tempfile::TempDir,
}

impl World {
    fn with(failures: u32, change: impl FnOnce(&mut Folder)) -> World {
        let rows = tempfile::tempdir().unwrap();
        std::fs::write(rows.path().join("shipped"), "state=shipped\nlines=3").unwrap();
        let mut folder = Folder {
            path: rows.path().to_owned(),
            behind: None,
            may_be_behind: false,
            hangs: false,
            batches: AtomicU64::new(0),
        };
        change(&mut folder);
        let folder = Arc::new(folder);
        let (asker, questions) = channel();
        let (sender, answers) = mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let journal = Journal { answers: sender, failures: Arc::new(Mutex::new(failures)), stop: stopped };
        let metrics = Arc::new(Metrics::default());
        let source: Arc<dyn Source> = folder.clone();
        let sources = Sources::new([("folder".to_owned(), source)]);
        let running = tokio::spawn(run(questions, sources, journal, metrics.clone()));
        World { asker, answers, stop, folder, metrics, running, _rows: rows }
    }

    fn ask(&self, key: &str, ask: &str, expect: Expected) {
        self.asker.ask(Question {
            id: QuestionId { flow: FlowId(0), key: KeyHash(1), step: StepId(1) },
            flow: "orders".to_owned(),
            step: "shipped".to_owned(),
            key: key.to_owned(),
            system: "folder".to_owned(),
            ask: ask.to_owned(),
            expect,
        });
    }

    async fn answer(&mut self, key: &str, expect: Expected) -> Answer {
        self.ask(key, "READ {key}", expect);
        self.answers.recv().await.unwrap().answer
    }
}

fn columns(state: &str) -> Expected {
    Expected::Columns([("state".to_owned(), state.to_owned())].into())
}

const NOT_THERE: Answer = Answer::NotThere { behind: Some(Duration::ZERO) };

#[tokio::test]
async fn rows_mean_what_the_contract_says_they_mean() {
    let mut world = World::with(0, |_| {});
    for (key, expect, answer) in [
        ("shipped", Expected::Row, Answer::There),
        ("shipped", Expected::Nothing, NOT_THERE),
        ("shipped", columns("shipped"), Answer::There),
        ("shipped", columns("taken"), NOT_THERE),
        ("nobody", Expected::Row, NOT_THERE),
        ("nobody", Expected::Nothing, Answer::There),
        ("nobody", columns("shipped"), NOT_THERE),
        ("../secret", Expected::Row, Answer::CannotTell(NoAnswer::Denied)),
    ] {
        assert_eq!(world.answer(key, expect.clone()).await, answer, "{key} {expect:?}");
    }
    let mut replica = World::with(0, |folder| folder.behind = Some(2.5));
    let behind = Some(Duration::from_millis(2_500));
    assert_eq!(replica.answer("nobody", Expected::Row).await, Answer::NotThere { behind });
    let mut unknown = World::with(0, |folder| folder.may_be_behind = true);
    assert_eq!(unknown.answer("nobody", Expected::Row).await, Answer::NotThere { behind: None });
    assert_eq!(unknown.answer("shipped", Expected::Row).await, Answer::There, "what is there is there");
}

#[tokio::test]
async fn many_questions_are_asked_in_batches() {
    let mut world = World::with(0, |_| {});
    (0..60).for_each(|n| world.ask(&format!("order-{n}"), "READ {key}", Expected::Row));
    for _ in 0..60 {
        assert_eq!(world.answers.recv().await.unwrap().answer, NOT_THERE);
    }
    let batches = world.folder.batches.load(Ordering::Relaxed);
    assert!((3..10).contains(&batches), "{batches} batches");
}

#[tokio::test]
async fn a_system_that_is_gone_or_hangs_is_said() {
    for (hangs, why) in [(false, NoAnswer::Unreachable), (true, NoAnswer::TimedOut)] {
        let mut world = World::with(0, |folder| {
            folder.hangs = hangs;
            folder.path = PathBuf::from("/nowhere/at/all");
        });
        for _ in 0..2 {
            assert_eq!(world.answer("shipped", Expected::Row).await, Answer::CannotTell(why));
        }
        assert_eq!(world.metrics.asked_batches.get()["failed"], 2);
    }
}

#[tokio::test]
async fn a_question_that_would_write_is_never_asked() {
    let mut world = World::with(0, |_| {});
    world.ask("shipped", "DROP TABLE moves", Expected::Row);
    assert_eq!(world.answers.recv().await.unwrap().answer, Answer::CannotTell(NoAnswer::NotAsked));
    assert_eq!(world.folder.batches.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_answer_waits_until_it_is_durable_and_is_not_asked_for_again() {
    let mut world = World::with(1, |_| {});
    assert_eq!(world.answer("shipped", Expected::Row).await, Answer::There);
    assert_eq!(world.folder.batches.load(Ordering::Relaxed), 1);
    assert_eq!(world.metrics.unasked.get()["recorded_later"], 1);
}

#[tokio::test]
async fn a_system_that_nobody_named_is_counted_and_the_end_waits_for_no_answer() {
    let world = World::with(0, |folder| folder.hangs = true);
    world.ask("shipped", "READ {key}", Expected::Row);
    let unknown = Question {
        id: QuestionId { flow: FlowId(0), key: KeyHash(1), step: StepId(1) },
        flow: "orders".to_owned(),
        step: "shipped".to_owned(),
        key: "shipped".to_owned(),
        system: "nobody".to_owned(),
        ask: "READ {key}".to_owned(),
        expect: Expected::Row,
    };
    (0..3).for_each(|_| world.asker.ask(unknown.clone()));
    while world.metrics.unasked.get().get("no_system") != Some(&3) {
        tokio::task::yield_now().await;
    }
    world.stop.send_replace(true);
    world.running.await.unwrap();
}
