//! Seeded choices: one seed makes one request, so that a failing case can be kept as a number.

pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    pub(super) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub(super) fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        if self.one_in(3) { None } else { Some(make(self)) }
    }

    pub(super) fn text(&mut self) -> String {
        const WORDS: [&str; 9] = [
            "",
            "a",
            "order.id",
            "service.name",
            "grün",
            "a \"quoted\" line\n",
            "\u{1f4a5}\u{0}",
            "GET /orders/{id}",
            "7",
        ];
        let word = (*self.pick(&WORDS)).to_owned();
        if self.one_in(12) { word.repeat(40) } else { word }
    }

    pub(super) fn number(&mut self) -> u64 {
        let width = self.below(65) as u32;
        self.roll().checked_shr(64 - width).unwrap_or(0)
    }

    pub(super) fn double(&mut self) -> f64 {
        const KNOWN: [f64; 9] = [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        if self.one_in(2) { *self.pick(&KNOWN) } else { self.roll() as f64 / 1e6 }
    }

    pub(super) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.roll() as u8).collect()
    }

    /// Mostly an id of this length; now and then none, all zero, or one of another length.
    pub(super) fn id(&mut self, len: u64) -> Vec<u8> {
        match self.below(12) {
            0 => Vec::new(),
            1 => vec![0; len as usize],
            2 => {
                let other = self.below(20);
                self.bytes(other)
            }
            _ => self.bytes(len),
        }
    }
}
