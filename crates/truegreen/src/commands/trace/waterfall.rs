//! A passage drawn for a terminal: a line for each hop, with its place in time as a bar.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use truegreen_model::answer::SystemAnswer;
use truegreen_model::passage::{LogReport, PassageReport};
use truegreen_model::report::JourneyDetail;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::terminal::{BOLD, DIM, printable};
use crate::lookup::rows::{Drawing, Row, Subject, Tone, answer_tone, drawing, log_line, mark};
use crate::lookup::when;
use crate::wording;

const NARROWEST: usize = 80;
const WIDEST: usize = 220;
/// Deeper spans are drawn no further to the right.
const MAX_INDENT: usize = 12;
/// Log lines shown below one span.
const MAX_LOGS: usize = 12;
const TOOK_WIDTH: usize = 10;
const NARROWEST_BAR: usize = 8;
/// Blanks between the columns.
const BETWEEN: usize = 9;

/// Writes an answer for a terminal of this width.
pub(super) fn write(out: &mut impl Write, report: &PassageReport, width: usize) -> std::io::Result<()> {
    write_verdicts(out, report)?;
    write_answers(out, report)?;
    let drawing = drawing(report);
    let columns = Columns::of(&drawing, width.clamp(NARROWEST, WIDEST));
    if !drawing.rows.is_empty() {
        writeln!(out)?;
        write_head(out, &drawing, &columns)?;
    }
    for row in &drawing.rows {
        write_row(out, row, &drawing, &columns)?;
    }
    if !report.cut.is_empty() || !report.notes.is_empty() {
        writeln!(out)?;
    }
    let yellow = AnsiColor::Yellow.on_default();
    for cut in &report.cut {
        let what = cut.what.replace('_', " ");
        writeln!(out, "{yellow}not shown: {} {}: {}{yellow:#}", cut.count, printable(&what), printable(&cut.why))?;
    }
    for note in &report.notes {
        writeln!(out, "{yellow}{}{yellow:#}", printable(&wording::sentence(note)))?;
    }
    Ok(())
}

fn write_verdicts(out: &mut impl Write, report: &PassageReport) -> std::io::Result<()> {
    if report.journeys.is_empty() {
        let how: Vec<_> = report.found_as.iter().map(|how| how.replace('_', " ")).collect();
        let how = if how.is_empty() { String::new() } else { format!(" ({})", printable(&how.join(", "))) };
        writeln!(out, "{BOLD}{}{BOLD:#}{how}", printable(&report.asked))?;
    }
    for detail in &report.journeys {
        write_verdict(out, detail)?;
        let entered_at = &detail.journey.entered_at;
        let own = |gap: &&truegreen_model::passage::GapReport| {
            (&gap.flow, &gap.key, &gap.entered_at) == (&detail.journey.flow, &detail.journey.key, entered_at)
        };
        for gap in report.gaps.iter().filter(own) {
            for part in gap.says.split("; ") {
                writeln!(out, "  {}", printable(part))?;
            }
            if !gap.expected.is_empty() {
                writeln!(out, "  {DIM}it would have been seen by: {}{DIM:#}", printable(&gap.expected.join(", or ")))?;
            }
        }
    }
    Ok(())
}

fn write_verdict(out: &mut impl Write, detail: &JourneyDetail) -> std::io::Result<()> {
    let journey = &detail.journey;
    let (style, verdict) = match journey.verdict.as_str() {
        "unaccounted" => (AnsiColor::Red.on_default().bold(), "UNACCOUNTED".to_owned()),
        "unknown" => (AnsiColor::Yellow.on_default().bold(), "UNKNOWN".to_owned()),
        "open" => (AnsiColor::Yellow.on_default(), "open".to_owned()),
        "completed" => (AnsiColor::Green.on_default().bold(), "completed".to_owned()),
        other => (Style::new().bold(), other.replace('_', "-")),
    };
    let reason = journey.reason.as_ref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    let (key, flow) = (printable(&journey.key), printable(&journey.flow));
    let entered = printable(&when::stamp(&journey.entered_at));
    writeln!(out, "{BOLD}{key}{BOLD:#} in {flow}: {style}{}{style:#}{reason}, entered {entered}", printable(&verdict))?;
    for answer in wording::answers(detail) {
        writeln!(out, "  {}", printable(&answer))?;
    }
    Ok(())
}

