//! The nine steps. Pure: what was asked of the server comes in, sentences come out.

use serde::Serialize;
use truegreen_model::incident::{Evidence, Hypothesis, Incident, Origin, State};
use truegreen_model::map::{Arrow, BlindSpot};
use truegreen_model::probe::Standing;

use super::gathered::Gathered;
use crate::lookup::when;
use crate::wording;

/// Lines of one step; the API has the rest.
const MAX_LINES: usize = 14;
/// So long a record may be open without a hypothesis that somebody stands by.
const NUDGE_AFTER_NANOS: u64 = 60 * 60 * 1_000_000_000;

/// What one step came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Step {
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// The result, in one sentence.
    pub(super) says: String,
    /// What shows it.
    pub(super) lines: Vec<String>,
}

/// All nine, in their order.
pub(super) fn all(gathered: &Gathered) -> Vec<Step> {
    let steps: [(&'static str, (String, Vec<String>)); 9] = [
        ("Map", map(gathered)),
        ("Narrow", narrow(gathered)),
        ("Silent points", silent_points(gathered)),
        ("What changed", what_changed(gathered)),
        ("Honest health", honest_health(gathered)),
        ("Trace one", trace_one(gathered)),
        ("Hypotheses", hypotheses(gathered)),
        ("Cause, not symptom", cause(gathered)),
        ("Document", documented(gathered)),
    ];
    let step = |(n, (name, (says, lines)))| Step { number: n as u8 + 1, name, says, lines: shortened(lines) };
    steps.into_iter().enumerate().map(step).collect()
}

fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn map(gathered: &Gathered) -> (String, Vec<String>) {
    let finding = &gathered.finding;
    let mut says = match (&finding.service, &finding.after, &finding.before) {
        (Some(service), ..) => {
            let operation = finding.operation.as_ref().map(|operation| format!("{operation} of ")).unwrap_or_default();
            let peer = finding.peer.as_ref().map(|peer| format!(", towards {peer}")).unwrap_or_default();
            let subject = finding.subject.as_ref().map(|subject| format!(", on {subject}")).unwrap_or_default();
            format!("it is at {operation}{service}{peer}{subject}")
        }
        (_, Some(after), Some(before)) => {
            format!("in {} it is between {after} and {before}, of {}", finding.flow, gathered.steps.join(" → "))
        }
        _ => format!("it is about all of {}: {}", finding.flow, gathered.steps.join(" → ")),
    };
    let way = gathered.on_the_way();
    let mut arrows: Vec<&Arrow> =
        gathered.map.arrows.iter().filter(|arrow| way.contains(&arrow.from) || way.contains(&arrow.to)).collect();
    // Where calls fail stands first, then what carries most.
    arrows.sort_by_key(|arrow| (std::cmp::Reverse((arrow.errors, arrow.count)), &arrow.from, &arrow.to));
    if arrows.is_empty() {
        says.push_str("; no traffic of those on its way is on the map");
    }
    let line = |arrow: &Arrow| {
        format!(
            "{} → {} ({}): {} times, {} failed, p99 {}, last at {}",
            arrow.from,
            arrow.to,
            arrow.kind.name(),
            arrow.count,
            arrow.errors,
            when::duration((arrow.p99_seconds * 1e9) as u64),
            when::stamp(&arrow.last_seen)
        )
    };
    (says, arrows.into_iter().map(line).collect())
}

/// What every step says that rests on the diagnosis, where there is none.
fn cannot_tell(gathered: &Gathered) -> String {
    let why = if gathered.no_diagnosis.is_empty() { "no diagnosis was made" } else { &gathered.no_diagnosis };
    format!("cannot tell, because {}", why.trim_end_matches('.'))
}

fn narrow(gathered: &Gathered) -> (String, Vec<String>) {
    let finding = &gathered.finding;
    let concerned = wording::concerned(finding);
    let Some(told) = gathered.told() else {
        let lines = vec![format!("{concerned} so far; for example {}", finding.examples.join(", "))];
        return (cannot_tell(gathered), lines);
    };
    let differences = told.difference_lines();
    let says = match (differences.first(), told.difference_says()) {
        (Some(first), _) => format!("those that fail have in common: {first}"),
        (None, Some(says)) => says,
        (None, None) => told.radius_says().unwrap_or(concerned),
    };
    let mut lines: Vec<String> = differences.into_iter().skip(1).map(|line| format!("and: {line}")).collect();
    lines.extend(told.radius_says().filter(|radius| *radius != says));
    lines.extend(told.onset_says());
    lines.extend(told.compared());
    (says, lines)
}

fn silent_points(gathered: &Gathered) -> (String, Vec<String>) {
    let way = gathered.on_the_way();
    let on_the_way = |spot: &&BlindSpot| way.contains(&spot.from) || way.contains(&spot.to);
    let spots: Vec<&BlindSpot> = gathered.blind_spots.iter().filter(on_the_way).collect();
    let (seen, unseen): (Vec<&BlindSpot>, Vec<&BlindSpot>) = spots.iter().partition(|spot| spot.is_seen);
    let says = match (spots.len(), unseen.len()) {
        (0, _) => "cannot tell, because nothing on its way is on the map".to_owned(),
        (_, 0) => format!("each of {} to fail in silence on its way would be seen", ways(seen.len())),
        (_, n) => format!("{} to fail on its way would not be seen", ways(n)),
    };
    let line = |spot: &BlindSpot| format!("{} → {}: {}; {}", spot.from, spot.to, spot.way, spot.closes);
    (says, unseen.into_iter().map(line).collect())
}

fn ways(n: usize) -> String {
    wording::number_of(n, "way", "ways")
}

fn what_changed(gathered: &Gathered) -> (String, Vec<String>) {
    let Some(told) = gathered.told() else { return (cannot_tell(gathered), Vec::new()) };
    let changes = told.changes();
    let shown = |change: &crate::incidents::told::Change| {
        let at = if change.at.is_empty() { String::new() } else { format!(" at {}", when::stamp(&change.at)) };
        let why = if change.reasons.is_empty() { String::new() } else { format!(": {}", change.reasons.join("; ")) };
        format!("{}{at}{why}", change.title)
    };
    let says = match changes.as_slice() {
        [] => "no change is known that may have set it off".to_owned(),
        [only] => format!("one change is known: {}", shown(only)),
        [first, ..] => format!("of {} changes the most suspect is {}", changes.len(), shown(first)),
    };
    let mut lines: Vec<String> = changes.iter().skip(1).map(shown).collect();
    lines.extend(told.questions().into_iter().map(|one| format!("{} {}", one.question, one.answer)));
    (says, lines)
}

fn honest_health(gathered: &Gathered) -> (String, Vec<String>) {
    let asked = wording::number_of(gathered.probes.len(), "system", "systems");
    let with = |standing: Standing| gathered.probes.iter().filter(move |probe| probe.standing == standing);
    let (fail, unknown) = (with(Standing::Fail).count(), with(Standing::Unknown).count());
    let mut says = match gathered.probes.len() {
        0 => "cannot tell, because no system is asked itself".to_owned(),
        _ => format!("asked themselves: {asked}, {fail} failing, {unknown} unknown"),
    };
    if !gathered.lies.is_empty() {
        let lies = wording::number_of(gathered.lies.len(), "health check lies", "health checks lie");
        says.push_str(&format!("; {lies}"));
    }
    let mut lines = gathered.lies.clone();
    for probe in with(Standing::Fail).chain(with(Standing::Unknown)).chain(with(Standing::Warn)) {
        for check in probe.checks.iter().filter(|check| check.standing != Standing::Pass) {
            let component = if check.component.is_empty() { String::new() } else { format!("{} ", check.component) };
            let why = check.reason.lines().next().unwrap_or_default();
            lines.push(format!("{} {}: {component}{}: {why}", probe.system, check.standing.name(), check.measurement));
        }
    }
    (says, lines)
}

fn trace_one(gathered: &Gathered) -> (String, Vec<String>) {
    let Some((key, passage)) = &gathered.passage else {
        let says = match gathered.finding.examples.first() {
            Some(key) => format!("cannot tell, because nothing is known of {key} any more"),
            None => "cannot tell, because the finding is about no single request".to_owned(),
        };
        return (says, Vec::new());
    };
    let told = passage.conclusion.clone().or_else(|| passage.gaps.first().map(|gap| gap.says.clone()));
    let says = told.unwrap_or_else(|| {
        let failed = passage.spans.iter().filter(|span| span.outcome == "failed").count();
        format!("{} of {key}, of which {failed} failed", wording::count(passage.spans.len() as u64, "span"))
    });
    let span = |span: &truegreen_model::passage::SpanReport| {
        let took = when::duration(span.duration_nanos);
        format!("{} {}: {}, {took}, {}", when::stamp(&span.started_at), span.service, span.name, span.outcome)
    };
    let mut lines: Vec<String> = passage.spans.iter().map(span).collect();
    lines.truncate(MAX_LINES - 2);
    lines.extend(passage.answers.first().map(|answer| format!("{} was asked: {}", answer.system, answer.says)));
    lines.push(format!(
        "{}/trace/{}",
        gathered.url,
        percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC)
    ));
    (says, lines)
}

