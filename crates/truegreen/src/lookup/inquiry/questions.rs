//! Questions put to one system, one after the other, and what their answers mean.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use truegreen_connect::confirm::{Confirm, Found};
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::{Error, Kind};
use truegreen_model::answer::SystemAnswer;
use truegreen_model::flow::Expected;

use super::plan::Asked;
use super::{Answers, Inside, cannot_tell, now, shown};

/// More than the limit of one question, so that the system's own reason is heard first.
const GRACE: Duration = Duration::from_millis(250);

/// How far what answers may be behind the truth.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Behind {
    /// It is no replica, or nothing that tells.
    Never,
    /// By so many seconds.
    By(f64),
    /// It may be a replica, and does not say.
    Untold,
}

impl Inside {
    pub(super) async fn put(&self, system: &str, questions: Vec<Asked>, until: Instant) -> Answers {
        let source = match self.sources.find(system) {
            Ok(source) => source,
            Err(why) => {
                let blanks = questions.into_iter().flat_map(|asked| asked.blanks);
                let answers = blanks.map(|blank| cannot_tell(blank, &why)).collect();
                return Answers { answers, cut: Vec::new() };
            }
        };
        let kind = self.config(system).map(|config| config.address.kind());
        let mut answers = Vec::new();
        let mut gone: Option<Error> = None;
        for asked in questions {
            let blanks = asked.blanks.clone();
            let (began, asked_at) = (Instant::now(), now());
            let left = until.saturating_duration_since(began);
            let own = source.timeout().saturating_mul(blanks.len() as u32) + GRACE;
            let limit = own.min(left);
            let told = match (&gone, source.confirm()) {
                // Who cannot be reached is asked once.
                (Some(error), _) => Err(error.clone()),
                _ if left.is_zero() => {
                    Err(Error::NotAsked("what was asked before it took all the time there is".to_owned()))
                }
                (None, Some(confirm)) => ask(confirm, &asked, source.may_be_behind(), limit).await,
                (None, None) => Err(Error::NotAsked("nothing can be looked up there".to_owned())),
            };
            let seconds = began.elapsed().as_secs_f64();
            if let Err(error @ Error::Unreachable(_)) = &told {
                gone = Some(error.clone());
            }
            for (n, blank) in blanks.into_iter().enumerate() {
                let blank = SystemAnswer { asked_at: asked_at.clone(), seconds, ..blank };
                let found = match &told {
                    Ok((found, behind)) => found.get(n).cloned().map(|found| (found, *behind)),
                    Err(error) => Some((Err(error.clone()), Behind::Never)),
                };
                answers.push(match found {
                    Some((found, behind)) => {
                        answer(blank, kind, asked.expect.as_ref(), found, behind, self.desk.redaction())
                    }
                    None => cannot_tell(blank, "fewer answers than questions"),
                });
            }
        }
        Answers { answers, cut: Vec::new() }
    }
}

type Told = (Vec<Result<Found, Error>>, Behind);

async fn ask(confirm: &dyn Confirm, asked: &Asked, may_be_behind: bool, limit: Duration) -> Result<Told, Error> {
    confirm.check(&asked.ask).map_err(Error::NotAsked)?;
    let keys: Vec<String> = asked.blanks.iter().map(|blank| blank.key.clone()).collect();
    let behind = async {
        if !may_be_behind {
            return Behind::Never;
        }
        let seconds = timeout(limit, confirm.behind()).await.ok().flatten();
        seconds.filter(|seconds| seconds.is_finite()).map_or(Behind::Untold, |seconds| Behind::By(seconds.max(0.0)))
    };
    let (behind, found) = tokio::join!(behind, timeout(limit, confirm.ask(&asked.ask, &keys)));
    let found = found.unwrap_or(Err(Error::TimedOut { what: "the question", limit }))?;
    Ok((found, behind))
}

/// What was found, in words and as rows.
pub(super) fn answer(
    blank: SystemAnswer,
    kind: Option<Kind>,
    expect: Option<&Expected>,
    found: Result<Found, Error>,
    behind: Behind,
    redaction: &Redaction,
) -> SystemAnswer {
    let found = match found {
        Ok(Found::Rows(rows)) => rows,
        Ok(Found::Nothing) => Vec::new(),
        Err(error) => return cannot_tell(blank, &error.to_string()),
    };
    let is_there = expect.map(|expect| expect.is_met(&found));
    let thing = Thing::of(kind, blank.question.as_deref().unwrap_or_default(), &blank.key);
    let rows = shown::rows(&found, redaction);
    let as_of = match behind {
        Behind::By(seconds) if seconds >= 0.05 => format!(", as of {seconds:.1} s before: it is a replica"),
        _ => String::new(),
    };
    let (standing, says) = match (found.is_empty(), is_there) {
        // What is there is there; that nothing is there may have changed meanwhile.
        (true, _) if behind == Behind::Untold => {
            let none = thing.none();
            return cannot_tell(
                blank,
                &format!("{none}, but how far it is behind is not told, and it may be a replica"),
            );
        }
        (true, Some(true)) => ("not_found", format!("{}, as it should be{as_of}", thing.none())),
        (true, _) => ("not_found", format!("{}{as_of}", thing.none())),
        (false, Some(false)) => {
            let wanted = expect.map(expected).unwrap_or_default();
            ("found", format!("{}, but not {wanted}: {}{as_of}", thing.some(), shown::rows_text(&rows)))
        }
        (false, _) => ("found", format!("{}: {}", thing.some(), shown::rows_text(&rows))),
    };
    SystemAnswer { standing: standing.to_owned(), is_there, says, rows, ..blank }
}

fn expected(expect: &Expected) -> String {
    match expect {
        Expected::Row => "a row".to_owned(),
        Expected::Nothing => "gone, as it should be".to_owned(),
        Expected::Columns(columns) => {
            columns.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
        }
    }
}

/// What a question asks for, in the words of its system.
enum Thing {
    Row(Option<String>),
    Entry(String),
    At(String),
    Answer,
}

impl Thing {
    fn of(kind: Option<Kind>, question: &str, key: &str) -> Thing {
        let second = || question.split_whitespace().nth(1).unwrap_or_default().replace("{key}", key);
        match kind {
            Some(Kind::Postgres | Kind::Mysql) => Thing::Row(table(question)),
            Some(Kind::Redis) => Thing::Entry(second()),
            Some(Kind::Http) => Thing::At(second()),
            _ => Thing::Answer,
        }
    }

    fn none(&self) -> String {
        match self {
            Thing::Row(Some(table)) => format!("no row in {table}"),
            Thing::Row(None) => "no row".to_owned(),
            Thing::Entry(name) => format!("no entry {name}"),
            Thing::At(path) => format!("nothing at {path}"),
            Thing::Answer => "nothing".to_owned(),
        }
    }

    fn some(&self) -> String {
        match self {
            Thing::Row(Some(table)) => format!("a row in {table}"),
            Thing::Row(None) => "a row".to_owned(),
            Thing::Entry(name) => format!("entry {name}"),
            Thing::At(path) => format!("an answer at {path}"),
            Thing::Answer => "an answer".to_owned(),
        }
    }
}

/// The table that a statement reads first, where that is a plain name.
fn table(question: &str) -> Option<String> {
    let mut words = question.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';' | ','));
    words.by_ref().find(|word| word.eq_ignore_ascii_case("from"))?;
    let name = words.find(|word| !word.is_empty())?.replace(['"', '`'], "");
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    (is_plain && !name.eq_ignore_ascii_case("select")).then_some(name)
}
