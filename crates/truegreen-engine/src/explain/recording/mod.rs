//! Telemetry as it was recorded: spans and logs with all of their attributes.
