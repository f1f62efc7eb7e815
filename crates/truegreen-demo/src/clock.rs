//! The time a service goes by: its host's clock, which can be wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every span, log record and token check of a service reads the time from.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The machine's clock, and how far this service's host is ahead of it.
    System { ahead_ms: i64 },
    /// Stands at so many milliseconds since 1970 until a test moves it.
    #[cfg(test)]
    Manual(tokio::sync::watch::Sender<i64>),
}

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        let milliseconds = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        match self {
            Clock::System { ahead_ms: 0 } => SystemTime::now(),
            Clock::System { ahead_ms } if *ahead_ms > 0 => SystemTime::now() + milliseconds(*ahead_ms),
            Clock::System { ahead_ms } => SystemTime::now() - milliseconds(*ahead_ms),
            #[cfg(test)]
            Clock::Manual(now_ms) => UNIX_EPOCH + milliseconds(*now_ms.borrow()),
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        let elapsed = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// Blocks for so long. A manual clock moves on by as much.
    pub(crate) fn wait(&self, time: Duration) {
        match self {
            Clock::System { .. } => std::thread::sleep(time),
            #[cfg(test)]
            Clock::Manual(_) => self.advance(time),
        }
    }

    /// Waits for so long. With a manual clock, until a test has moved it as far.
    pub(crate) async fn pause(&self, time: Duration) {
        match self {
            Clock::System { .. } => tokio::time::sleep(time).await,
            #[cfg(test)]
            Clock::Manual(now_ms) => {
                let until_ms = *now_ms.borrow() + i64::try_from(time.as_millis()).unwrap();
                let mut moved = now_ms.subscribe();
                // Its sender is this clock itself.
                let _reached = moved.wait_for(|now_ms| *now_ms >= until_ms).await;
            }
        }
    }
}

#[cfg(test)]
impl Clock {
    pub(crate) fn manual(now_ms: i64) -> Clock {
        Clock::Manual(tokio::sync::watch::Sender::new(now_ms))
    }

    pub(crate) fn advance(&self, time: Duration) {
        let Clock::Manual(now_ms) = self else { panic!("only a manual clock can be moved") };
        now_ms.send_modify(|now_ms| *now_ms += i64::try_from(time.as_millis()).unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_host_can_be_behind_or_ahead() {
        let now = |ahead_ms| Clock::System { ahead_ms }.now_ms();
        assert!(now(-60_000) < now(0));
        assert!(now(60_000) > now(0));
    }
}
