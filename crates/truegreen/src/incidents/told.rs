//! What a diagnosis tells, read leniently: a record outlives the program that wrote it, and may have come from a newer one.

use serde_json::Value;
use truegreen_connect::dead_letters::payload;
use truegreen_model::incident::Cause;

/// Of one text that is taken over.
const MAX_CHARS: usize = 600;
/// Of one list that is taken over.
const MAX_ITEMS: usize = 50;

/// A diagnosis as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a>(&'a Value);

/// A suspect.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Suspect {
    /// 1 is the most probable; the same number twice is a tie.
    pub(crate) rank: u64,
    /// In one line.
    pub(crate) title: String,
    /// What speaks for it.
    pub(crate) evidence: Vec<String>,
    /// Where it is.
    pub(crate) cause: Option<Cause>,
}

/// A change, as the diagnosis ranks it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Change {
    /// When; empty where that is not told.
    pub(crate) at: String,
    /// In one line.
    pub(crate) title: String,
    /// Why it is ranked so.
    pub(crate) reasons: Vec<String>,
}

/// One of the questions that are asked of every finding.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answered {
    /// The question.
    pub(crate) question: String,
    /// The answer, with its evidence.
    pub(crate) answer: String,
}

impl<'a> Told<'a> {
    pub(crate) fn of(diagnosis: &'a Value) -> Told<'a> {
        Told(diagnosis)
    }

    /// `CONFIRMED`, `LIKELY` or `INCONCLUSIVE`.
    pub(crate) fn verdict(self) -> String {
        text(&self.0["verdict"]).unwrap_or_else(|| "INCONCLUSIVE".to_owned())
    }

    pub(crate) fn says(self) -> String {
        text(&self.0["says"]).unwrap_or_default()
    }

    pub(crate) fn as_of(self) -> String {
        text(&self.0["as_of"]).unwrap_or_default()
    }

    pub(crate) fn reasons(self) -> Vec<String> {
        lines(&self.0["reasons"])
    }

    /// When it began.
    pub(crate) fn onset(self) -> Option<String> {
        text(&self.0["onset"]["at"])
    }

    pub(crate) fn onset_says(self) -> Option<String> {
        text(&self.0["onset"]["says"])
    }

    pub(crate) fn radius_says(self) -> Option<String> {
        text(&self.0["radius"]["says"])
    }

    /// Keys that fail, as far as they are counted.
    pub(crate) fn keys(self) -> Option<u64> {
        self.0["radius"]["keys"].as_u64()
    }

    /// Different users among those that were looked at.
    pub(crate) fn users(self) -> Option<u64> {
        self.0["radius"]["users"].as_u64()
    }

    /// What was compared, in one sentence.
    pub(crate) fn compared(self) -> Option<String> {
        let of = &self.0["compared"];
        let number = |name: &str| of[name].as_u64();
        let (failing, healthy) = (number("failing")?, number("healthy")?);
        let (all_failing, all_healthy) =
            (number("failing_of").unwrap_or(failing), number("healthy_of").unwrap_or(healthy));
        let records = number("records").unwrap_or_default();
        Some(format!(
            "{failing} of {all_failing} failing ones were held against {healthy} of {all_healthy} healthy ones, by {records} \
             spans and log records"
        ))
    }

    /// Conditions of each part of the answer to what is different.
    pub(crate) fn differences(self) -> Vec<Vec<String>> {
        let explanations = list(&self.0["difference"]["explanations"]);
        explanations.map(|one| list(&one["conditions"]).filter_map(condition).collect()).collect()
    }

    /// What is different, a line for each part of the answer.
    pub(crate) fn difference_lines(self) -> Vec<String> {
        let line = |one: &Value| {
            let conditions: Vec<String> = list(&one["conditions"]).filter_map(condition).collect();
            let percent = |name: &str| one[name].as_f64().map(|share| format!("{:.0} %", share * 100.0));
            let mut line = conditions.join(" and ");
            if let (Some(failing), Some(healthy)) = (percent("failing_share"), percent("healthy_share")) {
                line.push_str(&format!(": {failing} of the failing ones, {healthy} of the healthy ones"));
            }
            if let Some(ratio) = one["risk_ratio"].as_f64() {
                line.push_str(&format!(", fails {ratio:.1} times as often"));
            }
            line
        };
        list(&self.0["difference"]["explanations"]).map(line).collect()
    }

    pub(crate) fn difference_says(self) -> Option<String> {
        text(&self.0["difference"]["summary"]).or_else(|| text(&self.0["difference"]["says"]))
    }

    /// What changed, the most suspect first.
    pub(crate) fn changes(self) -> Vec<Change> {
        let of = &self.0["changes"];
        let ranking = if of.is_array() { of } else { &of["ranking"] };
        let change = |one: &Value| {
            let inner = if one["change"].is_object() { &one["change"] } else { one };
            let at = text(&inner["at"]).or_else(|| text(&inner["time"])).unwrap_or_default();
            let title = ["says", "title", "summary", "name", "kind"].into_iter().find_map(|name| text(&inner[name]));
            let id = text(&one["id"]);
            Some(Change { at, title: title.or(id)?, reasons: lines(&one["reasons"]) })
        };
        list(ranking).filter_map(change).collect()
    }

    /// The questions that are asked of every finding.
    pub(crate) fn questions(self) -> Vec<Answered> {
        let answered = |one: &Value| {
            let question = text(&one["question"]).or_else(|| text(&one["asks"]))?;
            let answer = text(&one["says"]).or_else(|| text(&one["answer"]))?;
            let evidence = lines(&one["evidence"]);
            let answer = if evidence.is_empty() { answer } else { format!("{answer} ({})", evidence.join("; ")) };
            Some(Answered { question, answer })
        };
        list(&self.0["questions"]).filter_map(answered).collect()
    }

    /// Suspects, the most probable first.
    pub(crate) fn suspects(self) -> Vec<Suspect> {
        let of = &self.0["suspects"];
        let all = if of.is_array() { of } else { &of["suspects"] };
        list(all).enumerate().map(|(n, one)| suspect(n, one)).collect()
    }

    /// What was ruled out, and by what.
    pub(crate) fn ruled_out(self) -> Vec<String> {
        lines(&self.0["ruled_out"])
    }

    /// The one cause that it names: the place at the bottom of it, or else its first suspect; nothing where it names none, or
    /// several that look alike.
    pub(crate) fn cause(self) -> Option<Cause> {
        if self.verdict() == "INCONCLUSIVE" {
            return None;
        }
        let suspects = self.suspects();
        let is_tied = suspects.get(1).is_some_and(|second| suspects[0].rank == second.rank);
        let first = suspects.first().and_then(|first| first.cause.clone()).filter(|_| !is_tied);
        let of = &self.0["cause"];
        let Some(service) = text(&of["service"]) else { return first };
        // A hop names who owes the step; what of it, the suspect may tell.
        let of_suspect = first.filter(|first| first.service == service).and_then(|first| first.operation);
        Some(Cause { operation: text(&of["operation"]).or(of_suspect), service })
    }

    /// How another finding stands to the one that was diagnosed: `cause`, `consequence` or `beside`.
    pub(crate) fn relation(self, finding: &str) -> Option<String> {
        let one = list(&self.0["related"]).find(|one| one["finding"].as_str() == Some(finding))?;
        text(&one["relation"])
    }

    /// Findings that explain it, and those that follow from it; a line each.
    pub(crate) fn related_lines(self) -> Vec<String> {
        let related_line = |one: &Value| {
            let how = match one["relation"].as_str()? {
                "cause" => "Explained by",
                "consequence" => "Follows from it",
                _ => return None,
            };
            let (title, finding) = (text(&one["title"])?, text(&one["finding"])?);
            let why = text(&one["why"]).map(|why| format!("; {why}")).unwrap_or_default();
            Some(format!("{how}: {title} (finding {finding}{why})"))
        };
        list(&self.0["related"]).filter_map(related_line).collect()
    }
}

fn suspect(n: usize, one: &Value) -> Suspect {
    let rank = one["rank"].as_u64().unwrap_or(n as u64 + 1);
    let service = text(&one["service"]);
    let operation = text(&one["operation"]);
    let said = ["says", "title"].into_iter().find_map(|name| text(&one[name]));
    let title = said.unwrap_or_else(|| {
        let kind = text(&one["kind"]).map(|kind| format!("{}: ", kind.replace('_', " ")));
        let place = [operation.clone(), service.clone()].into_iter().flatten().collect::<Vec<_>>().join(" of ");
        let instance = text(&one["instance"]).map(|instance| format!(", instance {instance}"));
        let missing = text(&one["missing_after"]).map(|after| format!(", nothing comes after {after}"));
        let event = text(&one["log_event"]).map(|event| format!(", logs {event:?}"));
        [kind, Some(place), instance, missing, event].into_iter().flatten().collect()
    });
    let cause = service.map(|service| Cause { service, operation });
    Suspect { rank, title, evidence: lines(&one["evidence"]), cause }
}

fn condition(one: &Value) -> Option<String> {
    let attribute = text(&one["attribute"])?;
    let op = text(&one["op"])?;
    let value = match &one["value"] {
        Value::Null => String::new(),
        Value::String(value) => payload::line(value, MAX_CHARS),
        other => other.to_string(),
    };
    Some(if value.is_empty() { format!("{attribute} {op}") } else { format!("{attribute} {op} {value}") })
}

fn list(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().into_iter().flatten().take(MAX_ITEMS)
}

fn text(of: &Value) -> Option<String> {
    of.as_str().filter(|text| !text.is_empty()).map(|text| payload::line(text, MAX_CHARS))
}

/// Each item as one line, whatever it is.
fn lines(of: &Value) -> Vec<String> {
    let of = match of {
        Value::Array(_) => list(of).collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    of.into_iter().map(line).filter(|line| !line.is_empty()).collect()
}

fn line(one: &Value) -> String {
    if let Some(text) = text(one) {
        return text;
    }
    let told = |names: &[&str]| names.iter().find_map(|name| text(&one[*name]));
    let what = told(&["says", "title", "text", "summary", "what", "name", "id", "service"]);
    let why = told(&["because", "by", "why", "reason", "evidence"]);
    match (what, why) {
        (Some(what), Some(why)) => format!("{what}: {why}"),
        (Some(what), None) => what,
        _ if one.is_object() || one.is_array() => payload::line(&one.to_string(), MAX_CHARS),
        _ => one.as_f64().map(|number| number.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diagnosis_reads_as_its_parts() {
        let diagnosis = json!({
            "verdict": "LIKELY", "says": "inventory skips backorders",
            "difference": {"explanations": [{"conditions": [{"attribute": "event.type", "op": "=", "value": "backorder"}],
                "failing_share": 1.0, "healthy_share": 0.02, "risk_ratio": 49.5}], "summary": "one kind of event"},
            "changes": {"ranking": [{"id": "c-1", "score": 3.0, "reasons": ["two minutes before"]}]},
            "questions": [{"question": "Was anything deployed?", "answer": "yes", "evidence": ["inventory 1.4.2"]}],
            "suspects": [{"rank": 1, "service": "inventory", "operation": "apply", "kind": "skipped_work",
                "missing_after": "stock-events process", "evidence": ["no update follows"]}],
            "ruled_out": [{"title": "the broker", "because": "its queue is empty"}],
            "radius": {"keys": 17, "users": 12, "says": "17 orders"},
            "compared": {"failing": 17, "failing_of": 17, "healthy": 512, "healthy_of": 4000, "records": 9000},
        });
        let told = Told::of(&diagnosis);
        assert_eq!(told.differences(), [["event.type = backorder"]]);
        assert_eq!(
            told.difference_lines(),
            ["event.type = backorder: 100 % of the failing ones, 2 % of the healthy ones, fails 49.5 times as often"]
        );
        assert_eq!(told.changes()[0].title, "c-1");
        assert_eq!(told.questions()[0].answer, "yes (inventory 1.4.2)");
        assert_eq!(
            told.suspects()[0].title,
            "skipped work: apply of inventory, nothing comes after stock-events process"
        );
        assert_eq!(told.ruled_out(), ["the broker: its queue is empty"]);
        assert_eq!(told.cause().unwrap().service, "inventory");
        assert!(told.compared().unwrap().starts_with("17 of 17 failing ones were held against 512 of 4000"));
    }

    #[test]
    fn what_is_no_diagnosis_tells_nothing_and_ties_name_no_cause() {
        for odd in [json!(null), json!(7), json!("x"), json!([1]), json!({"suspects": 3, "changes": "x", "radius": []})]
        {
            let told = Told::of(&odd);
            assert_eq!((told.verdict().as_str(), told.cause(), told.keys()), ("INCONCLUSIVE", None, None), "{odd}");
            assert!(told.suspects().is_empty() && told.changes().is_empty() && told.differences().is_empty());
        }
        let suspects = json!([{"rank": 1, "service": "a"}, {"rank": 1, "service": "b"}]);
        assert_eq!(Told::of(&json!({"verdict": "LIKELY", "suspects": suspects})).cause(), None);
    }

    #[test]
    fn the_place_at_the_bottom_is_the_cause_and_others_follow() {
        let related = json!([
            {"finding": "b", "relation": "cause", "title": "zero rows at inventory", "why": "both are about `inventory`"},
            {"finding": "c", "relation": "consequence", "title": "inventory lies", "why": ""},
            {"finding": "d", "relation": "beside", "title": "something else", "why": "at the same time"},
        ]);
        let cause = json!({"finding": "b", "service": "inventory", "operation": null});
        let suspects = json!([{"rank": 1, "service": "inventory", "operation": "apply"}]);
        let mut diagnosis = json!({"verdict": "LIKELY", "cause": cause, "related": related, "suspects": suspects});
        let told = Told::of(&diagnosis);
        let named = told.cause().unwrap();
        assert_eq!((named.service.as_str(), named.operation.as_deref()), ("inventory", Some("apply")));
        assert_eq!((told.relation("c").as_deref(), told.relation("a")), (Some("consequence"), None));
        assert_eq!(
            told.related_lines(),
            [
                "Explained by: zero rows at inventory (finding b; both are about `inventory`)",
                "Follows from it: inventory lies (finding c)",
            ]
        );
        diagnosis["suspects"] = json!([{"rank": 1, "service": "payments", "operation": "charge"}]);
        assert_eq!(Told::of(&diagnosis).cause().unwrap().operation, None, "another service's operation is none of it");
    }
}
