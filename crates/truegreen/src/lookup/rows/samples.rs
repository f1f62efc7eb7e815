//! Answers that terminal and page are tested with.

use truegreen_model::answer::{FoundLetter, SystemAnswer};
use truegreen_model::passage::{CutReport, GapReport, LogReport, OwingReport, PassageReport, SpanReport, StepReport};
use truegreen_model::report::{JourneyDetail, JourneyReport, SeenReport};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn step(name: &str) -> StepReport {
    StepReport { flow: "order-fulfilment".into(), key: "ord-42".into(), step: name.into(), ..StepReport::default() }
}

fn span(id: u8, parent: u8, depth: u32, service: &str, name: &str, at: &str, micros: u64) -> SpanReport {
    SpanReport {
        trace_id: TRACE.into(),
        span_id: format!("{id:016x}"),
        parent_span_id: (parent > 0).then(|| format!("{parent:016x}")),
        depth,
        placed_by: if parent > 0 { "parent" } else { "root" }.into(),
        service: service.into(),
        instance: format!("{service}-7c9"),
        host: Some("node-3".into()),
        name: name.into(),
        kind: "internal".into(),
        started_at: format!("2026-01-01T10:00:{at}Z"),
        duration_nanos: micros * 1000,
        status: "unset".into(),
        outcome: "ok".into(),
        received_at: "2026-01-01T10:00:07Z".into(),
        sequence: 17,
        offset: u32::from(id) * 100,
        ..SpanReport::default()
    }
}

fn seen(name: &str, service: &str, at: &str, offset: u32) -> SeenReport {
    SeenReport {
        step: name.into(),
        at: format!("2026-01-01T10:00:{at}Z"),
        service: service.into(),
        instance: format!("{service}-7c9"),
        trace_id: Some(TRACE.into()),
        attempt: false,
        reason: None,
        sequence: 17,
        offset,
    }
}

fn answer(system: &str, kind: &str, way: &str, of: &str, standing: &str, says: &str) -> SystemAnswer {
    SystemAnswer {
        system: system.into(),
        kind: kind.into(),
        way: way.into(),
        of: of.into(),
        key: "ord-42".into(),
        asked_at: "2026-01-01T10:05:00.2Z".into(),
        seconds: 0.0123,
        standing: standing.into(),
        says: says.into(),
        ..SystemAnswer::default()
    }
}

/// What systems say of it: its row is missing, its cart is there, its message is dead, and one is gone.
fn answers() -> Vec<SystemAnswer> {
    let dead = "dead in orders.dead since 2026-01-01 10:00:03 UTC: MissingSku: no sku in line 2";
    let letter = FoundLetter {
        id: "17-4".into(),
        at: "2026-01-01T10:00:03Z".into(),
        error_type: "MissingSku".into(),
        error: "no sku in line 2".into(),
        by: "key".into(),
        command: Some("truegreen dlq show 17-4 --system broker --place orders.dead".into()),
    };
    vec![
        SystemAnswer {
            question: Some("SELECT state FROM stock_moves WHERE order_id = $1".into()),
            flow: Some("order-fulfilment".into()),
            step: Some("stock_updated".into()),
            is_there: Some(false),
            ..answer("stock-db", "postgres", "effect", "stock_updated", "not_found", "no row in stock_moves")
        },
        SystemAnswer {
            question: Some("GET cart:{key}".into()),
            rows: vec![[("value".to_owned(), Some("2 lines".to_owned()))].into()],
            ..answer("cache", "redis", "question", "cart", "found", "entry cart:ord-42: value=2 lines")
        },
        SystemAnswer {
            letters: vec![letter],
            ..answer("broker", "rabbitmq", "dead_letters", "orders.dead", "found", dead)
        },
        answer(
            "erp",
            "http",
            "question",
            "invoice",
            "cannot_tell",
            "cannot tell: cannot be reached: nothing listens there",
        ),
    ]
}

/// An order that was placed and published, and never reduced the stock.
pub(crate) fn lost_order() -> PassageReport {
    let mut checkout = span(1, 0, 0, "storefront", "POST /checkout", "02.1", 12_300);
    checkout.steps.push(step("placed"));
    checkout.attributes.insert("http.route".into(), "/checkout".into());
    let mut publish = span(2, 1, 1, "orders", "publish stock-events", "02.104", 1_200);
    publish.steps.push(step("published"));
    publish.logs.push(LogReport {
        at: "2026-01-01T10:00:02.1045Z".into(),
        source: "log".into(),
        service: "orders".into(),
        severity: Some("INFO".into()),
        text: "order <ord-42> published".into(),
        ..LogReport::default()
    });
    let mut process = span(3, 2, 2, "inventory", "process stock-events", "02.21", 340);
    process.placed_by = "link".into();
    let mut mail = span(4, 1, 1, "mailer", "send mail", "02.108", 2_000);
    (mail.status, mail.outcome) = ("error".into(), "failed".into());
    mail.status_message = Some("mailbox full".into());
    let gap = GapReport {
        flow: "order-fulfilment".into(),
        key: "ord-42".into(),
        entered_at: "2026-01-01T10:00:02.1Z".into(),
        step: "stock_updated".into(),
        after: Some("published".into()),
        state: "missing".into(),
        verdict: "unaccounted".into(),
        reason: Some("vanished".into()),
        silent_since: "2026-01-01T10:00:02.1052Z".into(),
        due: "2026-01-01T10:00:14.1052Z".into(),
        owed_by: vec![OwingReport { service: "inventory".into(), last_heard: Some("2026-01-01T10:01:40Z".into()) }],
        expected: vec!["client span \"UPDATE stock\" of inventory".into()],
        says:
            "`stock_updated` was due at 2026-01-01 10:00:14 UTC and never came: unaccounted (vanished); inventory owes \
               it and was last heard at 10:01:40 UTC; `published`, the last step, was seen at 10:00:02 UTC"
                .into(),
    };
    let journey = JourneyReport {
        flow: "order-fulfilment".into(),
        key: "ord-42".into(),
        verdict: "unaccounted".into(),
        reason: Some("vanished".into()),
        after: Some("published".into()),
        entered_at: "2026-01-01T10:00:02.1Z".into(),
        confirmed: false,
    };
    PassageReport {
        asked: "ord-42".into(),
        found_as: vec!["key".into()],
        journeys: vec![JourneyDetail {
            journey,
            seen: vec![seen("placed", "storefront", "02.1", 100), seen("published", "orders", "02.1052", 200)],
            owed: [("stock_updated".to_owned(), "2026-01-01T10:00:14.1052Z".to_owned())].into(),
            asked: Vec::new(),
        }],
        gaps: vec![gap],
        spans: vec![checkout, publish, process, mail],
        logs: Vec::new(),
        answers: answers(),
        conclusion: Some(
            "telemetry shows nothing after `published`; stock-db has no row in stock_moves; its message lies dead in \
             orders.dead of broker since 2026-01-01 10:00:03 UTC (MissingSku); erp cannot tell everything"
                .into(),
        ),
        cut: vec![CutReport { what: "linked_traces".into(), count: 3, why: "one answer follows 32 links".into() }],
        notes: vec!["the index is 40 requests behind: what arrived last is missing here".into()],
    }
}
