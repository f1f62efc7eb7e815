//! Where cases lie in memory: 128 bytes each, with room for the bytes of a journey of two or three observations; only
//! longer ones have a piece of memory of their own. Pages are never moved, so that growing costs no copy.

use smallvec::SmallVec;
use truegreen_model::flow::FlowId;
use truegreen_model::observation::KeyHash;

const PAGE: usize = 255;

/// Bytes of a case that need no memory of their own.
pub(super) type Packed = SmallVec<[u8; 96]>;

/// One case.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: KeyHash,
    pub(super) packed: Packed,
    /// When it is next considered for forgetting, in units of the ledger's.
    pub(super) age: u32,
    pub(super) flow: FlowId,
    /// Changed since the last checkpoint.
    pub(super) is_dirty: bool,
    /// Some passage of it is unaccounted or late.
    pub(super) may_be_amended: bool,
}

const _: () = assert!(size_of::<Slot>() == 128, "ten million open journeys are to fit in 1.5 GB");

/// All cases of a shard, numbered.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Vec<Slot>>,
    free: Vec<u32>,
}

impl Slots {
    /// Puts a case into a slot, and returns its number.
    pub(super) fn put(&mut self, slot: Slot) -> u32 {
        if let Some(index) = self.free.pop() {
            self[index] = slot;
            return index;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let pages = self.pages.len();
        match self.pages.last_mut() {
            Some(page) => {
                page.push(slot);
                ((pages - 1) * PAGE + page.len() - 1) as u32
            }
            None => 0,
        }
    }

    /// Whose the cases are, one by one.
    pub(super) fn flows(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.pages.iter().flatten().filter(|slot| !slot.packed.is_empty()).map(|slot| slot.flow)
    }

    /// Empties a slot.
    pub(super) fn free(&mut self, index: u32) {
        self[index].packed = Packed::new();
        self[index].may_be_amended = false;
        self.free.push(index);
    }
}

impl std::ops::Index<u32> for Slots {
    type Output = Slot;
    fn index(&self, index: u32) -> &Slot {
        &self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}

impl std::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}
