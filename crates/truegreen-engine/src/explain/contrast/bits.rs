//! Sets of rows.

/// One bit for each row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn of(rows: usize, mut holds: impl FnMut(usize) -> bool) -> Bits {
        let mut words = vec![0; rows.div_ceil(64)];
        for (at, word) in words.iter_mut().enumerate() {
            for bit in 0..64.min(rows - at * 64) {
                *word |= u64::from(holds(at * 64 + bit)) << bit;
            }
        }
        Bits(words)
    }

    pub(super) fn none(rows: usize) -> Bits {
        Bits(vec![0; rows.div_ceil(64)])
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.0[row / 64] >> (row % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    pub(super) fn clear(&mut self, row: usize) {
        self.0[row / 64] &= !(1 << (row % 64));
    }

    pub(super) fn and(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn or(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Takes out those that are in another, and gives them.
    pub(super) fn parted(&mut self, other: &Bits) -> Bits {
        let mut take = |(word, other): (&mut u64, &u64)| {
            let common = *word & other;
            *word &= !other;
            common
        };
        Bits(self.0.iter_mut().zip(&other.0).map(&mut take).collect())
    }

    /// How many are in both.
    pub(super) fn count(&self, other: &Bits) -> u32 {
        self.0.iter().zip(&other.0).map(|(word, other)| (word & other).count_ones()).sum()
    }

    /// How many are in all three, and how many in the first two.
    pub(super) fn count_common(&self, other: &Bits, third: &Bits) -> (u32, u32) {
        let mut counts = (0, 0);
        for ((word, other), third) in self.0.iter().zip(&other.0).zip(&third.0) {
            let both = word & other;
            counts.0 += (both & third).count_ones();
            counts.1 += both.count_ones();
        }
        counts
    }

    /// Every row that is in it.
    pub(super) fn rows(&self) -> Vec<u32> {
        let mut rows = Vec::with_capacity(self.0.iter().map(|word| word.count_ones() as usize).sum());
        self.each_without(&Bits(vec![0; self.0.len()]), |row| rows.push(row as u32));
        rows
    }

    /// Each row that is in this one, and not in that.
    pub(super) fn each_without(&self, other: &Bits, mut tell: impl FnMut(usize)) {
        for (at, (word, other)) in self.0.iter().zip(&other.0).enumerate() {
            let mut word = word & !other;
            while word != 0 {
                tell(at * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}
