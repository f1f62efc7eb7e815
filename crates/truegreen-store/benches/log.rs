//! How fast entries are made durable, and read back.

use divan::Bencher;
use divan::counter::BytesCount;
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log, Options};

fn main() {
    divan::main();
}

/// Bytes that compress about as telemetry does: names again and again, ids and times never.
fn body(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = Vec::with_capacity(length + 128);
    while body.len() < length {
        body.extend((0..24).map(|_| random.u8(..)));
        body.extend_from_slice(b"http.request.method POST http.route /orders/{id} service.name checkout server.port ");
    }
    body.truncate(length);
    body
}

fn opened() -> (tempfile::TempDir, Log) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let log = Log::open(dir.path(), options).unwrap_or_else(|error| panic!("{error}"));
    (dir, log)
}

fn append(log: &mut Log, body: &[u8]) {
    if let Err(error) = log.append(Timestamp::from_secs(1), Kind::Traces, body) {
        panic!("{error}");
    }
}

fn commit(log: &mut Log) {
    if let Err(error) = log.commit() {
        panic!("{error}");
    }
}

#[divan::bench]
fn commit_each_500_kb(bencher: Bencher) {
    let (_dir, mut log) = opened();
    let body = body(500_000, 1);
    bencher.counter(BytesCount::of_slice(&body[..])).bench_local(|| {
        append(&mut log, &body);
        commit(&mut log);
    });
}

#[divan::bench]
fn commit_each_1000_of_500_b(bencher: Bencher) {
    let (_dir, mut log) = opened();
    let bodies: Vec<Vec<u8>> = (0..1000).map(|seed| body(500, seed)).collect();
    bencher.counter(BytesCount::new(500_000_usize)).bench_local(|| {
        for body in &bodies {
            append(&mut log, body);
        }
        commit(&mut log);
    });
}

/// What the log itself costs, with the disk's wait spread over 16 MB.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn commit_each_32_of_500_kb(bencher: Bencher) {
    let (_dir, mut log) = opened();
    let body = body(500_000, 1);
    bencher.counter(BytesCount::new(16_000_000_usize)).bench_local(|| {
        for _ in 0..32 {
            append(&mut log, &body);
        }
        commit(&mut log);
    });
}

#[divan::bench]
fn read_10_mb_of_500_b(bencher: Bencher) {
    let (_dir, mut log) = opened();
    for seed in 0..20_000 {
        append(&mut log, &body(500, seed));
    }
    commit(&mut log);
    bencher.counter(BytesCount::new(10_000_000_usize)).bench_local(|| log.read_from(1).filter(Result::is_ok).count());
}

#[divan::bench]
fn get_one_of_500_b(bencher: Bencher) {
    let (_dir, mut log) = opened();
    for seed in 0..20_000 {
        append(&mut log, &body(500, seed));
    }
    commit(&mut log);
    let mut sequence = 0;
    bencher.bench_local(|| {
        sequence = sequence * 7919 % 20_000 + 1;
        log.get(sequence).is_ok()
    });
}
