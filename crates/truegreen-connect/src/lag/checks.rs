//! What the rules say, as checks.

use truegreen_model::probe::{Check, Standing};

use super::{Age, Judgement};
use crate::SystemConfig;
use crate::config::Limit;

/// From how many seconds that the oldest message waits on it warns, and fails.
pub const OLDEST: Limit = Limit::new(60.0, 600.0);

/// `lag_messages`, `lag_seconds` and `standing` of one group and one partition. `who` is "group inventory", `place` is
/// "stock-events/1".
pub fn judgement_checks(config: &SystemConfig, judged: &Judgement, who: &str, place: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(lag) = judged.lag {
        let words = format!("{lag} messages of {place} wait for {who}");
        checks.push(config.judge("lag_messages", Limit::default(), lag as f64, "messages", &words));
    }
    if let Some(age) = judged.age {
        let seconds = age.seconds();
        let words = match age {
            Age::Exactly(_) => {
                format!("the oldest message of {place} that {who} has not consumed is {seconds:.0} s old")
            }
            Age::AtLeast(_) => {
                format!("the oldest message of {place} that {who} has not consumed is at least {seconds:.0} s old")
            }
        };
        let mut check = config.judge("lag_seconds", OLDEST, seconds, "s", &words);
        if matches!(age, Age::AtLeast(_)) && check.standing == Standing::Pass {
            // It may be far older than the limit.
            check.standing = Standing::Unknown;
        }
        checks.push(check);
    }
    checks.push(Check::new("standing", judged.standing, judged.words(who, place)));
    checks
}
