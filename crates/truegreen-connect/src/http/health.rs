//! What a health check says of itself: `application/health+json` (draft-inadarei-api-health-check-06) and the documents of
//! Spring Boot's actuator, with the state of circuit breakers. Its own checks are taken over.

use serde_json::{Map, Value};
use truegreen_model::probe::{Check, Standing};

use super::exchange::shown;

/// Checks that are taken over of one document.
const MAX_CHECKS: usize = 100;
/// Components within components.
const MAX_DEPTH: usize = 4;

/// What it says, as a check `says` and one for each of its own; none where it is no health document. A plain
/// `{"status": ..}` is one only where it is known to be a service's health check.
pub(super) fn checks(body: &Value, media_type: &str, is_claim: bool) -> Vec<Check> {
    let Some(body) = body.as_object() else { return Vec::new() };
    let mut checks = Vec::new();
    if let Some(breakers) = body.get("circuitBreakers").and_then(Value::as_object) {
        breakers.iter().for_each(|(name, breaker)| push(&mut checks, circuit_breaker(name, breaker)));
    }
    let components = of_actuator(body);
    let is_known =
        media_type == "application/health+json" || media_type.starts_with("application/vnd.spring-boot.actuator");
    let Some(status) = text(body, "status").filter(|_| is_known || is_claim || components.is_some()) else {
        return checks;
    };
    let mut says = judged("says", status, body);
    if says.standing == Standing::Pass {
        says.reason = format!("it says {}", shown(status));
    }
    checks.insert(0, says);
    if let Some(components) = components {
        actuator(components, "", 0, &mut checks);
    }
    if let Some(own) = body.get("checks").and_then(Value::as_object) {
        own.iter().for_each(|(name, values)| draft(name, values, &mut checks));
    }
    checks
}

fn push(checks: &mut Vec<Check>, check: Option<Check>) {
    if checks.len() < MAX_CHECKS {
        checks.extend(check);
    }
}

/// Its words for how it is; whatever else it says is unknown, never well.
fn standing(word: &str) -> Standing {
    match word.to_ascii_lowercase().as_str() {
        "pass" | "ok" | "up" | "healthy" | "green" | "alive" | "ready" => Standing::Pass,
        "warn" | "warning" | "degraded" | "yellow" | "partial" => Standing::Warn,
        "fail" | "failing" | "error" | "down" | "out_of_service" | "unhealthy" | "red" | "critical" => Standing::Fail,
        _ => Standing::Unknown,
    }
}

fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

fn judged(measurement: &str, word: &str, of: &Map<String, Value>) -> Check {
    let mut reason = format!("it says {}", shown(word));
    let details = of.get("details").and_then(Value::as_object);
    let why = [text(of, "output"), details.and_then(|details| text(details, "error")), text(of, "notes")];
    if let Some(why) = why.into_iter().flatten().find(|why| !why.is_empty()) {
        reason = format!("{reason}: {}", shown(why));
    }
    match standing(word) {
        Standing::Pass => Check::pass(measurement),
        other => Check::new(measurement, other, reason),
    }
}

/// The actuator's components; before version 2.2 of Spring Boot they were called details.
fn of_actuator(body: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let components = ["components", "details"].iter().find_map(|name| body.get(*name)?.as_object())?;
    components.values().any(|one| one.get("status").is_some_and(Value::is_string)).then_some(components)
}

fn actuator(components: &Map<String, Value>, within: &str, depth: usize, checks: &mut Vec<Check>) {
    for (name, component) in components {
        let Some(component) = component.as_object() else { continue };
        let path = if within.is_empty() { shown(name) } else { format!("{within}/{}", shown(name)) };
        let details = component.get("details");
        if details.and_then(|details| details.get("state")).is_some() {
            push(checks, details.and_then(|details| circuit_breaker(name, details)));
        } else if let Some(word) = text(component, "status") {
            push(checks, Some(judged("health", word, component).of(&path)));
        }
        let inner = ["components", "details"].iter().find_map(|name| component.get(*name)?.as_object());
        if let Some(inner) = inner.filter(|_| depth < MAX_DEPTH) {
            actuator(inner, &path, depth + 1, checks);
        }
    }
}

/// An open one means that a part of the service is given up for now, whatever else it answers.
fn circuit_breaker(name: &str, breaker: &Value) -> Option<Check> {
    let state = breaker.get("state")?.as_str()?;
    let rate = breaker.get("failureRate").and_then(Value::as_str).filter(|rate| !rate.starts_with('-'));
    let rate = rate.map(|rate| format!("; {} of its calls failed", shown(rate))).unwrap_or_default();
    let (standing, reason) = match state {
        "CLOSED" | "METRICS_ONLY" => (Standing::Pass, String::new()),
        "HALF_OPEN" => (Standing::Warn, format!("the circuit breaker lets few calls through, to try{rate}")),
        "OPEN" | "FORCED_OPEN" => {
            (Standing::Fail, format!("the circuit breaker is open: calls are refused at once{rate}"))
        }
        "DISABLED" => (Standing::Warn, "the circuit breaker is switched off".to_owned()),
        other => (Standing::Unknown, format!("the circuit breaker is in the state {}", shown(other))),
    };
    Some(Check::new("circuit_breaker", standing, reason).of(format!("circuit breaker {}", shown(name))))
}

