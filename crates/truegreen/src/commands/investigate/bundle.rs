//! Everything about one finding in one file, for somebody who was not there.

use std::path::Path;

use super::gathered::Gathered;
use super::steps::{self, Step};
use crate::incidents::{Document, postmortem};
use crate::lookup::when;
use crate::wording;

/// Keys of the finding that are listed.
const MAX_KEYS: usize = 100;

/// As what a bundle is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Markdown,
    Html,
}

impl Format {
    /// By the ending of the file.
    pub(super) fn of(file: &Path) -> anyhow::Result<Format> {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("md" | "markdown") => Ok(Format::Markdown),
            Some("html" | "htm") => Ok(Format::Html),
            _ => anyhow::bail!("{} is neither .md nor .html\nhint: the ending says how it is written", file.display()),
        }
    }
}

/// All of it. `now` is RFC 3339.
pub(super) fn write(gathered: &Gathered, all: &[Step], now: &str, format: Format) -> String {
    let document = document(gathered, all, now);
    match format {
        Format::Markdown => document.markdown(),
        Format::Html => document.html(),
    }
}

fn document(gathered: &Gathered, all: &[Step], now: &str) -> Document {
    let finding = &gathered.finding;
    let mut out = Document::new(&format!("Hand-over: {}", finding.title));
    let (since, last) = (when::stamp(&finding.onset), when::stamp(&finding.last_seen));
    out.paragraph(&format!(
        "As of {}. Finding {} ({}), {}, since {since}, last at {last}. {}",
        when::stamp(now),
        finding.id,
        finding.kind,
        finding.status,
        wording::sentence(&gathered.recurrence.says)
    ));
    out.list(finding.evidence.iter().cloned());
    if let Some(nudge) = gathered.incident.as_ref().and_then(|incident| steps::nudge(incident, now)) {
        out.paragraph(&nudge);
    }
    for step in all {
        out.heading(&format!("Step {}: {}", step.number, step.name));
        out.paragraph(&wording::sentence(&step.says));
        out.list(step.lines.iter().cloned());
    }
    out.heading("Examples");
    out.list(finding.examples.iter().take(MAX_KEYS).cloned());
    match &gathered.incident {
        Some(incident) => out.append(postmortem::document(incident, now)),
        None => out.paragraph("No incident was opened for it."),
    }
    out.heading("The diagnosis as JSON");
    match &gathered.diagnosis {
        Some(diagnosis) => out.code(&serde_json::to_string_pretty(diagnosis).unwrap_or_default()),
        None => out.paragraph(&format!("There is none: {}.", gathered.no_diagnosis)),
    }
    out.heading("To go on");
    let (url, id) = (&gathered.url, &finding.id);
    out.code(&format!(
        "truegreen investigate {id} --url {url}\n\
         truegreen investigate {id} --url {url} --hypothesis 'what may have caused it'\n\
         truegreen incident open {id} --url {url}"
    ));
    out
}

#[cfg(test)]
mod tests {
    use truegreen_model::report::FindingReport;

    use super::*;

    #[test]
    fn a_bundle_stands_alone_and_is_escaped() {
        let finding = FindingReport {
            title: "<img src=x onerror=alert(1)> vanish".to_owned(),
            examples: vec!["<b>o-1</b>".to_owned()],
            ..FindingReport::default()
        };
        let gathered =
            Gathered { finding, diagnosis: Some(serde_json::json!({"says": "</pre><script>"})), ..Gathered::default() };
        let all = steps::all(&gathered);
        let page = write(&gathered, &all, "2026-01-01T10:00:00Z", Format::Html);
        assert!(!page.contains("<img") && !page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(!page.contains("href=") && !page.contains("url("), "nothing from elsewhere: {page}");
        let text = write(&gathered, &all, "2026-01-01T10:00:00Z", Format::Markdown);
        assert!(text.contains("## Step 9: Document") && !text.contains("<img"), "{text}");
    }

    #[test]
    fn the_ending_says_how_it_is_written() {
        assert_eq!(Format::of(Path::new("a.html")).unwrap(), Format::Html);
        assert_eq!(Format::of(Path::new("a.md")).unwrap(), Format::Markdown);
        assert!(Format::of(Path::new("a.pdf")).is_err());
    }
}
