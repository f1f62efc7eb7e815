//! Messages under way looked through for the key, where looking takes nothing from anybody.

use tokio::time::{Instant, timeout_at};
use truegreen_connect::live::Glance;
use truegreen_model::answer::{FoundLetter, SystemAnswer};
use truegreen_model::passage::CutReport;

use super::letters::{Catch, MAX_FOUND};
use super::plan::{Place, Sought};
use super::{Answers, Inside, cannot_tell, now};
use crate::lookup::when;

impl Inside {
    pub(super) async fn glance(&self, name: &str, places: Vec<Place>, sought: &Sought, until: Instant) -> Answers {
        let mut told = Answers::default();
        let Some((system, live)) = self.systems.get(name).and_then(|system| Some((system, system.live()?))) else {
            return told;
        };
        let mut gone: Option<String> = None;
        for place in places {
            let (began, asked_at) = (Instant::now(), now());
            // Each place has the time of one question.
            let until = until.min(began + system.config().timeout * 2);
            let glanced = match &gone {
                Some(why) => Err(why.clone()),
                None => match timeout_at(until, live.glance(&place.name)).await {
                    Ok(Ok(glance)) => Ok(glance),
                    Ok(Err(error)) => {
                        if matches!(error, truegreen_connect::Error::Unreachable(_)) {
                            gone = Some(error.to_string());
                        }
                        Err(error.to_string())
                    }
                    Err(_) => Err("it did not show what is under way in time".to_owned()),
                },
            };
            let blank = SystemAnswer {
                system: name.to_owned(),
                way: "messages".to_owned(),
                of: place.name.clone(),
                key: sought.words.first().cloned().unwrap_or_default(),
                asked_at,
                seconds: began.elapsed().as_secs_f64(),
                ..SystemAnswer::default()
            };
            match glanced {
                Ok(Glance::Nothing) if !place.is_certain => {}
                Ok(glance) => {
                    let (answer, further) = self.told(blank, &place.name, glance, sought);
                    told.answers.push(answer);
                    if further > 0 {
                        let why = format!("one answer shows {MAX_FOUND} messages of {} at the most", place.name);
                        told.cut.push(CutReport { what: "letters".to_owned(), count: further, why });
                    }
                }
                Err(why) => told.answers.push(cannot_tell(blank, &format!("{}: {why}", place.name))),
            }
        }
        told
    }

    fn told(&self, blank: SystemAnswer, name: &str, glance: Glance, sought: &Sought) -> (SystemAnswer, u64) {
        match glance {
            Glance::Nothing => (cannot_tell(blank, &format!("nothing to look into is called {name}")), 0),
            Glance::Counted { waiting, unacknowledged, consumers } => {
                (counted(blank, name, waiting, unacknowledged, consumers), 0)
            }
            Glance::Messages { place, messages, is_cut } => {
                let mut catch = Catch::default();
                messages.iter().for_each(|message| catch.see(message, sought, self.desk.redaction()));
                let further = catch.further;
                (searched(SystemAnswer { of: place, ..blank }, messages.len(), is_cut, catch), further)
            }
        }
    }
}

/// Of a queue it is known only how much is in it.
fn counted(blank: SystemAnswer, name: &str, waiting: u64, unacknowledged: Option<u64>, consumers: u64) -> SystemAnswer {
    if (waiting, unacknowledged) == (0, Some(0)) {
        let says = format!("not in {name}, which is empty");
        return SystemAnswer { standing: "not_found".to_owned(), says, ..blank };
    }
    let unacknowledged = unacknowledged.map(|n| format!(", {n} unacknowledged")).unwrap_or_default();
    let why = format!(
        "{name} is not read, since that takes messages from its consumers: {waiting} wait{unacknowledged}, {consumers} \
         consumers"
    );
    cannot_tell(blank, &why)
}

fn searched(blank: SystemAnswer, looked: usize, is_cut: bool, catch: Catch) -> SystemAnswer {
    let place = blank.of.clone();
    let Some(first) = catch.letters.first() else {
        if is_cut {
            return cannot_tell(
                blank,
                &format!("it is not among the last {looked} of {place}, and more lie before them"),
            );
        }
        let says = match looked {
            0 => format!("not in {place}, which is empty"),
            looked => format!("not among the {looked} in {place}"),
        };
        return SystemAnswer { standing: "not_found".to_owned(), says, ..blank };
    };
    let at = if first.at.is_empty() { String::new() } else { format!(" since {}", when::stamp(&first.at)) };
    let by = if first.by == "trace" { ", known by its trace alone" } else { "" };
    let further = catch.letters.len() as u64 - 1 + catch.further;
    let more = if further > 0 { format!(" (and {further} more)") } else { String::new() };
    let says = format!("in {place}{at}, taken or not{by}{more}");
    let of_message = |letter: FoundLetter| FoundLetter { error_type: String::new(), error: String::new(), ..letter };
    let letters = catch.letters.into_iter().map(of_message).collect();
    SystemAnswer { standing: "found".to_owned(), says, letters, ..blank }
}
