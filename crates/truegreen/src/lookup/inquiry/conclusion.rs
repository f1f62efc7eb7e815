//! What telemetry and the systems come to together, in one sentence. Pure.

use truegreen_model::answer::SystemAnswer;
use truegreen_model::passage::PassageReport;
use truegreen_model::report::JourneyDetail;

/// Parts of the sentence; the answers themselves stand beside it.
const MAX_PARTS: usize = 8;

/// The sentence, without its full stop; none where no system said anything.
pub(crate) fn of(report: &PassageReport) -> Option<String> {
    if !report.answers.iter().any(|answer| answer.standing != "cannot_tell") {
        let is_asked = !report.answers.is_empty();
        return is_asked.then(|| format!("{}; no system can tell", telemetry(report)));
    }
    let mut parts = vec![telemetry(report)];
    let mut beside = Vec::new();
    for answer in report.answers.iter().filter(|answer| answer.standing != "cannot_tell") {
        match answer.way.as_str() {
            "effect" => parts.push(effect(report, answer)),
            "question" => beside.push(format!("{}: {}", answer.system, cut(&answer.says))),
            "dead_letters" if answer.standing == "found" => parts.push(dead(answer)),
            "messages" if answer.standing == "found" => {
                beside.push(format!("{}: {}", answer.system, cut(&answer.says)))
            }
            _ => {}
        }
    }
    parts.extend(beside);
    let silent = report.answers.iter().filter(|answer| answer.standing == "cannot_tell");
    let mut silent: Vec<&str> = silent.map(|answer| answer.system.as_str()).collect();
    silent.dedup();
    if parts.len() > MAX_PARTS {
        parts.truncate(MAX_PARTS);
        parts.push("and more".to_owned());
    }
    if !silent.is_empty() {
        parts.push(format!("{} cannot tell everything", silent.join(", ")));
    }
    if parts.len() == 1 {
        parts.push("the systems know no more of it".to_owned());
    }
    Some(parts.join("; "))
}

fn telemetry(report: &PassageReport) -> String {
    let has_records = !report.spans.is_empty() || !report.logs.is_empty();
    match (report.journeys.as_slice(), report.gaps.first()) {
        ([], _) if has_records => "telemetry tells of no journey".to_owned(),
        ([], _) => "telemetry knows nothing of it".to_owned(),
        (_, Some(gap)) => match &gap.after {
            Some(after) => format!("telemetry shows nothing after `{after}`"),
            None => format!("telemetry shows no `{}`", gap.step),
        },
        (journeys, None) => {
            let verdicts: Vec<String> = journeys.iter().map(verdict).collect();
            format!("telemetry says {}", verdicts.join(", "))
        }
    }
}

fn verdict(detail: &JourneyDetail) -> String {
    let journey = &detail.journey;
    let reason = journey.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    // What an answer made of it is no word of telemetry.
    match (journey.verdict.as_str(), journey.confirmed) {
        ("completed", true) => "too little".to_owned(),
        (verdict, _) => format!("{}{reason}", verdict.replace('_', "-")),
    }
}

/// Whether what a system has bears out what telemetry says of a step.
fn effect(report: &PassageReport, answer: &SystemAnswer) -> String {
    let (system, step, says) = (&answer.system, &answer.of, cut(&answer.says));
    let key = match report.journeys.iter().any(|one| one.journey.key != answer.key) {
        true => format!(" for {}", answer.key),
        false => String::new(),
    };
    match (is_seen(report, answer), answer.is_there) {
        (true, Some(false)) => format!("telemetry says `{step}` was done{key}, and {system} has {says}"),
        (true, _) => format!("{system} bears out `{step}`{key}: {says}"),
        (false, Some(true)) => format!("`{step}` was done{key} all the same: {system} has {says}"),
        (false, _) => format!("{system} has {says}{key}"),
    }
}

fn is_seen(report: &PassageReport, answer: &SystemAnswer) -> bool {
    let own = |one: &&JourneyDetail| Some(&one.journey.flow) == answer.flow.as_ref() && one.journey.key == answer.key;
    let mut seen = report.journeys.iter().filter(own).flat_map(|one| &one.seen);
    seen.any(|seen| Some(&seen.step) == answer.step.as_ref() && !seen.attempt)
}

fn dead(answer: &SystemAnswer) -> String {
    let Some(letter) = answer.letters.first() else { return format!("{}: {}", answer.system, answer.says) };
    let since = super::super::when::stamp(&letter.at);
    let since = if letter.at.is_empty() { String::new() } else { format!(" since {since}") };
    let error = if letter.error_type.is_empty() { String::new() } else { format!(" ({})", letter.error_type) };
    format!("its message lies dead in {} of {}{since}{error}", answer.of, answer.system)
}

/// Rows stand beside the sentence, not in it.
fn cut(says: &str) -> &str {
    says.split(": ").next().unwrap_or(says)
}
