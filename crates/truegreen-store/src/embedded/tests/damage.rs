//! Bytes that are not what was written.

use super::*;
use crate::embedded::format::{BLOCK_HEADER_BYTES, BlockHeader, SEGMENT_HEADER_BYTES, checksum};
use crate::embedded::verify::verify_on;
use crate::error::Error;
use crate::simulated::SimulatedDisk;

/// Two full segments and a third with three commits.
fn three_segments() -> (Vec<(String, Vec<u8>)>, Vec<Entry>) {
    let disk = SimulatedDisk::new(1);
    let options = Options { segment_bytes: 400, ..SMALL };
    let mut log = Log::open_on(disk.clone(), options).unwrap();
    let mut samples = Vec::new();
    while log.stats().segments < 3 {
        samples.extend(fill(&mut log, 1, 60));
    }
    samples.extend(fill(&mut log, 2, 60));
    (disk.files(), samples)
}

/// Guarantee: no bit of the log can flip unnoticed, and none makes reading give anything but what was appended.
#[test]
fn verify_finds_every_flipped_bit_and_reading_never_gives_it() {
    let (files, samples) = three_segments();
    let whole = verify_on(&SimulatedDisk::with(&files)).unwrap();
    assert_eq!((whole.damage, whole.segments, whole.entries), (None, 3, samples.len() as u64));
    for (index, (name, bytes)) in files.iter().enumerate() {
        for bit in 0..bytes.len() * 8 {
            let mut files = files.clone();
            files[index].1[bit / 8] ^= 1 << (bit % 8);
            let disk = SimulatedDisk::with(&files);
            let damage = verify_on(&disk).unwrap().damage.unwrap_or_else(|| panic!("bit {bit} of {name}"));
            assert!(damage.offset <= bit as u64 / 8, "{damage:?} for bit {bit}");
            assert!(!damage.is_torn_tail || index == 2, "{damage:?}");
            let Ok(log) = Log::open_on(disk, SMALL) else { continue };
            for entry in log.read_from(0).map_while(Result::ok) {
                assert_eq!(entry, samples[entry.sequence as usize - 1], "bit {bit} of {name}");
            }
        }
    }
}

#[test]
fn damage_before_the_tail_is_told_with_its_place_and_nothing_is_changed() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    fill(&mut log, 3, 100);
    let mut files = disk.files();
    files[0].1[SEGMENT_HEADER_BYTES + 90] ^= 1;
    let disk = SimulatedDisk::with(&files);
    let error = Log::open_on(disk.clone(), SMALL).unwrap_err();
    assert!(matches!(&error, Error::Damaged { offset: 36, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("00000000000000000001.segment: damaged at byte 36") && text.contains("hint: "), "{text}");
    assert_eq!(disk.files(), files);
}

#[test]
fn a_damaged_block_ends_reading_and_moving_old_segments_away_lets_the_rest_be_read() {
    let (mut files, samples) = three_segments();
    files[0].1[SEGMENT_HEADER_BYTES + 90] ^= 1;
    let log = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap();
    let read: Vec<_> = log.read_from(1).collect();
    assert!(matches!(read[..], [Err(Error::Damaged { offset: 36, .. })]), "{read:?}");
    assert!(log.get(1).is_err());
    assert_eq!(log.get(3).unwrap().as_ref(), Some(&samples[2]), "a block that is whole");

    let log = Log::open_on(SimulatedDisk::with(&files[1..]), SMALL).unwrap();
    let first = log.first_sequence();
    assert!(first > 1);
    assert_eq!(all(&log), samples[first as usize - 1..]);
}

#[test]
fn a_missing_or_shortened_segment_is_damage() {
    let (files, _) = three_segments();
    let open = |files: &[(String, Vec<u8>)]| {
        let disk = SimulatedDisk::with(files);
        assert!(verify_on(&disk).unwrap().damage.is_some());
        Log::open_on(disk, SMALL).map(drop)
    };
    let missing = [files[0].clone(), files[2].clone()];
    assert!(matches!(open(&missing), Err(Error::Damaged { .. })));
    for length in 0..files[1].1.len() {
        let mut files = files.clone();
        files[1].1.truncate(length);
        assert!(matches!(open(&files), Err(Error::Damaged { .. })), "cut to {length}");
    }
}

/// A length that the file claims is never believed beyond the file.
#[test]
fn a_block_that_claims_more_than_the_file_holds_is_not_read() {
    let (mut files, samples) = three_segments();
    let newest = &mut files[2].1;
    let seed = u32::from_le_bytes(newest[32..36].try_into().unwrap());
    newest[36 + 8..36 + 16].copy_from_slice(&[0xff, 0xff, 0xff, 0x03, 0xff, 0xff, 0xff, 0x03]);
    let sum = checksum(seed, &newest[36..36 + 64]);
    newest[36 + 64..36 + 68].copy_from_slice(&sum.to_le_bytes());
    newest.truncate(200);
    let log = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap();
    assert_eq!((log.recovery().offset, log.recovery().cut_bytes), (36, 164));
    let kept = all(&log);
    assert_eq!(kept, samples[..kept.len()]);
}

/// Only the seal is left to vouch: the process ended between sealing a segment and beginning the next.
#[test]
fn a_sealed_newest_segment_is_never_cut() {
    let (mut files, samples) = three_segments();
    files.truncate(2);
    let whole = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap();
    assert_eq!(all(&whole), samples[..whole.next_sequence() as usize - 1]);
    let last_block = files[1].1.len() - 57;
    for (place, offset) in [(SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES, Some(36)), (last_block, None)] {
        let mut files = files.clone();
        files[1].1[place] ^= 1;
        let error = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap_err();
        let Error::Damaged { offset: told, .. } = error else { panic!("{error}") };
        assert!(offset.is_none_or(|offset| offset == told) && told <= place as u64);
    }
}

/// A next segment was begun, so all before it was durable once, however little of the next there is.
#[test]
fn a_segment_cut_before_one_that_was_only_begun_is_damage() {
    let (mut files, samples) = three_segments();
    files[2].1.truncate(20);
    let log = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap();
    assert_eq!((log.recovery().cut_bytes, log.recovery().offset), (20, 0));
    assert_eq!(all(&log), samples[..log.next_sequence() as usize - 1]);
    let length = files[1].1.len();
    for length in [SEGMENT_HEADER_BYTES, length - 56, length - 1] {
        files[1].1.truncate(length);
        let damaged = Log::open_on(SimulatedDisk::with(&files), SMALL);
        assert!(matches!(damaged, Err(Error::Damaged { .. })), "cut to {length}: {damaged:?}");
        assert!(verify_on(&SimulatedDisk::with(&files)).unwrap().damage.is_some_and(|damage| !damage.is_torn_tail));
    }
}

/// A block that is whole and tells another sequence than its place in the file: never two entries of one sequence.
#[test]
fn a_block_that_does_not_follow_on_the_one_before_is_not_read() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    fill(&mut log, 1, 40);
    let second = log.stats().disk_bytes as usize;
    fill(&mut log, 1, 40);
    let mut files = disk.files();
    let bytes = &mut files[0].1;
    let seed = u32::from_le_bytes(bytes[32..36].try_into().unwrap());
    let header = BlockHeader::decode(&bytes[second..], seed, second as u64).unwrap();
    let repeated = BlockHeader { first_sequence: 1, ..header }.encode(seed);
    bytes[second..second + BLOCK_HEADER_BYTES].copy_from_slice(&repeated);
    let damage = verify_on(&SimulatedDisk::with(&files)).unwrap().damage.unwrap();
    assert_eq!((damage.offset, damage.is_torn_tail), (second as u64, true));
    let log = Log::open_on(SimulatedDisk::with(&files), SMALL).unwrap();
    assert_eq!(all(&log), [sample(1, 40)]);
}

