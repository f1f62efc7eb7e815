//! How long it takes until a trace in which messages are processed is looked at. Traces that go on elsewhere settle later
//! than those that end at once; decided in the order in which they settle, the latter would come first whenever traffic
//! rises. So what is compared is compared only when both have settled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

/// Parts of a trace come from several batches, each of which waits for five seconds.
const LEAST: Duration = Duration::from_secs(6);
const MOST: Duration = Duration::from_secs(60);
const EPOCH: Duration = Duration::from_secs(300);

/// By how much longer than a trace has to be quiet it took, at most, in this while and in the one before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Settling {
    longest: [Duration; 2],
    since: Timestamp,
}

impl Settling {
    /// What was received then is looked at now, though its trace had to be quiet only for so long.
    pub(super) fn settled(&mut self, received: Timestamp, quiet: Duration, now: Timestamp) {
        if now.since(self.since) > EPOCH {
            self.longest = [Duration::ZERO, self.longest[0]];
            self.since = now;
        }
        self.longest[0] = self.longest[0].max(now.since(received).saturating_sub(quiet));
    }

    /// So long after its receipt all there is of something has settled.
    pub(super) fn horizon(&self, quiet: Duration) -> Duration {
        quiet + self.longest[0].max(self.longest[1]).clamp(LEAST, MOST)
    }
}
