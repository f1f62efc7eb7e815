//! Services and their instances: when each lives, and when what it did is received.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;

use super::journey::{Deed, Record};
use crate::telemetry::{Content, Sender, Span, SpanRef, second};

/// How often each instance shows that it lives, and flushes what it batched.
const BEAT_SECONDS: f64 = 5.0;
/// Spans in each beat of a service of which something may come late…
const CHATTER: usize = 25;
/// …so often, that it stays below one in a hundred of its records and export lag stays at its floor.
const MOST_LATE: usize = 2;

/// All services.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// By index.
    pub services: Vec<Service>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// Its processes.
    pub instances: Vec<Instance>,
    /// Sends spans of no flow all the time, and so may deliver a record late.
    pub chatty: bool,
    /// Exports in batches every 5 s, else each record by itself.
    pub batches: bool,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its resource.
    pub sender: Sender,
    /// Seconds: offset of its beats.
    pub phase: f64,
    /// Seconds: in none of these it works or is heard.
    pub absent: Vec<(f64, f64)>,
    /// Seconds: it works on, but is never heard again.
    pub mute_from: f64,
    /// Seconds: it works on, but only its metrics come through.
    pub metrics_only_from: f64,
    /// When what it sends is late.
    pub late: Option<Late>,
}

/// An exporter that is slow for a while; it sends in order all the same.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// Seconds: what is sent from then on is late…
    pub from: f64,
    /// …and from then on it catches up.
    pub until: f64,
    /// Seconds.
    pub by: f64,
    /// Its metrics come in time.
    pub records_only: bool,
}

impl Late {
    /// When it comes.
    fn received(&self, sent: f64) -> f64 {
        if sent < self.from { sent } else { sent.max((sent + self.by).min(self.until + self.by)) }
    }
}

impl Instance {
    /// Whether it works then.
    pub fn works(&self, at: f64) -> bool {
        !self.absent.iter().any(|&(from, to)| from < at && at < to)
    }

    /// Whether the metrics that it sends then come through.
    pub fn heard(&self, at: f64) -> bool {
        self.works(at) && at < self.mute_from
    }

    /// When spans and logs that it sends then come.
    fn received(&self, sent: f64) -> f64 {
        self.late.map_or(sent, |late| late.received(sent))
    }

    /// When metrics that it sends then come.
    fn measured(&self, sent: f64) -> f64 {
        self.late.filter(|late| !late.records_only).map_or(sent, |late| late.received(sent))
    }

    /// Whether the spans and logs that it sends then come through.
    pub fn shows(&self, at: f64) -> bool {
        self.heard(at) && at < self.metrics_only_from
    }
}

impl Fleet {
    /// Two to four services of one to three instances, in one environment or in two.
    pub fn draw_all(rng: &mut Rng, environments: &[&str]) -> Fleet {
        let services = ["gate", "stock", "bill", "ship"];
        let services = services[..rng.usize(2..5)].iter().map(|&name| {
            let count = if environments.len() > 1 { 1 } else { rng.usize(1..4) };
            let of_environment = |rng: &mut Rng, environment: &str| {
                (0..count)
                    .map(|index| Instance {
                        sender: Sender {
                            environment: environment.into(),
                            ..Sender::new(name, &format!("{name}-{environment}-{index}"))
                        },
                        phase: rng.f64() * BEAT_SECONDS,
                        absent: Vec::new(),
                        mute_from: f64::INFINITY,
                        metrics_only_from: f64::INFINITY,
                        late: None,
                    })
                    .collect::<Vec<_>>()
            };
            Service {
                name: name.into(),
                instances: environments.iter().flat_map(|environment| of_environment(rng, environment)).collect(),
                chatty: rng.f64() < 0.4,
                batches: rng.bool(),
            }
        });
        Fleet { services: services.collect() }
    }

    /// Some service; now and then, unless it must exist, one that does not.
    pub fn draw(&self, rng: &mut Rng, must_exist: bool) -> Option<usize> {
        (must_exist || rng.f64() > 0.03).then(|| rng.usize(0..self.services.len()))
    }

    /// Its name.
    pub fn name(&self, service: Option<usize>) -> &str {
        service.and_then(|index| self.services.get(index)).map_or("ghost", |service| &service.name)
    }