/// `"component:measurement": [{..}]`; those without a status of their own claim nothing.
fn draft(name: &str, values: &Value, checks: &mut Vec<Check>) {
    let (component, measurement) = name.split_once(':').unwrap_or((name, "health"));
    let values = match values {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    for value in values.iter().filter_map(Value::as_object) {
        let Some(word) = text(value, "status") else { continue };
        let id = text(value, "componentId").filter(|_| values.len() > 1);
        let component = id.map_or(shown(component), |id| format!("{} {}", shown(component), shown(id)));
        let mut check = judged(&snake_case(measurement), word, value).of(component);
        if let Some(observed) = value.get("observedValue").and_then(Value::as_f64) {
            check = check.observed(observed, &shown(text(value, "observedUnit").unwrap_or("1")));
        }
        push(checks, Some(check));
    }
}

/// `responseTime` as `response_time`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in shown(name).chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str, media_type: &str, is_claim: bool) -> Vec<String> {
        let line = |check: Check| {
            let observed = check.observed.map(|seen| format!(" {} {}", seen.value, seen.unit)).unwrap_or_default();
            format!("{}:{} {}{observed} | {}", check.component, check.measurement, check.standing.name(), check.reason)
        };
        checks(&serde_json::from_str(body).unwrap(), media_type, is_claim).into_iter().map(line).collect()
    }

    #[test]
    fn its_own_checks_are_taken_over() {
        let body = r#"{"status": "warn", "output": "slow", "checks": {
            "cassandra:responseTime": [{"observedValue": 250, "observedUnit": "ms", "status": "pass", "componentId": "a"},
                                       {"observedValue": 9000, "observedUnit": "ms", "status": "fail", "output": "timeout", "componentId": "b"}],
            "uptime": [{"observedValue": 1209600.2, "observedUnit": "s"}]}}"#;
        let expected = [
            ":says warn | it says warn: slow",
            "cassandra a:response_time pass 250 ms | ",
            "cassandra b:response_time fail 9000 ms | it says fail: timeout",
        ];
        assert_eq!(told(body, "application/health+json", false), expected);
    }

    #[test]
    fn an_actuators_components_and_circuit_breakers_are_told() {
        let body = r#"{"status": "UP", "components": {
            "db": {"status": "DOWN", "details": {"error": "Connection refused"}},
            "circuitBreakers": {"status": "UNKNOWN", "details": {
                "payments": {"status": "CIRCUIT_OPEN", "details": {"failureRate": "62.5%", "state": "OPEN"}}}}}}"#;
        let expected = [
            ":says pass | it says UP",
            "circuitBreakers:health unknown | it says UNKNOWN",
            "circuit breaker payments:circuit_breaker fail | the circuit breaker is open: calls are refused at once; \
             62.5% of its calls failed",
            "db:health fail | it says DOWN: Connection refused",
        ];
        assert_eq!(told(body, "application/json", false), expected);
        let body =
            r#"{"circuitBreakers": {"a": {"failureRate": "-1.0%", "state": "HALF_OPEN"}, "b": {"state": "CLOSED"}}}"#;
        let expected = [
            "circuit breaker a:circuit_breaker warn | the circuit breaker lets few calls through, to try",
            "circuit breaker b:circuit_breaker pass | ",
        ];
        assert_eq!(told(body, "application/json", false), expected);
    }

    #[test]
    fn the_status_of_an_order_is_no_claim() {
        assert_eq!(told(r#"{"status": "error"}"#, "application/json", false), Vec::<String>::new());
        assert_eq!(told(r#"{"status": "error"}"#, "application/json", true), [":says fail | it says error"]);
        assert_eq!(told(r#"{"status": "splendid"}"#, "application/json", true), [":says unknown | it says splendid"]);
        assert_eq!(told("[1]", "application/health+json", true), Vec::<String>::new());
    }

    #[test]
    fn what_is_taken_over_is_bounded() {
        let many: Vec<String> = (0..5_000).map(|n| format!("\"c{n}\": {{\"status\": \"UP\"}}")).collect();
        let body = format!("{{\"status\": \"UP\", \"components\": {{{}}}}}", many.join(","));
        assert!(told(&body, "", false).len() <= MAX_CHECKS);
    }
}
