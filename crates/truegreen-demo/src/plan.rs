//! The one place where a fault becomes what each service is told.

use std::path::Path;

use crate::config::{
    Acknowledging, Export, Inventory, Orders, Payments, Publishing, Returns, Road, Role, ServiceConfig, Storefront,
    TakenOncePer, Unusable,
};
use crate::event::{FREIGHT, WAREHOUSE};
use crate::telemetry::ROOMY_QUEUE;
use crate::{Fault, Setup};

/// With [`Fault::NobodyConsuming`], how many messages are consumed before the loop ends.
const CONSUMED_BEFORE_THE_END: u64 = 5;
/// With [`Fault::DeadExporter`], how long telemetry gets through after the first message.
const EXPORTER_LIVES_MS: u64 = 5_000;
/// With [`Fault::ExporterDrops`], how long the collector takes over each piece.
const COLLECTOR_TAKES_MS: u64 = 400;
/// With [`Fault::SlowConsumer`], the time spent on a message, in times between two orders.
const WORK_PER_ORDER: f64 = 1.9;
/// With [`Fault::SwallowedTimeout`], how long the issuer of gift cards takes: longer than [`PAYMENT_TIMEOUT_MS`].
const SLOW_GIFT_CARD_MS: u64 = 1_500;
const PAYMENT_TIMEOUT_MS: u64 = 1_000;
/// With [`Fault::ClockSkew`], how far the clock of payments' host is behind.
const BEHIND_MS: i64 = 7_000;
const LEEWAY_MS: i64 = 1_000;
/// What the repaired check of tokens bears with.
const WIDE_LEEWAY_MS: i64 = 15_000;
/// With [`Fault::LostAfterAck`], how often the buffer is written out, and how much of what arrives until then it holds.
const FLUSH_EVERY_MS: u64 = 500;
const BUFFER_SHARE: f64 = 0.6;
/// The limit of a message's size, and with [`Fault::LostPublish`].
const MAX_MESSAGE_BYTES: usize = 64 << 10;
const SMALL_MESSAGE_BYTES: usize = 512;
/// With [`Fault::Duplicate`], every so many confirmations get lost.
const CONFIRMATION_LOST_EVERY: u64 = 20;
/// With [`Fault::LyingHealth`], payments until the database can no longer be written.
const PAID_BEFORE_FAILOVER: u64 = 20;
const RETURNS_TIMEOUT_MS: u64 = 2_000;
const LABEL_ATTEMPTS: u32 = 5;
const CREW_TIMEOUT_MS: u64 = 1_000;
/// People that bulky goods need.
const FREIGHT_CREW: u32 = 2;

/// Turns a set-up into what each service is told.
pub(crate) struct Plan<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) run_dir: &'a Path,
}