    /// Some instance of the service in this environment that works then.
    pub fn working(&self, rng: &mut Rng, service: Option<usize>, environment: &str, at: f64) -> Option<(usize, usize)> {
        let service = service?;
        let working: Vec<usize> = self.services[service]
            .instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.sender.environment == environment && instance.works(at))
            .map(|(index, _)| index)
            .collect();
        rng.choice(working).map(|instance| (service, instance))
    }

    /// Life signs of all until `end`.
    pub fn beats(&self, rng: &mut Rng, end: f64) -> Vec<(Timestamp, Content)> {
        let mut sent = Vec::new();
        for service in &self.services {
            for instance in &service.instances {
                let mut at = instance.phase;
                while at < end {
                    if instance.heard(at) {
                        let metrics = Content::Metrics(vec![(instance.sender.clone(), second(at))]);
                        sent.push((second(instance.measured(at)), metrics));
                        if service.chatty && instance.shows(at) {
                            let spans = (0..CHATTER).map(|_| chatter(rng, at)).collect();
                            let spans = Content::Spans(vec![(instance.sender.clone(), spans)]);
                            sent.push((second(instance.received(at + 0.2)), spans));
                        }
                    }
                    at += BEAT_SECONDS;
                }
            }
        }
        sent
    }

    /// Requests that carry what was done: batched, repeated, single ones late if `tardy`. What an instance could not
    /// send is lost.
    pub fn deliver(&self, rng: &mut Rng, deeds: Vec<Deed>, tardy: bool) -> Vec<(Timestamp, Content)> {
        let mut late_left: Vec<usize> =
            self.services.iter().map(|service| if service.chatty { MOST_LATE } else { 0 }).collect();
        let mut sent: Vec<(f64, (usize, usize), Vec<Record>)> = Vec::new();
        for deed in deeds {
            let by = deed.by;
            let (service, instance) = (&self.services[by.0], &self.services[by.0].instances[by.1]);
            let end = deed.record.end();
            // Late logs would raise the export lag of their signal: worlds have few of them.
            let may_be_late = tardy && deed.record.is_span() && deed.record.has_key();
            if may_be_late && end > 90.0 && late_left[by.0] > 0 && rng.f64() < 0.3 {
                late_left[by.0] -= 1;
                sent.push((end + 15.0 + rng.f64() * 120.0, by, vec![deed.record]));
            } else if service.batches {
                let beat = ((end - instance.phase) / BEAT_SECONDS).floor() + 1.0;
                let flush = instance.phase + beat * BEAT_SECONDS + 0.3;
                let same = |(at, of, records): &&mut (f64, (usize, usize), Vec<Record>)| {
                    *at == flush && *of == by && records[0].is_span() == deed.record.is_span()
                };
                match sent.iter_mut().find(same) {
                    Some((_, _, records)) => records.push(deed.record),
                    None => sent.push((flush, by, vec![deed.record])),
                }
            } else {
                sent.push((end + 0.05 + rng.f64() * 3.0, by, vec![deed.record]));
            }
        }
        let mut requests = Vec::new();
        for (at, by, records) in sent {
            let instance = &self.services[by.0].instances[by.1];
            let content = content(&instance.sender, records);
            let again = at + 0.5 + rng.f64() * 1.5;
            if rng.f64() < 0.1 && instance.shows(again) {
                requests.push((second(instance.received(again)), content.clone()));
            }
            if instance.shows(at) {
                requests.push((second(instance.received(at)), content));
            }
        }
        requests
    }
}

fn content(sender: &Sender, records: Vec<Record>) -> Content {
    let (mut spans, mut logs) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Span(span) => spans.push(span),
            Record::Log(log) => logs.push(log),
        }
    }
    if spans.is_empty() {
        Content::Logs(vec![(sender.clone(), logs)])
    } else {
        Content::Spans(vec![(sender.clone(), spans)])
    }
}

fn chatter(rng: &mut Rng, at: f64) -> Span {
    let end = second(at - rng.f64());
    Span {
        place: SpanRef { trace: rng.u128(1..), span: rng.u64(1..) },
        parent: None,
        links: Vec::new(),
        name: "GET /livez".into(),
        kind: SpanKind::Server,
        start: end - Duration::from_millis(2),
        end,
        error: false,
        trace_state: String::new(),
        attributes: Vec::new(),
    }
}
