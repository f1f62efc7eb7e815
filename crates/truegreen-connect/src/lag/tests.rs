use std::time::Duration;

use truegreen_model::probe::Standing;

use super::judgement::STILL;
use super::{Age, MAX_POINTS, Rule, Sample, Window};

const EVERY: u64 = 10;

fn sample(at: u64, committed: u64, high: u64) -> Sample {
    Sample { at: Duration::from_secs(at), committed: Some(committed), high, consumers: Some(1), ..Sample::default() }
}

/// Looks every ten seconds.
fn window(looks: impl IntoIterator<Item = (u64, u64)>) -> Window {
    let mut window = Window::default();
    for (index, (committed, high)) in looks.into_iter().enumerate() {
        window.look(sample(index as u64 * EVERY, committed, high));
    }
    window
}

#[test]
fn no_data_is_unknown_and_never_fine() {
    let judged = Window::default().judge(STILL);
    assert_eq!((judged.rule, judged.standing, judged.lag), (Rule::NoData, Standing::Unknown, None));

    let mut never = Window::default();
    never.look(Sample { high: 5, low: 5, ..Sample::default() });
    let judged = never.judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::NoData, Standing::Unknown));
    assert!(judged.words("group a", "t/0").contains("never committed in t/0"));

    // One look cannot tell whether what waits is being consumed.
    let judged = window([(5, 9)]).judge(STILL);
    assert_eq!((judged.rule, judged.standing, judged.lag), (Rule::NoData, Standing::Unknown, Some(4)));
    assert_eq!(judged.age, Some(Age::AtLeast(Duration::ZERO)));
}

#[test]
fn nothing_waiting_is_fine_also_where_nothing_moves() {
    let judged = window([(9, 9); 30]).judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::CaughtUp, Standing::Pass));
    assert_eq!(judged.age, Some(Age::Exactly(Duration::ZERO)));
}

#[test]
fn an_offset_that_does_not_move_while_messages_wait_warns_and_then_fails() {
    let stuck = |looks: u64| window((0..looks).map(|look| (120, 130 + 60 * look)));
    assert_eq!(stuck(3).judge(STILL).standing, Standing::Unknown);
    assert_eq!(stuck(4).judge(STILL).standing, Standing::Warn);
    let judged = stuck(5).judge(STILL);
    assert_eq!(
        judged.words("group inventory", "stock-events/1").lines().next(),
        Some("group inventory stands still at offset 120 of stock-events/1 since 40 s, 250 messages wait")
    );
    assert_eq!(stuck(13).judge(STILL).standing, Standing::Fail);
}

#[test]
fn what_waited_briefly_after_nothing_waited_is_not_stuck() {
    // Idle for minutes, then one message comes: still for the time that it waits, not for that of idling.
    let mut looks = vec![(9, 9); 30];
    looks.extend([(9, 10), (9, 10)]);
    let judged = window(looks).judge(STILL);
    assert_eq!((judged.rule, judged.standing, judged.still.as_secs()), (Rule::Moves, Standing::Pass, 10));
}

#[test]
fn commits_stop_where_nobody_is_there() {
    let mut window = window([(5, 5), (5, 9)]);
    let gone = |at: u64| Sample { consumers: Some(0), ..sample(at, 5, 9) };
    window.look(gone(20));
    let judged = window.judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::Stopped, Standing::Warn));
    window.look(gone(200));
    let judged = window.judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::Stopped, Standing::Fail));
    assert!(judged.words("group a", "t/0").starts_with("nobody consumes t/0 for group a"));
}

#[test]
fn a_partition_that_nobody_ever_committed_for_is_said() {
    let mut window = Window::default();
    for at in 0..5 {
        window.look(Sample { at: Duration::from_secs(at * EVERY), high: 40, low: 10, ..Sample::default() });
    }
    let judged = window.judge(STILL);
    assert_eq!((judged.rule, judged.standing, judged.lag), (Rule::NeverCommitted, Standing::Warn, Some(30)));
}

