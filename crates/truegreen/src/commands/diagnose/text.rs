//! A diagnosis for people.

use std::io::Write;

use truegreen_model::suspect::{Certainty, Diagnosis, Suspect};

use super::super::terminal::printable;

/// One sentence first; then each suspect with its evidence, what was ruled out, and what should be known of the data.
pub(super) fn write(out: &mut impl Write, diagnosis: &Diagnosis) -> std::io::Result<()> {
    let verdict = match diagnosis.verdict {
        Certainty::Confirmed => "CONFIRMED",
        Certainty::Likely => "LIKELY",
        Certainty::Inconclusive => "INCONCLUSIVE",
    };
    writeln!(out, "{verdict}. {}", printable(&diagnosis.summary))?;
    for suspect in &diagnosis.suspects {
        write_suspect(out, suspect)?;
    }
    if !diagnosis.ruled_out.is_empty() {
        writeln!(out, "\nRuled out:")?;
        for ruled_out in &diagnosis.ruled_out {
            writeln!(out, "  - {}: {}", printable(&ruled_out.what), printable(&ruled_out.why))?;
        }
    }
    let Diagnosis { normal_requests, failing_requests, comparisons, .. } = diagnosis;
    writeln!(
        out,
        "\nCompared: {normal_requests} normal and {failing_requests} failing requests, in {comparisons} ways."
    )?;
    for note in &diagnosis.notes {
        writeln!(out, "Note: {}.", printable(note))?;
    }
    Ok(())
}

pub(super) fn write_suspect(out: &mut impl Write, suspect: &Suspect) -> std::io::Result<()> {
    let place = [("", &suspect.service), ("instance ", &suspect.instance), ("operation ", &suspect.operation)];
    let place: Vec<String> =
        place.iter().filter_map(|(what, name)| Some(format!("{what}{}", printable(name.as_deref()?)))).collect();
    writeln!(out, "\n{}. {}: {}", suspect.rank, place.join(", "), suspect.kind.name().replace('_', " "))?;
    for line in &suspect.evidence {
        writeln!(out, "   - {}", printable(line))?;
    }
    Ok(())
}
