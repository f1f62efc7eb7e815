//! Cases across restarts: handed over as they change, and taken back.

use truegreen_model::flow::FlowId;
use truegreen_model::observation::KeyHash;

use super::super::case::Case;
use super::super::pack::unpack;
use super::Shard;

impl Shard {
    /// Hands over what changed since the last time: the bytes of a case, or nothing where it is gone.
    pub(in super::super) fn changes(&mut self, mut keep: impl FnMut(FlowId, KeyHash, Option<(u32, &[u8])>)) {
        for (flow, key) in self.removed.drain(..) {
            keep(flow, key, None);
        }
        for index in std::mem::take(&mut self.dirty) {
            let slot = &mut self.slots[index];
            if std::mem::take(&mut slot.is_dirty) && !slot.packed.is_empty() {
                keep(slot.flow, slot.key, Some((slot.age, &slot.packed)));
            }
        }
    }

    /// Takes a case back as it was handed over; `None` where the bytes are none.
    pub(in super::super) fn restore(&mut self, flow: FlowId, key: KeyHash, age: u32, bytes: &[u8]) -> Option<()> {
        let mut case = Case::empty();
        unpack(bytes, &mut case)?;
        let index = self.insert(flow, key, age);
        case.timer = case.next_check;
        self.timers.set(case.timer, index);
        for passage in &case.passages {
            if let Some(hop) = passage.hop {
                self.sums.make_room(flow, hop.before);
            }
            self.enter(flow, passage);
        }
        self.pack_case(index, &case);
        Some(())
    }

    /// Marks the versions that have a case here.
    pub(in super::super) fn mark_held(&self, held: &mut [bool]) {
        for flow in self.slots.flows() {
            if let Some(held) = held.get_mut(flow.0 as usize) {
                *held = true;
            }
        }
    }

    /// After all cases are restored: puts them in order of age.
    pub(in super::super) fn restored(&mut self) {
        let mut ages: Vec<(u32, u32)> = self.table.iter().map(|index| (self.slots[*index].age, *index)).collect();
        ages.sort_unstable();
        self.by_age.clear();
        for (age, index) in ages {
            self.grow_old(age, index);
        }
    }
}
