//! What a fault must be called, where, and by when.

use truegreen_model::finding::FindingKind as Kind;
use truegreen_model::report::FindingReport;

use super::fault::{Fault, Strike};
use super::fleet::host_name;

/// A right answer: this kind, at this place.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    kind: Kind,
    /// The step of the flow that is missing.
    before: Option<&'static str>,
    /// Any of these services.
    services: &'static [&'static str],
    /// In the operation, the subject or the peer; empty for any.
    word: String,
}

impl Answer {
    fn at(kind: Kind, services: &'static [&'static str], word: &str) -> Answer {
        Answer { kind, before: None, services, word: word.to_owned() }
    }

    fn before(kind: Kind, step: &'static str) -> Answer {
        Answer { kind, before: Some(step), services: &[], word: String::new() }
    }

    fn of_flow(kind: Kind) -> Answer {
        Answer { kind, before: None, services: &[], word: String::new() }
    }

    /// Whether the finding is of this kind.
    pub fn is_of_kind(&self, finding: &FindingReport) -> bool {
        self.kind.name() == finding.kind
    }

    /// Whether the finding is of this kind at this place.
    pub fn is_met_by(&self, finding: &FindingReport) -> bool {
        let is_in_flow = !finding.flow.is_empty();
        let place = match self.before {
            Some(step) => is_in_flow && finding.before.as_deref() == Some(step),
            None if self.services.is_empty() => is_in_flow,
            None => self.names_service(finding) || self.names_host(finding),
        };
        self.is_of_kind(finding) && place
    }

    fn names_service(&self, finding: &FindingReport) -> bool {
        let service = finding.service.as_deref().unwrap_or_default();
        let texts = [&finding.operation, &finding.subject, &finding.peer];
        let has_word = texts.iter().any(|text| text.as_deref().is_some_and(|text| text.contains(&self.word)));
        self.services.contains(&service) && (self.word.is_empty() || self.kind == Kind::ClockSkew || has_word)
    }

    fn names_host(&self, finding: &FindingReport) -> bool {
        let texts = [&finding.service, &finding.operation, &finding.subject, &finding.peer];
        let is_named = texts.iter().any(|text| text.as_deref() == Some(self.word.as_str()));
        self.kind == Kind::ClockSkew && is_named
    }
}

/// What is right to say of a fault.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// Any of these, the natural one first.
    pub answers: Vec<Answer>,
    /// What follows from it, and may be said besides: kinds, and the services where they may be said (all if none).
    pub consequences: Vec<(Kind, &'static [&'static str])>,
    /// Seconds that must pass before anything can be said: a step's time limit, a caller's patience, an interval of
    /// metrics.
    pub deadline: f64,
    /// Nothing is broken but what is seen of it: nothing may be called lost.
    pub is_coverage: bool,
    /// The books must say unknown.
    pub is_unknown: bool,
}

/// Seconds within which a step of the contract is due.
const WITHIN: f64 = 10.0;
/// Seconds after which who was silent has fallen silent.
const SILENCE: f64 = 120.0;

/// What must be said of this fault as it strikes.
pub fn of(strike: &Strike) -> Expectation {
    let other = strike.other_way;
    let answers = answers(strike);
    let all: &[&str] = &[];
    let consequences: Vec<(Kind, &'static [&'static str])> = match strike.fault {
        Fault::AllRejected => {
            let ends: &[&str] = &["inventory", "shipping", "notification"];
            vec![(Kind::SkippingConsumer, &["inventory"]), (Kind::EdgeVanished, ends), (Kind::FlowStopped, ends)]
        }
        // Its health checks pass while what it has to pass on is lost.
        Fault::SilentSkip | Fault::LostAfterAck => vec![(Kind::LyingHealth, &["inventory"])],
        Fault::NobodyConsuming => vec![
            (Kind::EdgeVanished, all),
            (Kind::FlowStopped, all),
            (Kind::SlowConsumer, &["inventory"]),
            (Kind::LostPublish, &["orders"]),
            (Kind::LyingHealth, &["inventory"]),
        ],
        Fault::DeadExporter => vec![(Kind::EdgeVanished, all), (Kind::Silence, all), (Kind::Unknown, all)],
        Fault::SilentLoop => vec![
            (Kind::StalledRequest, &["orders", "gateway"]),
            (Kind::ZeroRows, &["orders"]),
            (Kind::SwallowedTimeout, &["gateway"]),
        ],
        Fault::StalledRequest => {
            vec![(Kind::StalledRequest, &["gateway"]), (Kind::SwallowedTimeout, &["gateway"])]
        }
        Fault::StuckPartition => vec![(Kind::SlowConsumer, &["inventory"]), (Kind::DuplicateDelivery, &["inventory"])],
        Fault::StaleCache => vec![(Kind::SkippingConsumer, &["catalogue"])],
        Fault::LyingHealth => vec![(Kind::MaskedFailure, &["payments"])],
        // Where it strikes every second order, a health check that passes tells no truth.
        Fault::LostPublish if !other => {
            vec![(Kind::MaskedFailure, &["orders"]), (Kind::LostPublish, &["orders"]), (Kind::LyingHealth, &["orders"])]
        }
        Fault::BrokenContext | Fault::ExporterDrops => vec![(Kind::Unknown, all), (Kind::Silence, all)],
        _ => Vec::new(),
    };
    let deadline = match strike.fault {
        Fault::SilentSkip | Fault::NobodyConsuming | Fault::LostAfterAck | Fault::BrokenContext => WITHIN,
        Fault::StuckPartition | Fault::LostPublish => WITHIN,
        Fault::DeadExporter => WITHIN + SILENCE,
        Fault::SilentLoop | Fault::StalledRequest | Fault::StaleCache => 5.0,
        Fault::ExporterDrops => 15.0,
        _ => 0.0,
    };
    let is_coverage = matches!(strike.fault, Fault::BrokenContext | Fault::ExporterDrops | Fault::DeadExporter);
    // The other way the order's number still comes through, and so every order is accounted for.
    let is_unknown = is_coverage && !(strike.fault == Fault::BrokenContext && other);
    Expectation { answers, consequences, deadline, is_coverage, is_unknown }
}

