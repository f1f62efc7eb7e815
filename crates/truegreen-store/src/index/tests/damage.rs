//! Bytes that are not what was written.

use super::*;
use crate::embedded::format::checksum;
use crate::index::format::{PAGE_BYTES, run_name};

/// One run of three pages, and one of a page behind it.
fn two_runs() -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedDisk::new(1);
    let options = Options { run_records: 10_000, ..SMALL };
    let mut index = Index::open_on(disk.clone(), options, 1..1).unwrap();
    fill(&mut index, 1..150).unwrap();
    index.flush().unwrap();
    fill(&mut index, 150..200).unwrap();
    index.flush().unwrap();
    assert_eq!(index.stats().runs, 2);
    disk.files()
}

/// Guarantee: no bit can flip unnoticed. Either opening removes the run, or looking into it is an error, and `verify`
/// tells it; never is anything found that was not added, or missed that the index says it covers.
#[test]
fn every_flipped_byte_is_noticed() {
    let files = two_runs();
    assert_eq!(verify::look(&SimulatedDisk::with(&files), true).unwrap().damage, None);
    let entries: Vec<u64> = (1..200).filter(|sequence| sequence % 10 != 0).collect();
    for place in 0..files[0].1.len() {
        let mut files = files.clone();
        files[0].1[place] ^= 1 << (place % 8);
        let disk = SimulatedDisk::with(&files);
        let damage = verify::look(&disk, true).unwrap().damage.unwrap_or_else(|| panic!("byte {place}"));
        assert!(damage.offset <= place as u64);
        if !damage.is_torn_tail && place % 16 != 0 {
            continue;
        }
        let index = open(&disk, 1..200);
        if damage.is_torn_tail {
            assert_eq!((index.next_sequence(), index.mended().runs), (1, 2), "byte {place}");
            continue;
        }
        let finder = index.finder();
        let mut failed = 0;
        for sequence in &entries {
            for term in terms(*sequence) {
                match finder.find(term, usize::MAX) {
                    Ok(found) => assert!(found.sequences.contains(sequence)),
                    Err(error) => {
                        failed += 1;
                        assert!(error.to_string().contains("delete the folder"), "{error}");
                    }
                }
            }
        }
        assert!(failed > 0, "byte {place}");
    }
}

#[test]
fn a_run_cut_short_or_missing_is_built_anew_with_all_behind_it() {
    let files = two_runs();
    for length in (0..files[0].1.len()).step_by(97) {
        let mut files = files.clone();
        files[0].1.truncate(length);
        let index = open(&SimulatedDisk::with(&files), 1..200);
        assert_eq!((index.next_sequence(), index.mended().runs), (1, 2));
    }
    let index = open(&SimulatedDisk::with(&files[1..]), 1..200);
    assert_eq!(index.next_sequence(), 1);
    let index = open(&SimulatedDisk::with(&files[..1]), 1..200);
    assert_eq!((index.next_sequence(), index.mended().runs), (150, 0));
}

/// Scenario: damage is met by a merge. Guarantee: the index stops and says where.
#[test]
fn a_damaged_page_ends_a_merge() {
    let mut files = two_runs();
    files[0].1[2 * PAGE_BYTES + 5] ^= 1;
    let disk = SimulatedDisk::with(&files);
    let mut index = open(&disk, 1..200);
    let mut stopped = Ok(());
    for part in 0..40 {
        stopped = fill(&mut index, 200 + part * 40..240 + part * 40).and_then(|()| index.flush());
        if stopped.is_err() {
            break;
        }
    }
    let told = stopped.unwrap_err().to_string();
    assert!(told.contains("damaged at byte 8192") && told.contains("delete the folder"), "{told}");
    assert!(index.finder().find(terms(241)[0], 10).is_ok_and(|found| found.is_cut) || index.stats().runs > 2);
}

#[test]
fn a_newer_format_is_refused_by_name_of_both() {
    let mut files = two_runs();
    let bytes = &mut files[1].1;
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let sum = checksum(0, &bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    let disk = SimulatedDisk::with(&files);
    let error = Index::open_on(disk.clone(), SMALL, 1..200).unwrap_err();
    assert!(matches!(error, Error::NewerVersion { found: 9, known: 1, .. }), "{error}");
    assert_eq!(disk.files(), files);
}

#[test]
fn files_of_others_are_left_alone() {
    let mut files = two_runs();
    files.push(("notes.txt".to_owned(), b"mine".to_vec()));
    files.push((run_name(1, 3).replace("run", "runs"), Vec::new()));
    let disk = SimulatedDisk::with(&files);
    let index = open(&disk, 1..200);
    assert_eq!((index.next_sequence(), index.mended().runs), (200, 0));
    assert_eq!(disk.files().len(), 4);
}
