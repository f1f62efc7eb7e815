//! The seven questions that an engineer on call asks first, each answered with evidence or not at all.

use std::time::Duration;

use truegreen_model::change::{Change, ChangeKind, QuestionReport};

use super::incident::{Context, PathSystem};
use super::reasons;
use crate::date::rfc3339;

/// Hours before the onset that count as the last ones.
const LAST_HOURS: Duration = Duration::from_secs(2 * 3600);
/// A condition that nearly all failing requests meet, and less than half of the healthy ones, is what they are a subset by.
const NEARLY_ALL: f64 = 0.8;
const LESS_THAN_HALF: f64 = 0.5;
/// Less than this by chance.
const BY_CHANCE: f64 = 0.05;

/// All seven, in the order in which they are asked.
pub fn seven(changes: &[Change], context: &Context) -> Vec<QuestionReport> {
    let recent: Vec<&Change> = changes.iter().filter(|change| is_recent(change, context)).collect();
    vec![
        deploys(&recent, context),
        traffic(&recent, context),
        reach(context),
        dependencies(&recent, context),
        behaviour(context),
        queues(context),
        infrastructure(&recent, context),
    ]
}

fn is_recent(change: &Change, context: &Context) -> bool {
    let ends = change.until.unwrap_or(change.at);
    change.at <= context.latest.max(context.onset) && ends + LAST_HOURS >= context.onset
}

fn answer(question: &str, answer: &str, because: impl Into<String>, evidence: Vec<String>) -> QuestionReport {
    QuestionReport { question: question.to_owned(), answer: answer.to_owned(), because: because.into(), evidence }
}

fn told(change: &Change) -> String {
    let of = change.service.as_deref().map(|service| format!(" of {service}")).unwrap_or_default();
    format!("{} at {}{of} ({}, {})", change.title, rfc3339(change.at), change.source, change.id)
}

/// Changes of these kinds, or why there are none.
fn of_kinds(
    question: &str,
    what: &str,
    kinds: &[ChangeKind],
    recent: &[&Change],
    context: &Context,
    would_be_seen: Result<&str, &str>,
) -> QuestionReport {
    let found: Vec<String> =
        recent.iter().filter(|change| kinds.contains(&change.kind)).map(|change| told(change)).collect();
    if !found.is_empty() {
        let because = format!("{} {what} in the two hours before it began", found.len());
        return answer(question, "yes", because, found);
    }
    let looked = context.seen.since.map(|since| format!("telemetry was looked at since {}", rfc3339(since)));
    match (context.seen.reports, would_be_seen) {
        (_, Ok(how)) if looked.is_some() => {
            answer(question, "no", format!("no {what} is seen, and {how}"), looked.into_iter().collect())
        }
        (true, _) => {
            answer(question, "no", format!("no {what} was reported, and changes are reported here"), Vec::new())
        }
        (false, Ok(_)) => answer(
            question,
            "cannot tell",
            "no telemetry from before was looked at, and no change is ever reported here",
            Vec::new(),
        ),
        (false, Err(why)) => {
            answer(question, "cannot tell", format!("{why}, and no change is ever reported here"), Vec::new())
        }
    }
}

fn deploys(recent: &[&Change], context: &Context) -> QuestionReport {
    let seen = if context.seen.versions {
        Ok("services on the path tell their version")
    } else {
        Err("services on the path do not tell their version")
    };
    let kinds = [ChangeKind::Release, ChangeKind::Config, ChangeKind::FeatureFlag];
    of_kinds("Was anything deployed in the last hours?", "release, setting or flag", &kinds, recent, context, seen)
}

fn traffic(recent: &[&Change], context: &Context) -> QuestionReport {
    of_kinds(
        "Did traffic shift?",
        "shift of traffic",
        &[ChangeKind::Traffic],
        recent,
        context,
        if context.seen.traffic {
            Ok("requests are counted")
        } else {
            Err("how many requests came in was not compared")
        },
    )
}

fn reach(context: &Context) -> QuestionReport {
    let question = "Does it hit all, or a subset?";
    let is_apart = |condition: &&super::incident::Condition| {
        condition.failing_share >= NEARLY_ALL && condition.healthy_share <= LESS_THAN_HALF
    };
    let apart: Vec<String> = context
        .conditions
        .iter()
        .filter(is_apart)
        .map(|one| {
            let shares = (reasons::percent(one.failing_share), reasons::percent(one.healthy_share));
            format!("{}={}: {} of failing requests, {} of healthy ones", one.attribute, one.value, shares.0, shares.1)
        })
        .collect();
    if !apart.is_empty() {
        return answer(question, "subset", "failing requests have something that most healthy ones have not", apart);
    }
    let known: Vec<_> = context.instances.iter().filter(|went| went.failing + went.healthy > 0).collect();
    let failing = known.iter().filter(|went| went.failing > 0).count();
    match (known.len(), failing) {
        (0 | 1, _) => answer(
            question,
            "cannot tell",
            "healthy requests to compare with, or instances to tell apart, are not known",
            Vec::new(),
        ),
        (all, some) if some == all => {
            answer(question, "all", format!("all {all} instances that are known have failing requests"), Vec::new())
        }
        (all, some) => {
            // Few requests may miss an instance by chance.
            let healthy: u64 = known.iter().filter(|went| went.failing == 0).map(|went| went.healthy).sum();
            let total: u64 = known.iter().map(|went| went.failing + went.healthy).sum();
            let share = known.iter().map(|went| went.failing).sum::<u64>() as f64 / total.max(1) as f64;
            if (1.0 - share).powf(healthy as f64) < BY_CHANCE {
                let because =
                    format!("{some} of {all} instances have failing requests, and chance would have hit the others");
                answer(question, "subset", because, Vec::new())
            } else {
                answer(
                    question,
                    "cannot tell",
                    format!("{some} of {all} instances have failing requests, which may be chance"),
                    Vec::new(),
                )
            }
        }
    }
}

