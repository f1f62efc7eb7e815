//! What can break in silence, from when on, and how badly.

use fastrand::Rng;

use super::fleet::Service;
use super::planted::Difference;

/// One way to break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// Inventory takes some orders for invalid, acknowledges them and does nothing.
    SilentSkip,
    /// Inventory refuses every order, with a reason.
    AllRejected,
    /// Inventory is up and healthy, and consumes nothing any more.
    NobodyConsuming,
    /// Inventory works; nothing of its telemetry arrives.
    DeadExporter,
    /// Returns by freight look for a free label for ever.
    SilentLoop,
    /// Returns by freight wait for ever for a pickup.
    StalledRequest,
    /// Gift cards take payments too long; orders waits for a second, then goes on unpaid.
    SwallowedTimeout,
    /// For some orders the stock's row is not met by the statement.
    ZeroRowUpdate,
    /// Shipping takes half as long again as messages come.
    SlowConsumer,
    /// One partition does not move any more: its first message is tried for ever, or its consumer hangs.
    StuckPartition,
    /// A changed product stays in the cache.
    StaleCache,
    /// The clock of one host is wrong.
    ClockSkew,
    /// Inventory acknowledges, buffers, and loses some.
    LostAfterAck,
    /// Some messages never reach the broker: an error that is ignored, or no error at all.
    LostPublish,
    /// Some messages are processed twice: published again, or delivered again.
    Duplicate,
    /// Orders publishes without headers; the order's number is lost with them, or is in the message too.
    BrokenContext,
    /// Inventory's span queue is full half of the time.
    ExporterDrops,
    /// The database of payments is read-only; its health check only reads.
    LyingHealth,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 18] = [
        Fault::SilentSkip,
        Fault::AllRejected,
        Fault::NobodyConsuming,
        Fault::DeadExporter,
        Fault::SilentLoop,
        Fault::StalledRequest,
        Fault::SwallowedTimeout,
        Fault::ZeroRowUpdate,
        Fault::SlowConsumer,
        Fault::StuckPartition,
        Fault::StaleCache,
        Fault::ClockSkew,
        Fault::LostAfterAck,
        Fault::LostPublish,
        Fault::Duplicate,
        Fault::BrokenContext,
        Fault::ExporterDrops,
        Fault::LyingHealth,
    ];

    /// As in the table, and after `--fault`.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::SilentSkip => "silent-skip",
            Fault::AllRejected => "all-rejected",
            Fault::NobodyConsuming => "nobody-consuming",
            Fault::DeadExporter => "dead-exporter",
            Fault::SilentLoop => "silent-loop",
            Fault::StalledRequest => "stalled-request",
            Fault::SwallowedTimeout => "swallowed-timeout",
            Fault::ZeroRowUpdate => "zero-row-update",
            Fault::SlowConsumer => "slow-consumer",
            Fault::StuckPartition => "stuck-partition",
            Fault::StaleCache => "stale-cache",
            Fault::ClockSkew => "clock-skew",
            Fault::LostAfterAck => "lost-after-ack",
            Fault::LostPublish => "lost-publish",
            Fault::Duplicate => "duplicate",
            Fault::BrokenContext => "broken-context",
            Fault::ExporterDrops => "exporter-drops",
            Fault::LyingHealth => "lying-health",
        }
    }

    /// Where something is done wrong, one way and the other.
    pub const fn culprit(self, other_way: bool) -> Service {
        match self {
            Fault::SilentLoop | Fault::StalledRequest | Fault::BrokenContext => Service::Orders,
            Fault::SwallowedTimeout | Fault::LyingHealth => Service::Payments,
            Fault::SlowConsumer => Service::Shipping,
            Fault::StaleCache => Service::Catalogue,
            Fault::LostPublish if other_way => Service::Shipping,
            Fault::LostPublish => Service::Orders,
            Fault::Duplicate if !other_way => Service::Orders,
            _ => Service::Inventory,
        }
    }

    /// Whether the flow of orders has a contract in its runs: the ledger finds these.
    pub const fn has_contract(self) -> bool {
        matches!(
            self,
            Fault::SilentSkip
                | Fault::AllRejected
                | Fault::NobodyConsuming
                | Fault::DeadExporter
                | Fault::LostAfterAck
                | Fault::BrokenContext
                | Fault::ExporterDrops
        )
    }
}

/// A fault as it strikes in one world.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Strike {
    /// Which.
    pub fault: Fault,
    /// From this second on.
    pub from: f64,
    /// Share of what could be hit that is hit.
    pub share: f64,
    /// Many faults come in two ways.
    pub other_way: bool,
    /// Seconds by which a clock is wrong.
    pub skew: f64,
    /// Whom it strikes alone; everybody if nothing.
    pub only: Option<Difference>,
}

impl Strike {
    /// How it strikes by this seed: present from the start, or after some healthy minutes.
    pub fn draw(fault: Fault, seed: u64, from_start: bool) -> Strike {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9).wrapping_add(fault as u64));
        let from = if from_start { 0.0 } else { 240.0 + rng.f64() * 180.0 };
        let share = [0.05, 0.1, 0.2, 0.5][rng.usize(..4)];
        let size = 3.0 + 117.0 * rng.f64().powi(3);
        let skew = if rng.bool() { size } else { -size };
        Strike { fault, from, share, other_way: seed % 2 == 1, skew, only: None }
    }

    /// The same after some healthy minutes, limited to some; nothing where this fault cannot be.
    pub fn draw_limited(fault: Fault, seed: u64) -> Option<Strike> {
        let strike = Strike::draw(fault, seed, false);
        let only = Some(Difference::draw(&strike, seed)?);
        // Of these few it hits many.
        // What is delivered again each time is never done with.
        let share = if seed.is_multiple_of(3) && fault != Fault::Duplicate { 1.0 } else { 0.5 };
        Some(Strike { share, only, ..strike })
    }
}
