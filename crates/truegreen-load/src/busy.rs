//! What the load itself costs, since it shares the machine with what it measures.

use anyhow::Result;

/// Processor time of this process so far; the kernel counts it in hundredths.
pub(crate) fn busy_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    // User and system time are the fourteenth and fifteenth field; two stand before.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}
