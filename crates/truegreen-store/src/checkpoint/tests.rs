//! Checkpoints on a file system, and a process that is killed while it writes them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const ROOMY: Options = Options { min_free_bytes: 0 };

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(dir: &Path) -> Checkpoints {
    Checkpoints::open(dir, ROOMY).unwrap()
}

fn all(checkpoints: &Checkpoints) -> Records {
    checkpoints.records().map(Result::unwrap).collect()
}

fn apply(records: &mut Records, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(records.insert(key.clone(), value.clone())),
            None => drop(records.remove(key)),
        }
    }
}

fn change(key: &[u8], value: &[u8]) -> Change {
    (key.to_vec(), Some(value.to_vec()))
}

#[test]
fn what_was_written_last_is_there_when_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data/checkpoint");
    assert_eq!(info(&dir), Stats::default());
    let mut checkpoints = open(&dir);
    assert_eq!((checkpoints.sequence(), all(&checkpoints)), (None, Records::new()));
    checkpoints.write(7, vec![change(b"a", b"1"), change(b"", b"2"), change(&[255; 300], b"")]).unwrap();
    checkpoints.write(9, vec![change(b"a", b"3"), (Vec::new(), None), change(b"b", b"4"), change(b"b", b"5")]).unwrap();
    checkpoints.write(12, Vec::new()).unwrap();
    let expected =
        Records::from([(b"a".to_vec(), b"3".to_vec()), (b"b".to_vec(), b"5".to_vec()), (vec![255; 300], Vec::new())]);
    assert_eq!(all(&checkpoints), expected);
    drop(checkpoints);
    assert!(info(&dir).sequence == Some(12) && info(&dir).disk_bytes > 0);
    let mut checkpoints = open(&dir);
    assert_eq!((checkpoints.sequence(), all(&checkpoints)), (Some(12), expected.clone()));
    checkpoints.compact().unwrap();
    assert_eq!(all(&checkpoints), expected);
    checkpoints.clear().unwrap();
    assert_eq!((checkpoints.sequence(), all(&checkpoints), info(&dir).sequence), (None, Records::new(), None));
    checkpoints.write(1, vec![change(b"c", b"1")]).unwrap();
    drop(checkpoints);
    let checkpoints = open(&dir);
    assert_eq!((checkpoints.sequence(), all(&checkpoints).len()), (Some(1), 1));
}

#[test]
fn checkpoints_are_held_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = open(dir.path());
    checkpoints.write(3, vec![change(b"a", b"1")]).unwrap();
    let error = Checkpoints::open(dir.path(), ROOMY).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(info(dir.path()).sequence, Some(3), "looked at beside");
    drop(checkpoints);
    assert_eq!(open(dir.path()).sequence(), Some(3));
}

#[test]
fn changes_that_find_no_room_are_written_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = open(dir.path());
    checkpoints.write(1, vec![change(b"a", b"1"), change(b"b", b"1"), change(b"c", b"1")]).unwrap();
    checkpoints.options.min_free_bytes = u64::MAX;
    for (sequence, value) in [(2, b"2"), (3, b"3")] {
        let changes = vec![change(b"a", value), (b"b".to_vec(), None)];
        let refused = checkpoints.write(sequence, changes);
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        assert_eq!((checkpoints.sequence(), all(&checkpoints).len()), (Some(1), 3));
    }
    checkpoints.options = ROOMY;
    checkpoints.write(4, vec![change(b"b", b"4")]).unwrap();
    let expected = [(b"a", b"3"), (b"b", b"4"), (b"c", b"1")].map(|(key, value)| (key.to_vec(), value.to_vec()));
    assert_eq!((checkpoints.sequence(), all(&checkpoints)), (Some(4), Records::from(expected)));
}

#[test]
fn a_key_too_long_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = open(dir.path());
    let longest = vec![1; Checkpoints::MAX_KEY_BYTES];
    checkpoints.write(1, vec![change(&longest, b"1")]).unwrap();
    let refused = checkpoints.write(2, vec![change(b"a", b"1"), change(&[longest, vec![1]].concat(), b"1")]);
    assert!(matches!(refused, Err(Error::Checkpoint { .. })), "{refused:?}");
    assert_eq!((checkpoints.sequence(), all(&checkpoints).len()), (Some(1), 1));
}

#[test]
fn a_newer_format_and_a_folder_that_tells_none_are_refused_and_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).write(1, vec![change(b"a", b"1")]).unwrap();
    let file = dir.path().join("FORMAT");
    let whole = fs::read(&file).unwrap();
    let mut newer = whole[..12].to_vec();
    newer[8] = 3;
    newer.extend_from_slice(&crate::embedded::format::checksum(0, &newer).to_le_bytes());
    fs::write(&file, &newer).unwrap();
    let error = Checkpoints::open(dir.path(), ROOMY).unwrap_err();
    assert!(matches!(error, Error::NewerVersion { found: 3, known: 1, .. }), "{error}");
    for bit in 0..whole.len() * 8 {
        let mut broken = whole.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &broken).unwrap();
        let error = Checkpoints::open(dir.path(), ROOMY).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "bit {bit}: {error}");
    }
    fs::remove_file(&file).unwrap();
    let error = Checkpoints::open(dir.path(), ROOMY).unwrap_err();
    assert!(matches!(&error, Error::Damaged { .. } if error.to_string().contains("hint: ")), "{error}");
    fs::write(&file, &whole).unwrap();
    assert_eq!(open(dir.path()).sequence(), Some(1));
}

