//! `systems`: what is asked itself, by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use truegreen_connect::address::Surroundings;
use truegreen_connect::config::{Expectations, Limit, Method, TraceQuestion};
use truegreen_connect::{Address, SystemConfig};

use super::tree::Section;
use super::{compare, positive_duration, set};
use crate::systems::comparing::Comparison;

/// More systems than this are a mistake.
const MAX_SYSTEMS: usize = 200;
/// How often a system is asked where nothing else is said.
const EVERY: Duration = Duration::from_secs(15);
/// Questions that one system is asked for one key.
const MAX_TRACE_QUESTIONS: usize = 8;

pub(super) fn read(file: &mut Section<'_>) -> (Vec<SystemConfig>, Vec<Comparison>) {
    let named = file.named("systems");
    if named.len() > MAX_SYSTEMS {
        file.wrong(format!("`systems` names {}, more than {MAX_SYSTEMS}", named.len()));
    }
    let mut comparisons = Vec::new();
    let systems = named.into_iter().filter_map(|(name, section)| one(name, section, &mut comparisons)).collect();
    (systems, comparisons)
}

/// Every field is read, also where the address is wrong, so that all mistakes are told at once.
fn one(name: &str, mut section: Section<'_>, comparisons: &mut Vec<Comparison>) -> Option<SystemConfig> {
    let address = section.required("url", address);
    let management = section.scalar("management", address_of_pages);
    let timeout = section.scalar("timeout", positive_duration);
    let every = section.scalar("every", positive_duration);
    let scratch = section.scalar("scratch", identifier);
    let watch = section.list("watch", named);
    let dead_letters = section.list("dead_letters", named);
    let limits = limits(&mut section);
    let expect = section.section("expect").map(expectations);
    let method = section.scalar("method", method);
    let ca = section.scalar("ca", |text| named(text).map(PathBuf::from));
    let used_by = section.list("used_by", named);
    comparisons.extend(compare::read(name, &mut section, every.unwrap_or(EVERY)));
    let trace = trace(&mut section);
    section.finish();

    let mut system = SystemConfig::new(name, address?);
    set(&mut system.timeout, timeout);
    system.every = every.unwrap_or(EVERY);
    set(&mut system.expect, expect);
    set(&mut system.method, method);
    Some(SystemConfig { management, scratch, watch, dead_letters, limits, ca, used_by, trace, ..system })
}

fn limits(section: &mut Section<'_>) -> BTreeMap<String, Limit> {
    let mut limits = BTreeMap::new();
    for (measurement, mut limit) in section.named("limits") {
        let (warn, fail) = (limit.scalar("warn", number), limit.scalar("fail", number));
        limit.finish();
        limits.insert(measurement.to_owned(), Limit { warn, fail });
    }
    limits
}

fn trace(section: &mut Section<'_>) -> Vec<TraceQuestion> {
    let mut questions: Vec<TraceQuestion> = Vec::new();
    for mut question in section.sections("trace") {
        let (name, ask) = (question.required("name", named), question.required("ask", named));
        let (flow, hop) = (question.scalar("flow", named), question.scalar("hop", named));
        if hop.is_some() && flow.is_none() {
            question.wrong("`hop` is a step of a flow\nhint: name that under `flow`".to_owned());
        }
        if questions.iter().any(|other| Some(&other.name) == name.as_ref()) {
            question.wrong("two questions of this system have the same name".to_owned());
        }
        if questions.len() == MAX_TRACE_QUESTIONS {
            question.wrong(format!("more than {MAX_TRACE_QUESTIONS} questions for one key"));
        }
        question.finish();
        questions.extend(name.zip(ask).map(|(name, ask)| TraceQuestion { name, ask, flow, hop }));
    }
    questions
}

fn expectations(mut section: Section<'_>) -> Expectations {
    let expect = Expectations {
        statuses: section.list("status", status),
        body: section.list("body", named),
        whole: section.list("whole", named),
        claims_of: section.scalar("claims_of", named),
    };
    section.finish();
    expect
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text, &Surroundings)
}

fn address_of_pages(text: &str) -> Result<Address, String> {
    let address = address(text)?;
    match address.kind() {
        truegreen_connect::Kind::Http => Ok(address),
        _ => Err("not an http:// or https:// URL".to_owned()),
    }
}

pub(super) fn named(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("nothing is named".to_owned()) } else { Ok(text.to_owned()) }
}

/// A name that needs no quotes in any system, since it is put into statements.
fn identifier(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !text.is_empty() && text.len() <= 60 && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no plain name\nhint: letters, digits and _, such as truegreen_scratch")),
    }
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        _ => Err(format!("`{text}` is no way to ask how a system is\nhint: GET, HEAD or POST")),
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("`{text}` is not a number from 0 on, in the measurement's own unit")),
    }
}

fn status(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(format!("`{text}` is no HTTP status")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Method};
    use crate::config::Config;

    #[test]
    fn every_field_of_a_system_can_be_set() {
        let text = "
systems:
  stock-db:
    url: postgres://shop:secret@127.0.0.1:5432/stock
    timeout: 2s
    every: 1m
    scratch: truegreen_scratch
    limits: {replication_lag: {warn: 1, fail: 10}}
    trace:
      - {name: stock, ask: SELECT qty FROM stock_moves WHERE order_id = $1, flow: orders, hop: stock_updated}
      - {name: order, ask: SELECT state FROM orders WHERE id = $1}
  broker:
    url: amqp://127.0.0.1
    management: http://127.0.0.1:15672
    watch: [stock-events]
    dead_letters: [stock-events.dead]
  payments:
    url: https://payments.example/health
    expect: {status: [200], body: ['$.status == \"ok\"'], whole: ['$.items[*]'], claims_of: payments}
    method: POST
    ca: /etc/ssl/own.pem
    used_by: [orders]
";
        let config = Config::parse(text).unwrap();
        let [broker, payments, stock] = &config.systems[..] else { panic!("{:?}", config.systems) };
        assert_eq!((broker.name.as_str(), broker.watch.len(), broker.dead_letters.len()), ("broker", 1, 1));
        assert_eq!(payments.expect.claims_of.as_deref(), Some("payments"));
        assert_eq!((payments.method, payments.used_by.as_slice()), (Method::Post, &["orders".to_owned()][..]));
        assert_eq!(payments.ca.as_deref(), Some(std::path::Path::new("/etc/ssl/own.pem")));
        assert_eq!((stock.timeout, stock.every), (Duration::from_secs(2), Duration::from_secs(60)));
        assert_eq!(stock.limits["replication_lag"].fail, Some(10.0));
        assert_eq!((stock.trace[0].hop.as_deref(), stock.trace[1].flow.as_deref()), (Some("stock_updated"), None));
        assert!(!format!("{config:?}").contains("secret"), "also where a configuration is dumped");
    }

    #[test]
    fn mistakes_in_a_system_are_told_with_their_lines_and_without_the_password() {
        let text = "systems:\n  db:\n    url: postgrs://u:hidden@h\n    scratch: 'a; drop table x'\n    limits: {lag: {warn: -1}}\n    polls: 3s\n    trace: [{name: a, ask: b, hop: c}]\n";
        let mistakes = Config::parse(text).unwrap_err();
        let lines: Vec<u64> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7], "{mistakes:?}");
        assert!(!format!("{mistakes:?}").contains("hidden"));
    }
}
