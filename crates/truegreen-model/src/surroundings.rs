//! What is known of where requests go, beside their own telemetry and the findings about them: what systems said when they were
//! asked, which clocks are wrong, what is not seen, and who is heard.

use serde::{Deserialize, Serialize};

use crate::map::BlindSpot;
use crate::probe::ProbeReport;
use crate::report::{ClockReport, ServiceReport};

/// All of it, as of one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// Systems that are asked themselves, as they last answered.
    pub systems: Vec<AskedSystem>,
    /// Clocks that can be compared.
    pub clocks: Vec<ClockReport>,
    /// The ways in which a failure could hide, those that would be seen among them.
    pub blind_spots: Vec<BlindSpot>,
    /// Who is heard.
    pub services: Vec<ServiceReport>,
}

/// A system that is asked itself, and whose it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AskedSystem {
    /// What it said last.
    pub report: ProbeReport,
    /// RFC 3339: since when it stands so.
    pub since: String,
    /// Services that use it; empty where traffic has to tell.
    pub used_by: Vec<String>,
    /// The service whose own health check it is.
    pub claims_of: Option<String>,
    /// The host under which it is asked.
    pub host: String,
}