fn hypotheses(gathered: &Gathered) -> (String, Vec<String>) {
    let written = gathered.incident.as_ref().map(|incident| incident.hypotheses.as_slice()).unwrap_or_default();
    let id = &gathered.finding.id;
    if written.is_empty() {
        let suspects = gathered.told().map(|told| told.suspects()).unwrap_or_default();
        let says = match suspects.len() {
            0 => "none is written down, and no suspect is known".to_owned(),
            n => format!("none is written down; {} for one", wording::number_of(n, "suspect stands", "suspects stand")),
        };
        let draft = |one: &crate::incidents::told::Suspect| {
            let why = if one.evidence.is_empty() { String::new() } else { format!(": {}", one.evidence.join("; ")) };
            format!("draft, rank {}: {}{why}", one.rank, one.title)
        };
        let mut lines: Vec<String> = suspects.iter().map(draft).collect();
        lines.push(format!("truegreen investigate {id} --hypothesis 'what may have caused it'"));
        return (says, lines);
    }
    let contradicted = written.iter().filter(|one| !one.against.is_empty()).count();
    let says = format!(
        "{}; against {contradicted} of them something speaks",
        wording::number_of(written.len(), "hypothesis", "hypotheses")
    );
    let mut lines = Vec::new();
    for one in written {
        let by = match one.origin {
            Origin::Drafted => " (drafted)".to_owned(),
            Origin::Person if one.by.is_empty() => String::new(),
            Origin::Person => format!(" ({})", one.by),
        };
        lines.push(format!("{}. {}{by}", one.number, one.text));
        let said = |way: &str, evidence: &[Evidence]| {
            evidence.iter().map(|piece| format!("   {way} it: {}", piece.text)).collect::<Vec<_>>()
        };
        lines.extend(said("for", &one.supports));
        lines.extend(said("against", &one.against));
    }
    lines.push(format!("truegreen investigate {id} --for 'what was seen' --on 1"));
    (says, lines)
}

