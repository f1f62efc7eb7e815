//! Calls as their two sides come, before their traces are whole: a clock that is wrong makes what its host sends look
//! late, and traces are waited for all the longer. A sample does, as every call is looked at again with its trace.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::{InstanceId, TraceId};
use truegreen_model::time::Timestamp;

use crate::matcher::key::mix;
use crate::trace::span::TracedSpan;

/// Sides that wait for the other one; one that waits for so long makes room.
const SLOTS: usize = 1_024;
const WAITS: Duration = Duration::from_secs(8);

/// One side of a call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) instance: InstanceId,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) received: Timestamp,
    pub(super) is_client: bool,
}

impl Side {
    pub(super) fn of(span: &TracedSpan, is_client: bool) -> Side {
        let TracedSpan { instance, start, end, received, .. } = *span;
        Side { instance, start, end, received, is_client }
    }
}

/// Sides of calls that wait for the other one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Halves(Vec<Option<(u64, Side)>>);

impl Halves {
    /// Client and server of a call, where this was the second to come. `client` is the id of the client's span.
    pub(super) fn join(&mut self, trace: TraceId, client: u64, side: Side) -> Option<(Side, Side)> {
        let name = mix(mix(trace.0 as u64, (trace.0 >> 64) as u64), client);
        if self.0.is_empty() {
            self.0.resize(SLOTS, None);
        }
        let slot = self.0.get_mut(name as usize % SLOTS)?;
        match slot {
            Some((known, other)) if *known == name => {
                let other = *other;
                if other.is_client == side.is_client {
                    return None;
                }
                *slot = None;
                Some(if side.is_client { (side, other) } else { (other, side) })
            }
            Some((_, other)) if side.received.since(other.received) < WAITS => None,
            _ => {
                *slot = Some((name, side));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(is_client: bool, at: u64) -> Side {
        let at = Timestamp::from_secs(at);
        Side { instance: InstanceId(u32::from(is_client)), start: at, end: at, received: at, is_client }
    }

    #[test]
    fn sides_are_joined_whichever_comes_first_and_once() {
        let mut halves = Halves::default();
        for is_client in [true, false] {
            assert!(halves.join(TraceId(1), 7, side(is_client, 1)).is_none());
            assert!(halves.join(TraceId(1), 7, side(is_client, 1)).is_none(), "sent again");
            let joined = halves.join(TraceId(1), 7, side(!is_client, 2)).expect("joined");
            assert!(joined.0.is_client && !joined.1.is_client);
        }
    }

    #[test]
    fn those_that_wait_in_vain_make_room() {
        let mut halves = Halves::default();
        for n in 0..100_000 {
            halves.join(TraceId(n), 1, side(true, 1));
        }
        assert!(halves.join(TraceId(1_000_000), 1, side(true, 20)).is_none());
        assert!(halves.join(TraceId(1_000_000), 1, side(false, 20)).is_some());
        assert_eq!(halves.0.len(), SLOTS);
    }
}
