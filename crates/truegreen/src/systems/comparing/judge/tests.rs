//! What proves that a key is stale, on simulated time.

use super::*;
use crate::systems::comparing::value::Pick;

const WITHIN: u64 = 30;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn value(text: &str) -> Value {
    Pick::Whole.of(vec![[("price".to_owned(), Some(text.to_owned()))].into()], None).unwrap()
}

/// What both say of a key at some second.
fn look(key: &str, cached: &str, source: Option<&str>, age: Option<u64>) -> Look {
    let seen = Seen::Both { cached: value(cached), source: source.map(value), age: age.map(seconds) };
    Look { key: key.to_owned(), seen }
}

/// Asked at this second, in no time, of a source that is so far behind.
fn round(at: u64, behind: u64, looks: Vec<Look>) -> Round {
    let at = seconds(at);
    let times = Times {
        cache_asked: at,
        cache_answered: at,
        cache_behind: Duration::ZERO,
        source_asked: at,
        source_answered: at,
        source_behind: seconds(behind),
    };
    Round { looks, times }
}

fn judge() -> Judge {
    Judge::new(seconds(WITHIN), Redaction::default())
}

impl Judge {
    /// All keys of the round are new ones.
    fn sees(&mut self, round: Round) -> Outcome {
        let new = round.looks.iter().map(|look| look.key.clone()).collect();
        self.take(round, &new)
    }

    /// The same key at some times.
    fn watches(&mut self, looks: &[(u64, &str, Option<&str>)]) -> Outcome {
        let all =
            looks.iter().map(|(at, cached, source)| self.sees(round(*at, 0, vec![look("17", cached, *source, None)])));
        all.last().unwrap()
    }
}

#[test]
fn what_differs_once_is_not_stale() {
    let mut judge = judge();
    let outcome = judge.watches(&[(10, "10.00", Some("12.50"))]);
    assert_eq!((outcome.stale.len(), outcome.differing, outcome.undecided, outcome.sampled), (0, 1, 1, 1));
    let outcome = judge.watches(&[(20, "10.00", Some("12.50"))]);
    assert_eq!((outcome.stale.len(), outcome.undecided), (0, 1), "nor twice within the time");
    let outcome = judge.watches(&[(25, "12.5", Some("12.50"))]);
    assert_eq!((outcome.stale.len(), outcome.differing), (0, 0), "the same number");
    let outcome = judge.watches(&[(45, "12.5", Some("13"))]);
    assert_eq!(
        (outcome.stale.len(), outcome.differing, outcome.undecided),
        (0, 1, 0),
        "it has only just begun to differ"
    );
}

#[test]
fn what_differs_for_longer_than_it_may_with_the_same_cached_value_is_stale() {
    let mut judge = judge();
    let outcome = judge.watches(&[(10, "10.00", Some("12.50")), (39, "10.00", Some("13")), (40, "10.00", Some("14"))]);
    let stale = &outcome.stale[0];
    assert_eq!((stale.key.as_str(), stale.lasted, stale.cached.as_str()), ("17", seconds(30), "10.00"));
    assert_eq!((stale.source.as_deref(), outcome.sampled_stale), (Some("14"), 1));
    let outcome = judge.watches(&[(250, "10.00", Some("14"))]);
    assert_eq!(outcome.stale[0].lasted, seconds(240));
    assert_eq!(judge.watches(&[(260, "14", Some("14"))]).stale, []);
}

/// Scenario: prices change all the time, and the cache follows a few seconds later.
#[test]
fn a_cache_that_follows_is_never_stale_however_often_it_differs() {
    let mut judge = judge();
    for at in 1..100 {
        let outcome = judge.watches(&[(at * 15, &(at - 1).to_string(), Some(&at.to_string()))]);
        assert_eq!((outcome.stale.len(), outcome.differing), (0, 1));
    }
}

#[test]
fn a_row_that_is_gone_differs() {
    let mut judge = judge();
    assert_eq!(judge.watches(&[(0, "10", None)]).stale, []);
    let outcome = judge.watches(&[(31, "10", None)]);
    assert_eq!((outcome.stale[0].source.as_deref(), outcome.stale[0].lasted), (None, seconds(31)));
}

#[test]
fn a_key_that_is_not_in_the_cache_is_no_stale_one_and_forgets_what_was_there() {
    let mut judge = judge();
    judge.watches(&[(0, "10", Some("11"))]);
    let missed = || Look { key: "17".to_owned(), seen: Seen::Missed };
    let outcome = judge.sees(round(15, 0, vec![missed()]));
    assert_eq!((outcome.missed, outcome.compared, outcome.sampled, outcome.differing), (1, 0, 0, 0));
    assert_eq!(judge.watches(&[(40, "10", Some("11"))]).stale, [], "it was put there anew");
}

#[test]
fn an_age_proves_it_at_the_second_look() {
    let aged = |age| {
        let mut judge = judge();
        let look = |age| look("17", "10", Some("12"), Some(age));
        let first = judge.sees(round(5, 0, vec![look(age)]));
        assert_eq!((first.stale.len(), first.undecided), (0, usize::from(age > WITHIN)));
        judge.sees(round(6, 0, vec![look(age + 1)]))
    };
    let outcome = aged(240);
    assert_eq!((outcome.stale[0].lasted, outcome.undecided), (seconds(241), 0));
    let young = aged(WITHIN - 1);
    assert_eq!((young.stale.len(), young.differing, young.undecided), (0, 1, 0), "lawful, and known to be");
    // An age that begins again with each change does not hide that the cache has stood still.
    let mut judge = judge();
    for at in [0, 15, 30] {
        let outcome = judge.sees(round(at, 0, vec![look("17", "10", Some(&at.to_string()), Some(1))]));
        assert_eq!(outcome.stale.len(), usize::from(at == 30));
    }
}

