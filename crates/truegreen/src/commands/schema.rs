//! `truegreen schema`.

use std::io::Write;

pub(super) fn run() -> anyhow::Result<u8> {
    let schema = serde_json::to_string_pretty(&truegreen_engine::flow::schema())?;
    writeln!(std::io::stdout(), "{schema}")?;
    Ok(0)
}