#[test]
fn a_rewind_is_said_until_it_is_made_up() {
    let judged = window([(100, 130), (120, 140), (40, 150)]).judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::Rewound(120), Standing::Warn));
    assert_eq!(
        judged.words("group a", "t/0"),
        "group a went back from offset 120 to offset 40 of t/0: 80 messages come again"
    );
    let judged = window([(100, 130), (120, 140), (40, 150), (125, 160)]).judge(STILL);
    assert_eq!(judged.rule, Rule::Moves);
}

#[test]
fn lag_that_never_falls_over_ten_commits_is_falling_behind() {
    let behind = window((0..10).map(|look| (10 * look, 12 * look + 5)));
    let judged = behind.judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::NeverFalls(5), Standing::Warn));
    assert!(judged.words("g", "t/0").contains("rose from 5 to 23 messages, never drained at this rate"), "{judged:?}");
    // Nine commits are too few, and a steady lag is no falling behind.
    assert_eq!(window((0..9).map(|look| (10 * look, 12 * look + 5))).judge(STILL).rule, Rule::Moves);
    assert_eq!(window((0..20).map(|look| (10 * look, 10 * look + 5))).judge(STILL).rule, Rule::Moves);
}

#[test]
fn what_retention_dropped_before_it_was_consumed_is_lost() {
    let mut window = window([(10, 50)]);
    window.look(Sample { low: 30, ..sample(10, 12, 60) });
    let judged = window.judge(STILL);
    assert_eq!((judged.rule, judged.standing, judged.lag), (Rule::Lost(18), Standing::Fail, Some(30)));
    assert!(judged.words("group a", "t/0").starts_with("18 messages of t/0 were dropped by retention before group a"));
}

#[test]
fn an_offset_beyond_the_end_is_no_lag_of_zero() {
    let judged = window([(500, 20)]).judge(STILL);
    assert_eq!((judged.rule, judged.standing), (Rule::Beyond(20), Standing::Warn));
}

#[test]
fn a_topic_made_anew_begins_a_new_window() {
    let mut window = window([(100, 100), (100, 100)]);
    window.look(sample(30, 0, 3));
    assert_eq!((window.looks(), window.judge(STILL).standing), (1, Standing::Unknown));
}

#[test]
fn the_age_of_the_oldest_is_interpolated() {
    // Ten messages in ten seconds, none consumed beyond 95: the 96th was written six seconds into the first interval.
    let judged = window([(90, 90), (95, 100), (95, 110)]).judge(STILL);
    assert_eq!(judged.age, Some(Age::Exactly(Duration::from_secs(14))));
    // What was there when we first looked is older than we know.
    let judged = window([(50, 90), (60, 90), (70, 90)]).judge(STILL);
    assert_eq!(judged.age, Some(Age::AtLeast(Duration::from_secs(20))));
    // Written after an idle hour: not as old as the hour.
    let mut idle = vec![(9, 9); 360];
    idle.push((9, 10));
    assert_eq!(window(idle).judge(STILL).age, Some(Age::Exactly(Duration::ZERO)));
}

#[test]
fn the_time_to_drain_is_told_by_rates() {
    // 20 consumed and 10 written a second, 700 wait.
    let judged = window([(0, 1000), (200, 1100), (400, 1200), (600, 1300)]).judge(STILL);
    assert_eq!(judged.drained_in(), Some(Duration::from_secs(70)));
    assert!(judged.words("g", "t/0").ends_with("drained in about 70 s at this rate"));
}

#[test]
fn what_the_system_counts_itself_goes_before_distances() {
    let mut window = Window::default();
    let told = Sample { waiting: Some(3), oldest: Some(Duration::from_secs(77)), ..sample(0, 10, 1000) };
    window.look(told);
    let judged = window.judge(STILL);
    assert_eq!((judged.lag, judged.age), (Some(3), Some(Age::Exactly(Duration::from_secs(77)))));
}

#[test]
fn a_window_stays_small_and_times_never_run_back() {
    let mut window = window((0..5_000).map(|look| (1, 10 + look)));
    assert!(window.points.len() <= MAX_POINTS);
    let before = window.clone();
    window.look(sample(0, 1, 2));
    assert_eq!(window, before);
}
