mod finding;
mod planted;
mod telemetry;
mod town;