/// One question of the check list: yes, no, or nothing where it cannot be told.
struct Check {
    asks: &'static str,
    holds: Option<bool>,
    why: String,
}

/// Whether what is known is a cause, or only where it hurts.
fn cause(gathered: &Gathered) -> (String, Vec<String>) {
    let Some(told) = gathered.told() else { return (cannot_tell(gathered), Vec::new()) };
    let verdict = told.verdict();
    let suspects = told.suspects();
    let tied = suspects.iter().filter(|one| suspects.first().is_some_and(|first| first.rank == one.rank)).count();
    let way = gathered.on_the_way();
    let unseen = |spot: &&BlindSpot| !spot.is_seen && (way.contains(&spot.from) || way.contains(&spot.to));
    let blind = gathered.blind_spots.iter().filter(unseen).count();
    let earlier = gathered.recurrence.recurrences.first();
    let checks = [
        Check {
            asks: "was the cause seen itself, or named by two kinds of evidence?",
            holds: Some(verdict == "CONFIRMED"),
            why: format!("the diagnosis is {verdict}"),
        },
        Check {
            asks: "is it one cause?",
            holds: (!suspects.is_empty()).then_some(tied == 1),
            why: match tied {
                0 => "there is no suspect".to_owned(),
                1 => suspects.first().map(|one| one.title.clone()).unwrap_or_default(),
                n => format!("{n} suspects look alike"),
            },
        },
        Check {
            asks: "does it explain who is affected, and who is not?",
            holds: (!told.differences().is_empty()).then_some(true),
            why: told.difference_lines().into_iter().next().unwrap_or("no difference is known".to_owned()),
        },
        Check {
            asks: "does it explain since when?",
            holds: (!told.changes().is_empty()).then_some(true),
            why: told.changes().into_iter().next().map_or("no change is known".to_owned(), |change| change.title),
        },
        Check {
            asks: "was anything else ruled out?",
            holds: Some(!told.ruled_out().is_empty()),
            why: told.ruled_out().into_iter().next().unwrap_or("nothing was".to_owned()),
        },
        Check {
            asks: "is it new, and not what was patched before?",
            holds: Some(earlier.is_none()),
            why: earlier.map_or("no earlier incident is like it".to_owned(), |earlier| earlier.says.clone()),
        },
        Check {
            asks: "would it be seen if it came back another way?",
            holds: (!gathered.blind_spots.is_empty()).then_some(blind == 0),
            why: format!("{} on its way would not be seen", ways(blind)),
        },
    ];
    let holding = checks.iter().filter(|check| check.holds == Some(true)).count();
    let unknown = checks.iter().filter(|check| check.holds.is_none()).count();
    let of = checks.len();
    let says = match checks[0].holds == Some(true) && tied == 1 {
        true => format!("it is a cause: {holding} of {of} checks hold"),
        false => format!("it may be a symptom: {holding} of {of} checks hold, and {unknown} cannot be told"),
    };
    let line = |check: &Check| {
        let mark = match check.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "cannot tell",
        };
        format!("{mark}: {} {}", check.asks, check.why)
    };
    (says, checks.iter().map(line).collect())
}

