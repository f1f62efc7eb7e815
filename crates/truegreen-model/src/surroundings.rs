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
    /// How many journeys entered each flow of late.
    pub entered: Vec<Entered>,
}

/// How many journeys entered a flow, minute by minute.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Entered {
    /// Its name.
    pub flow: String,
    /// Minutes since 1970 of the first one.
    pub first_minute: u64,
    /// Of each minute from there on that is over.
    pub by_minute: Vec<u64>,
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
