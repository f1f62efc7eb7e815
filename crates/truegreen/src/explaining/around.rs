//! What is known of where requests go, beside their telemetry: systems that are asked themselves, clocks, blind spots, who is
//! heard.

use truegreen_connect::SystemConfig;
use truegreen_engine::Engine;
use truegreen_model::surroundings::{AskedSystem, Surroundings};

use crate::systems::latest::Probed;
use crate::systems::probes::Probes;

/// What the engine knows of it.
pub(super) fn of_engine(engine: &Engine) -> Surroundings {
    Surroundings {
        systems: Vec::new(),
        clocks: engine.clocks(),
        blind_spots: engine.blind_spots(),
        services: engine.services(),
        entered: engine.entered(),
    }
}

/// What systems said last.
pub(super) fn of_systems(probes: &Probes) -> Vec<AskedSystem> {
    let asked = |probed: Probed| {
        let system = probes.systems().get(&probed.report.system)?;
        Some(asked(probed, system.config()))
    };
    probes.latest().into_iter().filter_map(asked).collect()
}

fn asked(Probed { report, since }: Probed, config: &SystemConfig) -> AskedSystem {
    AskedSystem {
        report,
        since,
        used_by: config.used_by.clone(),
        claims_of: config.expect.claims_of.clone(),
        host: config.address.host().to_owned(),
    }
}