fn documented(gathered: &Gathered) -> (String, Vec<String>) {
    let Some(incident) = &gathered.incident else {
        let id = &gathered.finding.id;
        return ("it is not written down yet".to_owned(), vec![format!("truegreen incident open {id}")]);
    };
    let id = &incident.id;
    let own = incident.hypotheses.iter().filter(|one| one.origin == Origin::Person).count();
    let mut missing = Vec::new();
    if incident.diagnosis.is_none() {
        missing.push("a diagnosis");
    }
    if own == 0 {
        missing.push("a hypothesis that somebody stands by");
    }
    if incident.actions.is_empty() {
        missing.push("an action");
    }
    if incident.closing.is_none() {
        missing.push("the real fix");
    }
    let lacks =
        if missing.is_empty() { "nothing is missing".to_owned() } else { format!("missing: {}", missing.join(", ")) };
    let lines = vec![
        format!("{}; {} affected; {}", incident.standing(), incident.affected.counted, incident.affected.says),
        format!("truegreen incident note {id} TEXT"),
        format!("truegreen incident action {id} TEXT --owner NAME"),
        format!("truegreen incident close {id} --fixed TEXT, or --patched TEXT"),
        format!("{}/incidents/{id}", gathered.url),
    ];
    (format!("it is written down as {id}; {lacks}"), lines)
}

