//! How a row went, by what was asked.

use anyhow::Context;
use truegreen_engine::explain::contrast::{Outcome, decimal};
use truegreen_model::time::Timestamp;

use super::super::learn::when;

/// What says that a row failed, and that it did not, where no value is given. Whatever else stands there is no answer.
const FAILING: &[&str] = &[
    "true", "t", "yes", "y", "1", "1.0", "fail", "fails", "failed", "failing", "failure", "error", "errored", "bad",
    "ko",
];
const HEALTHY: &[&str] =
    &["", "false", "f", "no", "n", "0", "0.0", "ok", "good", "pass", "passed", "success", "succeeded", "healthy"];

/// Which rows failed.
#[derive(clap::Args, Debug)]
pub(super) struct Asked {
    /// Column that says which rows failed (true, 1, yes, fail, failed, error, ...), or the values that mean it:
    /// status=500,502
    #[arg(long, value_name = "COLUMN[=VALUE,..]", conflicts_with_all = ["bad", "total"])]
    failing: Option<String>,
    /// Column with the failures among the attempts of each row
    #[arg(long, value_name = "COLUMN", requires = "total")]
    bad: Option<String>,
    /// Column with the attempts of each row
    #[arg(long, value_name = "COLUMN", requires = "bad")]
    total: Option<String>,
    /// Column with the time: RFC 3339, `2026-01-31 10:15:16.875` (UTC), or seconds to nanoseconds since 1970
    #[arg(long, value_name = "COLUMN", requires = "failing_from")]
    time: Option<String>,
    /// When it began to fail: rows before are what is usual
    #[arg(long, value_name = "TIME", requires = "time")]
    failing_from: Option<String>,
    /// When it was over: rows from then on are left out
    #[arg(long, value_name = "TIME", requires = "failing_from")]
    failing_until: Option<String>,
}

/// The same, as it is asked of each row.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) by: By,
    pub(super) period: Option<Period>,
}

/// What tells how a row went.
#[derive(Debug)]
pub(super) enum By {
    /// A column, as it was written: the file tells where its name ends and values begin.
    Failing(String),
    Counts {
        bad: String,
        total: String,
    },
    /// The time alone.
    Period,
}

#[derive(Debug)]
pub(super) struct Period {
    pub(super) column: String,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Asked {
    /// What is asked for.
    pub(super) fn wish(&self) -> anyhow::Result<Wish> {
        let moment = |text: &String, what: &str| {
            when::parse(text).with_context(|| {
                format!("{what} {text:?} is no time\nhint: RFC 3339, `2026-01-31 10:15:16`, or a number since 1970")
            })
        };
        let period = match (&self.time, &self.failing_from) {
            (Some(column), Some(from)) => Some(Period {
                column: column.clone(),
                from: moment(from, "--failing-from")?,
                until: self.failing_until.as_ref().map(|until| moment(until, "--failing-until")).transpose()?,
            }),
            _ => None,
        };
        let by = match (&self.failing, &self.bad, &self.total) {
            (Some(failing), ..) => By::Failing(failing.clone()),
            (None, Some(bad), Some(total)) => By::Counts { bad: bad.clone(), total: total.clone() },
            _ if period.is_some() => By::Period,
            _ => anyhow::bail!(
                "what failed?\nhint: `--failing COLUMN`, `--bad COLUMN --total COLUMN`, or `--time COLUMN --failing-from TIME`"
            ),
        };
        Ok(Wish { by, period })
    }
}

impl Wish {
    /// Whether rows of one time are held against rows of another, rather than failing against healthy ones.
    pub(super) fn is_of_shares(&self) -> bool {
        matches!(self.by, By::Period)
    }
}

/// What the file's own columns say, by their place.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) by: ByPlace,
    pub(super) period: Option<(usize, &'a Period)>,
}

#[derive(Debug)]
pub(super) enum ByPlace {
    Failing(usize, Option<Vec<String>>),
    Counts { bad: usize, total: usize },
    Period,
}

/// Which time a row is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    During,
    Later,
}