#[test]
fn a_newer_format_is_refused_by_name_of_both() {
    let (mut files, _) = three_segments();
    for (_, bytes) in &mut files {
        bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
        let sum = checksum(0, &bytes[..12]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    }
    let disk = SimulatedDisk::with(&files);
    let error = Log::open_on(disk.clone(), SMALL).unwrap_err();
    assert!(matches!(error, Error::NewerVersion { found: 7, known: 4, .. }), "{error}");
    assert!(matches!(verify_on(&disk), Err(Error::NewerVersion { .. })));
    assert_eq!(disk.files(), files);
    // So is one that a crash may have left without a block.
    files.drain(..2);
    files[0].1.truncate(SEGMENT_HEADER_BYTES);
    assert!(matches!(Log::open_on(SimulatedDisk::with(&files), SMALL), Err(Error::NewerVersion { .. })));
}

/// A log as the program of format 1 left it: read as it is, never appended to.
#[test]
fn a_segment_of_an_older_format_is_read_and_sealed() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    let kinds = [Kind::Traces, Kind::Logs, Kind::Metrics, Kind::Refused, Kind::Resumed];
    let mut samples: Vec<Entry> = (1..=5).map(|sequence| sample(sequence, 60)).collect();
    for (entry, kind) in samples.iter_mut().zip(kinds) {
        entry.kind = kind;
        append(&mut log, entry);
    }
    log.commit().unwrap();
    let (name, mut older) = disk.files().remove(0);
    older[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let sum = checksum(0, &older[..12]);
    older[12..16].copy_from_slice(&sum.to_le_bytes());
    // The header's checksum, the seed of all others, stays: a CRC of bytes with their own CRC behind is always the same.
    assert_eq!(checksum(0, &older[..32]).to_le_bytes(), older[32..36]);

    let disk = SimulatedDisk::with(&[(name, older.clone())]);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    assert_eq!(all(&log), samples);
    samples.extend(fill(&mut log, 3, 60));
    assert_eq!((all(&log), log.stats().segments), (samples, 2));
    let files = disk.files();
    assert_eq!(files[0].1[..older.len()], older);
    assert_eq!(files[1].1[8], 4, "what is new is of the new format");
    assert_eq!(verify_on(&disk).unwrap().damage, None);
}
