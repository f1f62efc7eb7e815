//! Bytes in flight: every body takes its share of one bound from its first byte until the engine has read it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;

/// The bound that all bodies share.
#[derive(Clone)]
pub struct ByteBudget(Arc<Semaphore>);

impl ByteBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> ByteBudget {
        ByteBudget(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A reservation of nothing yet.
    pub fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), permit: None }
    }

    /// Bytes that are free.
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// One body's share, given back when dropped.
pub struct Reservation {
    budget: ByteBudget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Takes so many bytes more, or refuses: it never waits, since those who would give bytes back may wait too.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let n = u32::try_from(bytes).map_err(|_| Refusal::BytesInFlight)?;
        let more = self.budget.0.clone().try_acquire_many_owned(n).map_err(|_| Refusal::BytesInFlight)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.permit {
            let excess = permit.num_permits().saturating_sub(bytes);
            drop(permit.split(excess));
        }
    }

    #[cfg(test)]
    pub(crate) fn unbounded_for_tests() -> Reservation {
        ByteBudget::new(usize::MAX).reserve()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_when_a_body_is_done_with() {
        let budget = ByteBudget::new(100);
        let mut first = budget.reserve();
        first.grow(40).unwrap();
        first.grow(40).unwrap();
        assert_eq!(budget.reserve().grow(30), Err(Refusal::BytesInFlight));
        first.shrink_to(10);
        assert_eq!(budget.free(), 90);
        drop(first);
        assert_eq!(budget.free(), 100);
    }
}