fn answers(strike: &Strike) -> Vec<Answer> {
    let other = strike.other_way;
    match strike.fault {
        Fault::SilentSkip | Fault::LostAfterAck => vec![
            Answer::before(Kind::Loss, "stock_updated"),
            Answer::at(Kind::SkippingConsumer, &["inventory"], "orders.placed"),
        ],
        Fault::AllRejected => vec![Answer::of_flow(Kind::Rejected)],
        Fault::NobodyConsuming => vec![
            Answer::before(Kind::Loss, "stock_updated"),
            Answer::at(Kind::StuckConsumer, &["inventory"], "orders.placed"),
        ],
        Fault::DeadExporter => {
            vec![Answer::at(Kind::ServiceSilent, &["inventory"], ""), Answer::before(Kind::Silence, "stock_updated")]
        }
        Fault::SilentLoop => vec![Answer::at(Kind::SilentLoop, &["orders"], "")],
        Fault::StalledRequest => vec![Answer::at(Kind::StalledRequest, &["orders"], "")],
        Fault::SwallowedTimeout => vec![Answer::at(Kind::SwallowedTimeout, &["orders"], "payments")],
        Fault::ZeroRowUpdate => vec![Answer::at(Kind::ZeroRows, &["inventory"], "stock")],
        Fault::SlowConsumer => vec![Answer::at(Kind::SlowConsumer, &["shipping"], "stock.reserved")],
        // Of a partition that never moved nothing is known but what is sent there.
        Fault::StuckPartition => vec![
            Answer::at(Kind::StuckConsumer, &["inventory"], "orders.placed"),
            Answer::at(Kind::LostPublish, &["orders"], "orders.placed"),
        ],
        // One way what changed is taken off the queue, and nothing done with it.
        Fault::StaleCache if !other => vec![
            Answer::at(Kind::StaleCache, &["catalogue"], ""),
            Answer::at(Kind::SkippingConsumer, &["catalogue"], "product.changed"),
        ],
        Fault::StaleCache => vec![Answer::at(Kind::StaleCache, &["catalogue"], "")],
        Fault::ClockSkew if other => vec![Answer::at(Kind::ClockSkew, &["inventory", "shipping"], &host_name(4))],
        Fault::ClockSkew => vec![Answer::at(Kind::ClockSkew, &["auth", "payments"], &host_name(5))],
        Fault::LostPublish if other => {
            vec![Answer::at(Kind::LostPublish, &["shipping", "notification"], "shipment.created")]
        }
        Fault::LostPublish => vec![
            Answer::at(Kind::LostPublish, &["orders"], "orders.placed"),
            Answer::at(Kind::MaskedFailure, &["orders"], "orders.placed"),
        ],
        Fault::Duplicate => vec![Answer::at(Kind::DuplicateDelivery, &["inventory", "orders"], "orders.placed")],
        Fault::BrokenContext => vec![Answer::at(Kind::BrokenContext, &["orders", "inventory"], "")],
        Fault::ExporterDrops => vec![Answer::at(Kind::ExporterDrops, &["inventory"], "")],
        Fault::LyingHealth => vec![
            Answer::at(Kind::LyingHealth, &["payments"], ""),
            Answer::at(Kind::MaskedFailure, &["payments"], "payments"),
        ],
    }
}

impl Expectation {
    /// The same in a world in which processes were replaced about then: of what those were at, nobody can tell what became.
    pub fn beside_deploys(mut self) -> Expectation {
        self.consequences.push((Kind::Silence, &[]));
        self
    }

    /// Whether this may be said, since it is right or follows.
    pub fn allows(&self, finding: &FindingReport) -> bool {
        let follows = |(kind, services): &(Kind, &[&str])| {
            let service = finding.service.as_deref().unwrap_or_default();
            kind.name() == finding.kind && (services.is_empty() || services.contains(&service))
        };
        self.answers.iter().any(|answer| answer.is_met_by(finding)) || self.consequences.iter().any(follows)
    }

    /// The natural kind.
    pub fn kind(&self) -> &'static str {
        self.answers.first().map_or("", |answer| answer.kind.name())
    }
}