/// What to say to those who looked for an hour, and wrote no hypothesis down. `now` is RFC 3339.
pub(super) fn nudge(incident: &Incident, now: &str) -> Option<String> {
    let is_stood_by = |one: &Hypothesis| {
        one.origin == Origin::Person || one.supports.iter().chain(&one.against).any(|piece| !piece.by.is_empty())
    };
    if incident.state != State::Open || incident.hypotheses.iter().any(is_stood_by) {
        return None;
    }
    // What was opened again starts anew.
    let reopened = incident.timeline.iter().rev().find(|entry| entry.what == "reopened").map(|entry| &entry.at);
    let since = when::nanos(reopened.unwrap_or(&incident.opened_at))?;
    let open_for = when::nanos(now)?.checked_sub(since).filter(|nanos| *nanos >= NUDGE_AFTER_NANOS)?;
    Some(format!(
        "{} without a hypothesis: write one down, even a wrong one, and look for what speaks against it; or hand it over: \
         --bundle hand-over.html",
        when::duration(open_for)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use truegreen_model::map::{ArrowKind, Map};
    use truegreen_model::passage::{GapReport, PassageReport};
    use truegreen_model::probe::{Check as Probe, ProbeReport};
    use truegreen_model::report::FindingReport;

    use super::*;

    fn gathered() -> Gathered {
        let finding = FindingReport {
            id: "00000000000000aa".to_owned(),
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            after: Some("published".to_owned()),
            before: Some("stock updated".to_owned()),
            count: 17,
            examples: vec!["o-1".to_owned()],
            ..FindingReport::default()
        };
        let arrow = Arrow {
            kind: ArrowKind::Process,
            from: "stock-events".to_owned(),
            to: "inventory".to_owned(),
            count: 1200,
            errors: 0,
            p50_seconds: 0.01,
            p99_seconds: 0.02,
            last_seen: "2026-01-01T10:00:00Z".to_owned(),
            tied: 1.0,
        };
        let spot = BlindSpot {
            kind: ArrowKind::Process,
            from: "stock-events".to_owned(),
            to: "inventory".to_owned(),
            way: "skips a message".to_owned(),
            is_seen: false,
            by: String::new(),
            closes: "confirm the effect".to_owned(),
        };
        let checks = vec![Probe::new("write", Standing::Fail, "read-only")];
        let probe = ProbeReport {
            system: "stock-db".to_owned(),
            kind: "postgres".to_owned(),
            address: String::new(),
            standing: Standing::Fail,
            time: String::new(),
            seconds: 0.1,
            checks,
        };
        let gap = GapReport { says: "nothing was heard of o-1 after published".to_owned(), ..GapReport::default() };
        Gathered {
            url: "http://127.0.0.1:4320".to_owned(),
            finding,
            steps: vec!["placed".to_owned(), "published".to_owned(), "stock updated".to_owned()],
            map: Map { arrows: vec![arrow] },
            blind_spots: vec![spot],
            probes: vec![probe],
            lies: vec!["payments says pass; stock-db, which it uses, fails".to_owned()],
            diagnosis: Some(json!({
                "verdict": "LIKELY", "says": "inventory skips backorders",
                "radius": {"says": "17 of 400 orders since 10:00"},
                "onset": {"says": "it began at 10:00"},
                "compared": {"failing": 17, "failing_of": 17, "healthy": 383, "healthy_of": 383, "records": 900},
                "difference": {"explanations": [{"conditions": [{"attribute": "event.type", "op": "=", "value": "backorder"}],
                    "failing_share": 1.0, "healthy_share": 0.0, "risk_ratio": 700.0}]},
                "changes": [{"id": "c-1", "title": "inventory 1.4.2", "at": "2026-01-01T09:58:00Z", "reasons": ["2 min before"]},
                    {"id": "c-2", "title": "flag new-cart"}],
                "questions": [{"question": "Was anything deployed?", "answer": "yes, inventory 1.4.2"}],
                "suspects": [{"rank": 1, "service": "inventory", "operation": "apply", "title": "inventory skips backorders",
                    "evidence": ["no update follows"]}],
                "ruled_out": ["the broker: its queue is empty"],
            })),
            passage: Some(("o-1".to_owned(), PassageReport { gaps: vec![gap], ..PassageReport::default() })),
            ..Gathered::default()
        }
    }

    fn printed(steps: &[Step]) -> String {
        let step = |step: &Step| {
            let lines: String = step.lines.iter().map(|line| format!("  {line}\n")).collect();
            format!("{} {}: {}\n{lines}", step.number, step.name, step.says)
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn the_nine_steps_say_their_result_first() {
        insta::assert_snapshot!(printed(&all(&gathered())));
    }

    #[test]
    fn without_answers_each_step_says_why_it_cannot_tell() {
        let bare = Gathered {
            no_diagnosis: "the engine is busy".to_owned(),
            finding: FindingReport { flow: "orders".to_owned(), ..FindingReport::default() },
            ..Gathered::default()
        };
        let steps = all(&bare);
        assert_eq!(steps.len(), 9);
        for n in [1, 2, 3, 4, 5, 7] {
            assert!(steps[n].says.starts_with("cannot tell, because"), "{}", steps[n].says);
        }
        assert_eq!(steps[8].says, "it is not written down yet");
    }

    #[test]
    fn after_an_hour_without_a_hypothesis_there_is_a_nudge() {
        let at = |clock: &str| format!("2026-01-01T{clock}:00Z");
        let mut incident = Incident { opened_at: at("10:00"), ..Incident::default() };
        incident.hypotheses.push(Hypothesis { number: 1, origin: Origin::Drafted, ..Hypothesis::default() });
        assert_eq!(nudge(&incident, &at("10:59")), None);
        assert!(nudge(&incident, &at("11:12")).unwrap().starts_with("1 h 12 min without a hypothesis"));
        let mut judged = incident.clone();
        judged.hypotheses[0].against.push(Evidence { by: "ana".to_owned(), ..Evidence::default() });
        assert_eq!(nudge(&judged, &at("11:12")), None, "somebody looked at a drafted one");
        let closed = Incident { state: State::Patched, ..incident.clone() };
        assert_eq!(nudge(&closed, &at("11:12")), None);
        incident.hypotheses.push(Hypothesis { number: 2, ..Hypothesis::default() });
        assert_eq!(nudge(&incident, &at("11:12")), None);
    }
}
