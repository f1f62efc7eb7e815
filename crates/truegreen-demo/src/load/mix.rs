//! Which orders are placed: a function of the seed.

use super::RARE_ONE_IN;
use crate::event::{AS_A_FILE, BUNDLE, CATALOGUE, DIGITAL, GIFT, NewOrder, OrderedArticle};

/// Of so many greetings, one is long.
const LONG_GREETING_ONE_IN: u8 = 3;

/// Which orders are placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) seed: u64,
}

impl Mix {
    /// The `n`-th order, counted from 0: a function of the seed and `n` only.
    pub(crate) fn order(self, n: u64) -> NewOrder {
        let mut chance = self.chance(n, 0);
        let ordinary = &CATALOGUE[..CATALOGUE.len() - 1];
        let (kind, article) = match self.is_rare(n) {
            true => (BUNDLE, CATALOGUE[CATALOGUE.len() - 1].name),
            false => {
                let tenth = chance.u8(..10);
                let article = ordinary[chance.usize(..ordinary.len())].name;
                match tenth {
                    0 => (GIFT, article),
                    1 | 2 => (DIGITAL, AS_A_FILE),
                    _ => ("standard", article),
                }
            }
        };
        NewOrder {
            order_id: String::new(),
            kind: kind.to_owned(),
            channel: if chance.bool() { "web" } else { "app" }.to_owned(),
            articles: vec![OrderedArticle { article: article.to_owned(), quantity: chance.u32(1..=3) }],
            greeting: (kind == GIFT).then(|| self.greeting(n)),
        }
    }

    /// Mostly short.
    fn greeting(self, n: u64) -> String {
        // Of the numbers that no order comes to.
        let times = if self.chance(n ^ (1 << 62), 0).u8(..LONG_GREETING_ONE_IN) == 0 { 20 } else { 1 };
        vec!["Many happy returns of the day!"; times].join(" ")
    }

    /// Exactly one of each [`RARE_ONE_IN`] orders, somewhere among them.
    pub(crate) fn is_rare(self, n: u64) -> bool {
        let block = n / RARE_ONE_IN;
        n % RARE_ONE_IN == self.chance(block, 1).u64(..RARE_ONE_IN)
    }

    fn chance(self, n: u64, purpose: u64) -> fastrand::Rng {
        let mixed = self.seed.wrapping_add(n.wrapping_mul(2).wrapping_add(purpose).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut rng = fastrand::Rng::with_seed(mixed);
        // Neighbouring seeds give alike first numbers.
        rng.u64(..);
        rng
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Mix;
    use crate::load::RARE_ONE_IN;

    #[test]
    fn one_order_in_fifty_is_rare_and_where_depends_on_the_seed() {
        let places = |seed| {
            let mix = Mix { seed };
            (0..40 * RARE_ONE_IN).filter(|&n| mix.order(n).kind == "bundle").collect::<Vec<_>>()
        };
        let rare = places(7);
        assert_eq!(rare.len(), 40);
        for (block, n) in rare.iter().enumerate() {
            assert_eq!(n / RARE_ONE_IN, block as u64, "one in each fifty");
        }
        assert_ne!(rare, places(8));
        assert_eq!(rare, places(7));
    }

    #[test]
    fn the_other_orders_are_mixed() {
        let mut kinds = BTreeMap::<_, u64>::new();
        let mut channels = BTreeMap::<_, u64>::new();
        for n in 0..1_000 {
            let order = Mix { seed: 1 }.order(n);
            *kinds.entry(order.kind).or_default() += 1;
            *channels.entry(order.channel).or_default() += 1;
        }
        assert!((50..200).contains(&kinds["gift"]), "{kinds:?}");
        assert!((150..250).contains(&kinds["digital"]), "{kinds:?}");
        assert!((400..600).contains(&channels["web"]), "{channels:?}");
    }
}