/// What systems said, whole: in the drawing it may be cut.
fn write_answers(out: &mut impl Write, report: &PassageReport) -> std::io::Result<()> {
    if let Some(conclusion) = &report.conclusion {
        writeln!(out, "\n{BOLD}{}{BOLD:#}", printable(&wording::sentence(conclusion)))?;
    }
    let Some(first) = report.answers.first() else { return Ok(()) };
    writeln!(out, "\n{DIM}systems, asked at {}{DIM:#}", printable(&when::stamp(&first.asked_at)))?;
    let widest = |of: fn(&SystemAnswer) -> &str| report.answers.iter().map(|one| printable(of(one)).width()).max();
    let (system, of) = (widest(|one| &one.system).unwrap_or(0), widest(named).unwrap_or(0).min(40));
    for answer in &report.answers {
        let style = style_of(answer_tone(answer));
        let (name, about) = (pad(&printable(&answer.system), system), pad(&printable(named(answer)), of));
        writeln!(out, "{style}{}{style:#} {name}  {about}  {style}{}{style:#}", mark(answer), printable(&answer.says))?;
        for command in answer.letters.iter().filter_map(|letter| letter.command.as_ref()) {
            writeln!(out, "{}{DIM}{}{DIM:#}", " ".repeat(system + of + 6), printable(command))?;
        }
    }
    Ok(())
}

/// What it is about, in few words.
fn named(answer: &SystemAnswer) -> &str {
    match answer.way.as_str() {
        "dead_letters" => "dead letters",
        _ => &answer.of,
    }
}

/// How wide each column is.
struct Columns {
    time: usize,
    service: usize,
    what: usize,
    bar: usize,
    outcome: usize,
}

