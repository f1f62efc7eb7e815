//! What is different: a million rows of 20 attributes, and ten thousand of 5 to 20, with one to three causes in noise. The
//! table stands ready; reading it is not counted.

use truegreen_engine::explain::contrast::{Options, Outcome, Table, contrast};

fn main() {
    divan::main();
}

/// Small, fast and always the same.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// How much of a table there is.
#[derive(Clone, Copy)]
struct Size {
    rows: u64,
    attributes: u64,
    causes: usize,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {} attributes, {} causes", self.rows, self.attributes, self.causes)
    }
}

const fn size(rows: u64, attributes: u64, causes: usize) -> Size {
    Size { rows, attributes, causes }
}

const SIZES: [Size; 10] = [
    size(10_000, 5, 1),
    size(10_000, 5, 2),
    size(10_000, 5, 3),
    size(10_000, 10, 1),
    size(10_000, 10, 2),
    size(10_000, 10, 3),
    size(10_000, 20, 1),
    size(10_000, 20, 2),
    size(10_000, 20, 3),
    size(1_000_000, 20, 2),
];

fn table(size: Size) -> Table {
    let mut table = Table::new();
    let names: Vec<String> = (0..size.attributes).map(|column| format!("attribute{column}")).collect();
    let columns: Vec<usize> = names.iter().filter_map(|name| table.column(name).ok()).collect();
    let texts: Vec<String> = (0..64).map(|value| format!("v{value}")).collect();
    for row in 0..size.rows {
        // Few values are frequent, many are rare.
        let value = |column: u64| {
            let drawn = mixed(row * 20 + column) % 10_000;
            ((drawn * drawn) / (100_000_000 / (4 + column * 3))) as usize
        };
        let chance = mixed(row ^ 0xdead_beef) % 100;
        let causes = [(value(3) == 1 && value(2) == 2, 80), (value(4) == 3, 40), (value(1) == 4 && value(0) == 1, 60)];
        let is_caused = causes[..size.causes].iter().any(|(holds, share)| *holds && chance < *share);
        if table.begin(Outcome::of(chance < 2 || is_caused)).is_err() {
            break;
        }
        for (number, column) in columns.iter().enumerate() {
            table.set(*column, &texts[value(number as u64)]);
        }
    }
    table
}

#[divan::bench(args = SIZES, sample_count = 9, sample_size = 1)]
fn explained(bencher: divan::Bencher<'_, '_>, size: Size) {
    let table = table(size);
    bencher.bench_local(|| {
        let found = contrast(&table, &Options::default());
        assert_eq!(found.explanations.len(), size.causes, "{}", found.summary);
        found
    });
}