#[test]
fn records_that_cannot_be_opened_are_told_with_a_way_on() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).write(1, vec![change(b"a", b"1")]).unwrap();
    fs::write(dir.path().join("records/version"), b"nonsense").unwrap();
    let error = Checkpoints::open(dir.path(), ROOMY).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { action: "open", .. }), "{error}");
    assert!(error.to_string().contains("or delete it"), "{error}");
}

/// Scenario: the process ends between any two steps of beginning, or of removing all.
#[test]
fn half_made_and_half_removed_records_are_of_no_meaning() {
    let dir = tempfile::tempdir().unwrap();
    let within = |name: &str| dir.path().join(name);
    open(dir.path()).write(5, vec![change(b"a", b"1")]).unwrap();
    // Making: the folder beside may hold anything.
    fs::create_dir(within("new")).unwrap();
    fs::write(within("new/lock"), b"").unwrap();
    assert_eq!((open(dir.path()).sequence(), within("new").exists()), (Some(5), false));
    // Removing: renamed, and partly removed.
    fs::rename(within("records"), within("old")).unwrap();
    fs::remove_dir_all(within("old/keyspaces")).unwrap();
    let checkpoints = open(dir.path());
    assert_eq!((checkpoints.sequence(), all(&checkpoints), within("old").exists()), (None, Records::new(), false));
    drop(checkpoints);
    // Beginning: the first write of the format was cut short.
    for length in 0..16 {
        fs::remove_dir_all(within("records")).unwrap();
        let whole = fs::read(within("FORMAT")).unwrap();
        fs::write(within("FORMAT"), &whole[..length]).unwrap();
        assert_eq!(open(dir.path()).sequence(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_changes_give_what_a_map_gives(
        writes in prop::collection::vec(
            (prop::collection::vec((0..40_u8, prop::option::of(0..2000_usize)), 0..60), any::<bool>()), 1..8
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoints, mut expected) = (open(dir.path()), Records::new());
        for (sequence, (changes, reopens)) in (1..).zip(writes) {
            let change = |(key, length): (u8, Option<usize>)| (vec![key], length.map(|length| vec![key; length]));
            let changes: Vec<Change> = changes.into_iter().map(change).collect();
            apply(&mut expected, &changes);
            checkpoints.write(sequence, changes).unwrap();
            if reopens {
                drop(checkpoints);
                checkpoints = open(dir.path());
            }
            prop_assert_eq!(checkpoints.sequence(), Some(sequence));
            prop_assert_eq!(&all(&checkpoints), &expected);
        }
    }
}

/// What the killed process writes as of a sequence: about 60 KB, so that a write is many pages.
fn changes_of(sequence: u64) -> Vec<Change> {
    let mut random = fastrand::Rng::with_seed(sequence);
    (0..120)
        .map(|_| {
            let key = random.u16(..400).to_le_bytes().to_vec();
            let value = (random.u8(..5) > 0).then(|| sequence.to_le_bytes().repeat(random.usize(1..120)));
            (key, value)
        })
        .collect()
}

const KILLED_DIR: &str = "TRUEGREEN_STORE_TEST_KILLED_DIR";

/// The process that is killed in the next test: it says which sequence is durable, and goes on until it is killed.
#[test]
fn process_to_be_killed() {
    let Some(dir) = std::env::var_os(KILLED_DIR) else { return };
    let mut checkpoints = open(Path::new(&dir));
    loop {
        let next = checkpoints.sequence().map_or(1, |sequence| sequence + 1);
        checkpoints.write(next, changes_of(next)).unwrap();
        println!("\ndurable {next}");
        if next.is_multiple_of(97) {
            checkpoints.compact().unwrap();
        }
    }
}

/// Scenario: a process is killed at any instant while it writes, flushes or compacts. Guarantee: what is found is exactly
/// the state as of one sequence, and no write that had returned is missing.
#[test]
fn a_killed_process_leaves_the_state_of_one_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let (mut expected, mut known, mut random) = (Records::new(), 0, fastrand::Rng::with_seed(7));
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "checkpoint::tests::process_to_be_killed", "--nocapture"])
            .env(KILLED_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut durable = lines.filter_map(|line| line.strip_prefix("durable ").map(|told| told.parse().unwrap()));
        let told: u64 = durable.nth(random.usize(..60)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let told = durable.last().unwrap_or(told);
        let checkpoints = open(dir.path());
        let found = checkpoints.sequence().unwrap();
        assert!(found >= told, "round {round}: {told} was durable, {found} is there");
        assert!(found <= told + 1, "round {round}: {found} is there, and {told} was told last");
        for sequence in known + 1..=found {
            apply(&mut expected, &changes_of(sequence));
        }
        known = found;
        assert!(all(&checkpoints) == expected, "round {round}: not the state as of {found}");
    }
}