fn dependencies(recent: &[&Change], context: &Context) -> QuestionReport {
    let question = "Were dependencies touched?";
    let is_called = |service: &String| {
        context.edges.iter().any(|edge| edge.target == *service)
            || context.path.iter().skip(1).any(|one| one == service)
    };
    let touched: Vec<String> = recent
        .iter()
        .filter(|change| {
            let of_dependency = change.service.as_ref().is_some_and(is_called);
            of_dependency || matches!(change.kind, ChangeKind::Dependency | ChangeKind::Schema)
        })
        .map(|change| told(change))
        .collect();
    if !touched.is_empty() {
        return answer(
            question,
            "yes",
            format!("{} changes of what failing requests go through", touched.len()),
            touched,
        );
    }
    if context.path.is_empty() && context.edges.is_empty() {
        return answer(question, "cannot tell", "what failing requests go through is not known", Vec::new());
    }
    if context.seen.reports || context.seen.since.is_some() {
        return answer(question, "no", "no change of what failing requests go through is known", Vec::new());
    }
    answer(
        question,
        "cannot tell",
        "no change is ever reported here, and no telemetry from before was looked at",
        Vec::new(),
    )
}

fn behaviour(context: &Context) -> QuestionReport {
    let question = "Do dependencies behave otherwise than before?";
    let worse = context.edges.iter().filter(|edge| edge.p_value <= BY_CHANCE && !edge.says.is_empty());
    let mut worse: Vec<String> = worse
        .map(|edge| {
            format!("{} to {}: {} ({})", edge.source, edge.target, edge.says, reasons::probability(edge.p_value))
        })
        .collect();
    // Queues have a question of their own.
    let known = context.systems.iter().filter(|system| system.kind != "queue");
    let known: Vec<_> = known.filter(|system| !(system.trouble.is_empty() && system.says.is_empty())).collect();
    let ill = known.iter().filter(|system| !system.trouble.is_empty());
    worse.extend(ill.map(|system| format!("{} {}: {}", system.kind, system.name, system.trouble)));
    let all = context.edges.len() + known.len();
    match (worse.is_empty(), context.edges.is_empty(), known.is_empty()) {
        (false, ..) => answer(question, "yes", format!("{} of {all} go worse", worse.len()), worse),
        (true, false, _) => {
            answer(question, "no", format!("all {all} that were looked at go as before"), told_of(&known))
        }
        (true, true, false) => answer(
            question,
            "no",
            "those that were asked work as they should; calls from before the onset are not known",
            told_of(&known),
        ),
        (true, true, true) => answer(question, "cannot tell", "calls from before the onset are not known", Vec::new()),
    }
}

fn told_of(systems: &[&PathSystem]) -> Vec<String> {
    systems.iter().map(|system| format!("{} {}: {}", system.kind, system.name, system.says)).collect()
}

fn queues(context: &Context) -> QuestionReport {
    let question = "Is a queue or cache in the path?";
    let found = context.systems.iter().filter(|system| matches!(system.kind.as_str(), "queue" | "cache"));
    let ill = found.clone().filter(|system| !system.trouble.is_empty()).count();
    let found: Vec<String> = found
        .map(|system| {
            let told = if system.trouble.is_empty() { &system.says } else { &system.trouble };
            let told = if told.is_empty() { String::new() } else { format!(": {told}") };
            format!("{} {}{told}", system.kind, system.name)
        })
        .collect();
    let in_trouble = if ill > 0 { format!(", and {ill} in trouble") } else { String::new() };
    match (found.is_empty(), context.path.is_empty()) {
        (false, _) => answer(question, "yes", format!("{} of them{in_trouble}", found.len()), found),
        (true, false) => answer(question, "no", "no span on the path is of one", Vec::new()),
        (true, true) => answer(question, "cannot tell", "what failing requests go through is not known", Vec::new()),
    }
}

fn infrastructure(recent: &[&Change], context: &Context) -> QuestionReport {
    let seen = if context.seen.hosts {
        Ok("services on the path tell their instances or hosts")
    } else {
        Err("services on the path tell neither instance nor host")
    };
    let kinds = [ChangeKind::Infrastructure, ChangeKind::Scaling];
    of_kinds("Did the infrastructure change?", "change of hosts, instances or clusters", &kinds, recent, context, seen)
}
