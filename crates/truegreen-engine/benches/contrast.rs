//! What is different: a million rows of 20 attributes, and ten thousand, with two causes in noise. The table stands ready;
//! reading it is not counted.

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

fn table(rows: u64) -> Table {
    let mut table = Table::new();
    let names: Vec<String> = (0..20).map(|column| format!("attribute{column}")).collect();
    let columns: Vec<usize> = names.iter().filter_map(|name| table.column(name).ok()).collect();
    let texts: Vec<String> = (0..64).map(|value| format!("v{value}")).collect();
    for row in 0..rows {
        // Few values are frequent, many are rare.
        let value = |column: u64| {
            let drawn = mixed(row * 20 + column) % 10_000;
            ((drawn * drawn) / (100_000_000 / (4 + column * 3))) as usize
        };
        let chance = mixed(row ^ 0xdead_beef) % 100;
        let one = value(3) == 1 && value(7) == 2;
        let other = value(12) == 5;
        let fails = chance < 2 || one && chance < 80 || other && chance < 40;
        if table.begin(Outcome::of(fails)).is_err() {
            break;
        }
        for (number, column) in columns.iter().enumerate() {
            table.set(*column, &texts[value(number as u64)]);
        }
    }
    table
}

#[divan::bench(args = [10_000, 1_000_000], sample_count = 5, sample_size = 1)]
fn explained(bencher: divan::Bencher<'_, '_>, rows: u64) {
    let table = table(rows);
    bencher.bench_local(|| {
        let found = contrast(&table, &Options::default());
        assert_eq!(found.explanations.len(), 2, "{}", found.summary);
        found
    });
}