/// Scenario: a round takes 20 s. Guarantee: what the source told at its end is not held against what the cache said at its
/// beginning as if both were of one time.
#[test]
fn a_slow_round_proves_less() {
    let slow = |age| {
        let mut judge = judge();
        judge.sees(round(99, 0, vec![look("17", "10", Some("12"), None)]));
        let mut round = round(100, 0, vec![look("17", "10", Some("12"), Some(age))]);
        round.times = Times {
            cache_answered: seconds(105),
            source_asked: seconds(105),
            source_answered: seconds(120),
            ..round.times
        };
        judge.sees(round).stale
    };
    assert_eq!(slow(WITHIN + 20), []);
    assert_eq!(slow(WITHIN + 21)[0].lasted, seconds(WITHIN + 1));
}

#[test]
fn a_replica_proves_nothing_of_what_it_may_not_have_heard_yet() {
    let lagging = |at, behind, age| round(at, behind, vec![look("17", "12", Some("10"), age)]);
    // The cache is ahead of the replica: whatever the age of what the replica says, it is not stale.
    let mut judge = judge();
    assert_eq!(judge.sees(lagging(0, 60, Some(9_999))).stale, []);
    for at in [15, 30, 45, 60, 75] {
        assert_eq!(judge.sees(lagging(at, 60, None)).stale, [], "{at}");
    }
    // By then the replica says what was so 30 s after the cache had that value.
    let outcome = judge.sees(lagging(90, 60, None));
    assert_eq!((outcome.stale[0].lasted, outcome.behind), (seconds(30), seconds(60)));
    // An age counts from the same time on: the cache had its value when the replica's was so already.
    let mut judge = self::judge();
    judge.sees(lagging(0, 10, Some(100)));
    assert_eq!(judge.sees(lagging(9, 10, Some(109))).stale, []);
    assert_eq!(judge.sees(lagging(10, 10, Some(110))).stale[0].lasted, seconds(100));
}

#[test]
fn what_could_not_be_told_changes_nothing() {
    let mut judge = judge();
    judge.watches(&[(0, "10", Some("11")), (40, "10", Some("11"))]);
    let untold = Look { key: "17".to_owned(), seen: Seen::Untold("no JSON".to_owned()) };
    let outcome = judge.sees(round(55, 0, vec![untold]));
    assert_eq!((outcome.untold, outcome.why.as_deref(), outcome.stale.len()), (1, Some("no JSON"), 1));
}

#[test]
fn those_that_differ_are_looked_at_again_in_turn() {
    let mut judge = judge();
    let keys: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    judge.sees(round(0, 0, keys.iter().map(|key| look(key, "a", Some("b"), None)).collect()));
    let first = judge.follow(2);
    assert_eq!(first, ["0", "1"]);
    let outcome = judge
        .take(round(15, 0, vec![look("0", "a", Some("b"), None), look("1", "b", Some("b"), None)]), &BTreeSet::new());
    assert_eq!((judge.follow(9), outcome.sampled), (["2", "3", "4", "0"].map(str::to_owned).into(), 5));
}

/// Guarantee: the share is that of the keys sampled lately, so that stale ones, which are looked at again and again, do not
/// weigh more the longer it runs; and none of them is called well because it was sampled long ago.
#[test]
fn a_share_is_of_what_was_sampled_lately() {
    let mut judge = judge();
    let mut outcome = Outcome::default();
    for n in 0..200_u64 {
        let stale = |n: u64| look(&format!("stale-{n}"), "a", Some("b"), Some(100));
        let mut looks = vec![stale(n)];
        looks.extend((0..9).map(|m| look(&format!("well-{n}-{m}"), "a", Some("a"), None)));
        let new = looks.iter().map(|look| look.key.clone()).collect();
        if let Some(before) = n.checked_sub(1) {
            looks.push(stale(before));
        }
        outcome = judge.take(round(n * 15, 0, looks), &new);
    }
    assert_eq!((outcome.sampled, outcome.sampled_stale, outcome.stale.len()), (200, 19, 199));
}

#[test]
fn what_is_kept_is_bounded_and_the_longest_stays() {
    let mut judge = judge();
    for n in 0..20_u64 {
        let age = |m| Some(if n == 3 && m == 7 { 9_999 } else { 100 });
        let looks = || (0..100).map(|m| look(&format!("{n}-{m}"), "a", Some("b"), age(m))).collect();
        judge.sees(round(n * 15, 0, looks()));
        judge.sees(round(n * 15 + 1, 0, looks()));
    }
    let outcome = judge.sees(round(400, 0, vec![]));
    assert_eq!((outcome.stale.len(), outcome.stale[0].key.as_str()), (MAX_FOLLOWED, "3-7"));
    assert_eq!(judge.known.len(), MAX_FOLLOWED);
    let well = |n: u64| (0..100).map(|m| look(&format!("well-{n}-{m}"), "a", Some("a"), None)).collect();
    for n in 0..100 {
        judge.sees(round(500 + n * 15, 0, well(n)));
    }
    assert_eq!(judge.known.len(), MAX_FOLLOWED + WINDOW as usize * 100);
}

#[test]
fn a_secret_is_never_kept_in_words() {
    let mut judge = Judge::new(seconds(WITHIN), Redaction::new(["price"]));
    let outcome = judge.watches(&[(0, "4711", Some("hunter2")), (60, "4711", Some("hunter2"))]);
    assert!(!format!("{:?}", outcome.stale).contains("4711") && !format!("{judge:?}").contains("hunter2"));
}