impl Columns {
    fn of(drawing: &Drawing<'_>, width: usize) -> Columns {
        let widest =
            |of: &dyn Fn(&Row<'_>) -> usize, most: usize| drawing.rows.iter().map(of).max().unwrap_or(0).min(most);
        let time = if drawing.spans_days { 23 } else { 12 };
        let service = widest(&|row| printable(&row.service).width(), (width / 8).max(8));
        let what = widest(&|row| indent(row.depth).width() + printable(&row.what).width(), (width / 4).max(18));
        let outcome = widest(&|row| printable(&row.outcome).width(), (width / 3).max(20));
        let taken = time + service + what + TOOK_WIDTH + BETWEEN;
        let outcome = outcome.min(width.saturating_sub(taken + NARROWEST_BAR));
        let taken = taken + outcome;
        Columns { time, service, what, bar: width.saturating_sub(taken).max(NARROWEST_BAR), outcome }
    }

    /// Where what is logged below a span begins.
    fn below(&self) -> usize {
        self.time + self.service + 4
    }
}

fn write_head(out: &mut impl Write, drawing: &Drawing<'_>, columns: &Columns) -> std::io::Result<()> {
    let day = if drawing.spans_days { "times are UTC".to_owned() } else { format!("{} UTC", when::date(drawing.from)) };
    let end = drawing.rows.iter().map(|row| row.to).max().unwrap_or(drawing.from);
    let whole = when::duration(end.saturating_sub(drawing.from));
    let left = pad(&day, columns.time + 2 + columns.service + 2 + columns.what);
    let axis = format!("0{:>width$}", whole, width = columns.bar.saturating_sub(1));
    let asked =
        if drawing.rows.iter().any(|row| matches!(row.subject, Subject::Answer(_))) { "  ● asked now" } else { "" };
    let shortened = if drawing.scale.breaks().is_empty() { "" } else { "  ┊ waiting, drawn shorter" };
    writeln!(out, "{DIM}{left}  {axis}{shortened}{asked}{DIM:#}")
}

fn write_row(out: &mut impl Write, row: &Row<'_>, drawing: &Drawing<'_>, columns: &Columns) -> std::io::Result<()> {
    let style = style_of(row.tone);
    let time = row.time().map(|at| when::column(at, drawing.spans_days)).unwrap_or_default();
    let time = pad(&time, columns.time);
    let service = pad(&printable(&row.service), columns.service);
    let what = pad(&format!("{}{}", indent(row.depth), printable(&row.what)), columns.what);
    let took = row.took().map(when::duration).unwrap_or_default();
    let took = format!("{}{took}", " ".repeat(TOOK_WIDTH.saturating_sub(took.width())));
    let (bar, outcome) = (bar(row, drawing, columns.bar), cut(&printable(&row.outcome), columns.outcome));
    let line = format!("{DIM}{time}{DIM:#}  {service}  {style}{what}{style:#}  {style}{bar}{style:#} {took}");
    let line = if outcome.is_empty() { line } else { format!("{line}  {style}{outcome}{style:#}") };
    writeln!(out, "{}", line.trim_end())?;
    let logs = row.logs();
    for log in logs.iter().take(MAX_LOGS) {
        write_log(out, log, drawing, columns, row.depth)?;
    }
    if logs.len() > MAX_LOGS {
        let more = wording::count((logs.len() - MAX_LOGS) as u64, "log line");
        writeln!(out, "{}{DIM}and {more} more{DIM:#}", " ".repeat(columns.below() + indent(row.depth).width()))?;
    }
    Ok(())
}

fn write_log(
    out: &mut impl Write,
    log: &LogReport,
    drawing: &Drawing<'_>,
    columns: &Columns,
    depth: u32,
) -> std::io::Result<()> {
    let at = when::nanos(&log.at).map(|at| when::column(at, drawing.spans_days)).unwrap_or_default();
    let style = match log.severity.as_deref() {
        Some("ERROR" | "FATAL") => AnsiColor::Red.on_default(),
        Some("WARN") => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    };
    let indent = " ".repeat(indent(depth).width());
    let steps: Vec<_> = log.steps.iter().map(|step| step.step.as_str()).collect();
    let steps = if steps.is_empty() { String::new() } else { format!("  ✔ {}", printable(&steps.join(", "))) };
    let room = columns.what + columns.bar + TOOK_WIDTH + columns.outcome;
    let room = room.saturating_sub(indent.width() + steps.width());
    let line = cut(&printable(&log_line(log)), room);
    let (at, service) = (pad(&at, columns.time), " ".repeat(columns.service));
    writeln!(out, "{DIM}{at}{DIM:#}  {service}  {indent}{DIM}│{DIM:#} {style}{line}{style:#}{steps}")
}

fn style_of(tone: Tone) -> Style {
    match tone {
        Tone::Step => AnsiColor::Green.on_default(),
        Tone::Exit => AnsiColor::Cyan.on_default(),
        Tone::Failed => AnsiColor::Red.on_default(),
        Tone::Missing => AnsiColor::Red.on_default().bold(),
        Tone::Open => AnsiColor::Yellow.on_default(),
        Tone::Beside => Style::new(),
    }
}

fn indent(depth: u32) -> String {
    match (depth as usize).min(MAX_INDENT) {
        0 => String::new(),
        depth => format!("{}└ ", "  ".repeat(depth - 1)),
    }
}

/// A bar of so many columns.
fn bar(row: &Row<'_>, drawing: &Drawing<'_>, width: usize) -> String {
    let column = |place: f64| ((place * width as f64) as usize).min(width.saturating_sub(1));
    let mut cells = vec![' '; width];
    for place in drawing.scale.breaks() {
        cells[column(*place)] = '┊';
    }
    let (from, to) = (drawing.scale.place(row.from), drawing.scale.place(row.to));
    let (first, last) = (column(from), column(to));
    match row.subject {
        Subject::Gap(_) => {
            cells[first..=last].iter_mut().for_each(|cell| *cell = '╌');
            cells[last] = if row.tone == Tone::Missing { '✘' } else { '?' };
        }
        Subject::Span(_) => {
            cells[first..=last].iter_mut().for_each(|cell| *cell = '█');
            // The last cell is filled as far as the bar reaches into it.
            let reach = to * width as f64 - last as f64;
            let eighths = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
            let share = if first == last { (to - from) * width as f64 } else { reach };
            cells[last] = eighths[((share * 8.0) as usize).min(7)];
        }
        Subject::Log(_) | Subject::Seen(_) => cells[first] = '◆',
        Subject::Answer(_) => cells[width.saturating_sub(1)] = '●',
    }
    cells.into_iter().collect()
}

/// Exactly so many columns.
fn pad(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// At most so many columns.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::rows::samples;

    fn drawn(report: &PassageReport, width: usize) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write(&mut out, report, width).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn a_lost_order_reads_at_two_in_the_morning() {
        insta::assert_snapshot!(drawn(&samples::lost_order(), 120));
    }

    /// Guarantee: no row is wider than the terminal, whatever peers sent.
    #[test]
    fn lines_keep_to_the_terminal() {
        let mut report = samples::lost_order();
        report.spans[3].status_message = Some("漢字".repeat(100));
        report.spans[2].name = "é".repeat(100);
        for width in [80, 100, 140, 200] {
            let text = drawn(&report, width);
            let table = text.lines().filter(|line| line.contains(['█', '╌', '│']));
            for line in table {
                assert!(line.width() <= width, "{width}: {} {line}", line.width());
            }
        }
    }

    #[test]
    fn what_peers_sent_cannot_steer_the_terminal() {
        let mut report = samples::lost_order();
        let hostile = "\x1b[2J\u{9b}31m\u{202e}evil\u{7}";
        report.spans[0].name = hostile.to_owned();
        report.spans[0].service = hostile.to_owned();
        report.spans[0].status_message = Some(hostile.to_owned());
        report.spans[0].status = "error".to_owned();
        report.spans[1].logs[0].text = hostile.to_owned();
        report.journeys[0].journey.key = hostile.to_owned();
        report.gaps[0].says = hostile.to_owned();
        report.notes.push(hostile.to_owned());
        report.answers[0].says = hostile.to_owned();
        report.answers[2].letters[0].command = Some(hostile.to_owned());
        report.conclusion = Some(hostile.to_owned());
        let mut out = Vec::new();
        write(&mut out, &report, 100).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{7}']) && !text.contains("\x1b[2J"), "{text:?}");
        assert!(text.contains("evil"));
    }

    #[test]
    fn texts_are_cut_by_their_width() {
        assert_eq!((cut("abcdef", 4).as_str(), cut("漢字漢字", 5).as_str()), ("abc…", "漢字…"));
        assert_eq!(pad("é", 3), "é  ");
    }
}