impl Plan<'_> {
    /// The trouble is there, repaired code or not.
    fn is(&self, fault: Fault) -> bool {
        self.setup.fault == fault
    }

    /// The code is broken.
    fn broken(&self, fault: Fault) -> bool {
        self.is(fault) && !self.setup.fixed
    }

    /// storefront, orders, payments, inventory.
    pub(crate) fn services(&self) -> [ServiceConfig; 4] {
        [self.storefront(), self.orders(), self.payments(), self.inventory()]
    }

    fn storefront(&self) -> ServiceConfig {
        let waits_for_ever = self.broken(Fault::StalledRequest);
        let role = Storefront {
            run: self.setup.run.clone(),
            returns_timeout_ms: (!waits_for_ever).then_some(RETURNS_TIMEOUT_MS),
            evicts_on_unknown_change: !self.broken(Fault::StaleCache),
        };
        self.service(if waits_for_ever { "3.3.0" } else { "3.2.0" }, Role::Storefront(role))
    }

    fn orders(&self) -> ServiceConfig {
        let role = Orders {
            bundles_carry_sku: !(self.is(Fault::SilentSkip) || self.is(Fault::StuckConsumer)),
            gift_skus_in_capitals: self.is(Fault::ZeroRowUpdate),
            payment_timeout_ms: PAYMENT_TIMEOUT_MS,
            accepts_unpaid: self.broken(Fault::SwallowedTimeout),
            returns: Returns {
                freight_carrier: if self.is(Fault::SilentLoop) { "Freight" } else { FREIGHT }.to_owned(),
                label_attempts: (!self.broken(Fault::SilentLoop)).then_some(LABEL_ATTEMPTS),
                freight_crew: if self.is(Fault::StalledRequest) { 1 } else { FREIGHT_CREW },
                crew_timeout_ms: (!self.broken(Fault::StalledRequest)).then_some(CREW_TIMEOUT_MS),
            },
            publishing: Publishing {
                detached: self.broken(Fault::LostPublish),
                max_message_bytes: if self.is(Fault::LostPublish) { SMALL_MESSAGE_BYTES } else { MAX_MESSAGE_BYTES },
                headers: !self.broken(Fault::BrokenContext),
                confirmation_lost_every: self.is(Fault::Duplicate).then_some(CONFIRMATION_LOST_EVERY),
            },
        };
        // The release that brings the trouble.
        let changed = matches!(
            self.setup.fault,
            Fault::SilentSkip
                | Fault::StuckConsumer
                | Fault::ZeroRowUpdate
                | Fault::SwallowedTimeout
                | Fault::SilentLoop
                | Fault::LostPublish
                | Fault::BrokenContext
        );
        self.service(if changed { "1.9.0" } else { "1.8.1" }, Role::Orders(role))
    }

    fn payments(&self) -> ServiceConfig {
        let skewed = self.is(Fault::ClockSkew);
        let role = Payments {
            token_leeway_ms: if skewed && self.setup.fixed { WIDE_LEEWAY_MS } else { LEEWAY_MS },
            gift_card_ms: if self.is(Fault::SwallowedTimeout) { SLOW_GIFT_CARD_MS } else { 0 },
            fails_over_after: self.is(Fault::LyingHealth).then_some(PAID_BEFORE_FAILOVER),
            ignores_write_errors: self.broken(Fault::LyingHealth),
            health_tries_to_write: !self.broken(Fault::LyingHealth),
        };
        let clock_ahead_ms = if skewed { -BEHIND_MS } else { 0 };
        ServiceConfig { clock_ahead_ms, ..self.service("0.7.2", Role::Payments(role)) }
    }

    fn inventory(&self) -> ServiceConfig {
        // All-rejected: a release that lost its list of warehouses knows none.
        let warehouses = if self.is(Fault::AllRejected) { Vec::new() } else { vec![WAREHOUSE.to_owned()] };
        let per_second = self.setup.rate_per_second;
        let role = Inventory {
            unusable: match () {
                () if self.broken(Fault::SilentSkip) => Unusable::Skip,
                () if self.broken(Fault::StuckConsumer) => Unusable::PutBack,
                () => Unusable::Refuse,
            },
            warehouses,
            normalises_skus: !self.broken(Fault::ZeroRowUpdate),
            stop_consuming_after: self.is(Fault::NobodyConsuming).then_some(CONSUMED_BEFORE_THE_END),
            work_us: if self.broken(Fault::SlowConsumer) { rounded(WORK_PER_ORDER * 1e6 / per_second) } else { 0 },
            acknowledging: match self.broken(Fault::LostAfterAck) {
                true => {
                    let arriving = per_second * FLUSH_EVERY_MS as f64 / 1e3;
                    let buffer = usize::try_from(rounded(arriving * BUFFER_SHARE)).unwrap_or(usize::MAX).max(1);
                    Acknowledging::BeforeWriting { buffer, flush_every_ms: FLUSH_EVERY_MS }
                }
                false => Acknowledging::AfterWriting,
            },
            taken_once_per: if self.broken(Fault::Duplicate) { TakenOncePer::Message } else { TakenOncePer::Order },
            price_event_type: if self.is(Fault::StaleCache) { "price_changed" } else { "repriced" }.to_owned(),
        };
        // The release that repairs, or does not yet break.
        let repaired = self.setup.fixed || matches!(self.setup.fault, Fault::None | Fault::AllRejected);
        let mut config = self.service(if repaired { "2.4.1" } else { "2.4.0" }, Role::Inventory(role));
        config.export = self.inventory_export();
        config
    }

    fn inventory_export(&self) -> Export {
        let road = match self.setup.fault {
            Fault::DeadExporter => Road::ClosesAfterMs(EXPORTER_LIVES_MS),
            Fault::ExporterDrops => Road::SlowByMs(COLLECTOR_TAKES_MS),
            _ => Road::Direct,
        };
        // Each order makes three spans, and an export takes the better part of a second.
        let tiny = usize::try_from(rounded(self.setup.rate_per_second)).unwrap_or(ROOMY_QUEUE).clamp(4, ROOMY_QUEUE);
        Export { span_queue: if self.broken(Fault::ExporterDrops) { tiny } else { ROOMY_QUEUE }, road }
    }

    fn service(&self, version: &str, role: Role) -> ServiceConfig {
        ServiceConfig {
            otlp_endpoint: self.setup.otlp_endpoint.clone(),
            export: Export { span_queue: ROOMY_QUEUE, road: Road::Direct },
            run_dir: self.run_dir.to_owned(),
            run: self.setup.run.clone(),
            parts: self.setup.parts.clone(),
            instance: format!("{}-{}", role.name(), self.setup.run),
            version: version.to_owned(),
            clock_ahead_ms: 0,
            role,
        }
    }
}

/// A positive number, rounded.
fn rounded(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a float cast saturates")]
    let whole = number.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::Plan;
    use crate::{Fault, Setup};

    fn plan(fault: Fault, fixed: bool) -> Vec<serde_json::Value> {
        let setup = Setup {
            otlp_endpoint: "http://127.0.0.1:1".into(),
            data_dir: "/".into(),
            fault,
            fixed,
            rate_per_second: 10.0,
            seed: 1,
            load_for: Duration::from_secs(1),
            exe: "/".into(),
            run: "0".into(),
            parts: crate::Parts::default(),
        };
        let plan = Plan { setup: &setup, run_dir: Path::new("/") };
        plan.services().map(|config| serde_json::to_value(config).unwrap()).into()
    }

    /// Guarantee: a fault changes what some service is told, its repair changes it again, and no service is told the
    /// fault's name.
    #[test]
    fn every_fault_and_every_repair_is_a_setting() {
        let healthy = plan(Fault::None, false);
        for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::None) {
            let broken = plan(fault, false);
            assert_ne!(broken, healthy, "{fault}");
            assert!(!format!("{broken:?}").contains(fault.name()), "{fault}");
            if fault.can_be_fixed() {
                assert_ne!(plan(fault, true), broken, "{fault}");
            }
        }
    }
}