impl Judge<'_> {
    /// Columns that are no attributes.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.period.iter().map(|(place, _)| *place).collect();
        match self.by {
            ByPlace::Failing(place, _) => places.push(place),
            ByPlace::Counts { bad, total } => places.extend([bad, total]),
            ByPlace::Period => {}
        }
        places
    }

    /// How a row went; nothing where it is of a later time. What a column holds is asked for by its place.
    pub(super) fn outcome<'c>(&self, cell: impl Fn(usize) -> Option<&'c str>) -> anyhow::Result<Option<Outcome>> {
        let part = match self.period {
            None => Part::During,
            Some((place, period)) => {
                let text = cell(place).unwrap_or_default();
                let at = when::parse(text).with_context(|| {
                    format!(
                        "{} is no time\nhint: RFC 3339, `2026-01-31 10:15:16`, or a number since 1970",
                        quoted(text)
                    )
                })?;
                match period.until {
                    _ if at < period.from => Part::Before,
                    Some(until) if at >= until => Part::Later,
                    _ => Part::During,
                }
            }
        };
        if part == Part::Later {
            return Ok(None);
        }
        let outcome = match &self.by {
            ByPlace::Period => return Ok(Some(Outcome::of(part == Part::During))),
            ByPlace::Failing(place, values) => {
                Outcome::of(is_failing(cell(*place).unwrap_or_default(), values.as_deref())?)
            }
            ByPlace::Counts { bad, total } => {
                let count = |place: usize| whole(cell(place).unwrap_or_default());
                let (bad, total) = (count(*bad)?, count(*total)?);
                anyhow::ensure!(
                    bad <= total,
                    "{bad} failures among {total} attempts\nhint: are --bad and --total exchanged?"
                );
                Outcome::counted(bad, total)
            }
        };
        Ok(Some(if part == Part::Before { outcome.before() } else { outcome }))
    }
}

fn is_failing(text: &str, values: Option<&[String]>) -> anyhow::Result<bool> {
    if let Some(values) = values {
        return Ok(values.iter().any(|value| value == text.trim()));
    }
    let lower = text.trim().to_ascii_lowercase();
    if FAILING.contains(&lower.as_str()) {
        return Ok(true);
    }
    let shown = quoted(text);
    anyhow::ensure!(
        HEALTHY.contains(&lower.as_str()),
        "{shown} says neither that it failed nor that it did not\nhint: name the values that mean failure, as in `--failing status=500,502`"
    );
    Ok(false)
}

/// What was predicted need not be whole; it counts for the nearest number that is.
fn whole(text: &str) -> anyhow::Result<u64> {
    let number = decimal(text).filter(|n| *n >= 0.0 && *n < 9e15).map(|n| n.round() as u64);
    number.with_context(|| format!("{} is no count\nhint: failures and attempts are numbers from 0 on", quoted(text)))
}

fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    format!("{:?}", text.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_failing_and_healthy_are_known_and_others_are_asked_about() {
        let told = |text: &str| is_failing(text, None);
        assert!(told("TRUE").unwrap() && told("Failed").unwrap() && told("1").unwrap());
        assert!(!told("ok").unwrap() && !told("").unwrap() && !told("0").unwrap());
        assert!(told("502").unwrap_err().to_string().contains("--failing status=500,502"));
        let values = ["500".to_owned(), "502".to_owned()];
        assert!(is_failing("502", Some(&values)).unwrap() && !is_failing("200", Some(&values)).unwrap());
    }

    #[test]
    fn counts_are_numbers_from_nothing_on() {
        assert_eq!((whole("12").unwrap(), whole(" 3.0 ").unwrap(), whole("1,234.6").unwrap()), (12, 3, 1235));
        assert!(whole("-1").is_err() && whole("").is_err() && whole("many").is_err());
    }
}
