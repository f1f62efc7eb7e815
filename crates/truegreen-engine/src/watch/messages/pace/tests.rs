use super::*;

/// One message every tenth of a second, each waiting as long as told for its second; how often it falls behind, and
/// whether it keeps up in the end.
fn run(seconds: std::ops::Range<u64>, rate: impl Fn(u64) -> u64, wait: impl Fn(u64) -> f64) -> (usize, bool) {
    told(seconds, rate, wait, true)
}

/// The same; whether it is so by our clock, too.
fn told(
    seconds: std::ops::Range<u64>,
    rate: impl Fn(u64) -> u64,
    wait: impl Fn(u64) -> f64,
    is_true: bool,
) -> (usize, bool) {
    let (mut pace, mut behind, mut keeps_up) = (Pace::default(), 0, true);
    for second in seconds {
        for n in 0..rate(second) {
            let at = Timestamp::from_secs(1_000_000 + second) + Duration::from_millis(n * 1_000 / rate(second));
            pace.published(at);
            // Who waits longer and longer is one of those that are not processed yet.
            if wait(second) <= wait(second.saturating_sub(1)) || n % 4 != 0 {
                let (waited, took) = (Duration::from_secs_f64(wait(second)), Duration::from_millis(5));
                pace.processed(at, Wait { waited, received: if is_true { wait(second) } else { 0.0 }, took });
            }
        }
        match pace.judge(None) {
            Some(Turn::FallsBehind(_)) => (behind, keeps_up) = (behind + 1, false),
            Some(Turn::KeepsUp) => keeps_up = true,
            None => {}
        }
    }
    (behind, keeps_up)
}

#[test]
fn who_falls_behind_is_found_within_half_a_minute_and_is_well_when_it_caught_up() {
    let slow = |second: u64| if second < 100 { 0.05 } else { (second as f64 - 100.0) / 3.0 };
    assert!(run(0..131, |_| 10, slow).0 >= 1);
    let caught_up = |second: u64| if second < 160 { slow(second) } else { 0.05 };
    let (behind, keeps_up) = run(0..200, |_| 10, caught_up);
    assert!(behind >= 5 && keeps_up, "{behind}");
}

#[test]
fn few_messages_that_come_by_chance_make_no_difference() {
    let slow = |second: u64| match second {
        0..100 => 0.05,
        _ => (second as f64 - 100.0) / 3.0 + (second.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62) as f64,
    };
    assert!(run(0..150, |second| 1 + second % 3, slow).0 >= 1);
}

#[test]
fn who_is_slow_from_the_first_second_on_is_found_too() {
    assert!(run(0..60, |_| 10, |second| second as f64 / 3.0).0 >= 1);
}

#[test]
fn waits_that_rise_by_a_senders_clock_alone_are_none() {
    let slow = |second: u64| if second < 100 { 0.05 } else { (second as f64 - 100.0) / 3.0 };
    assert_eq!(told(0..160, |_| 10, slow, false).0, 0);
}

#[test]
fn a_burst_that_drains_is_none() {
    let rate = |second: u64| if (100..160).contains(&second) { 50 } else { 10 };
    let wait = |second: u64| match second {
        100..160 => (second - 100) as f64 / 3.0,
        160..220 => (220 - second) as f64 / 3.0,
        _ => 0.05,
    };
    assert_eq!(run(0..400, rate, wait).0, 0);
}

#[test]
fn pauses_polling_and_constant_waits_are_none() {
    // A consumer that stood still for half a minute, and drains.
    let paused = |second: u64| if (130..160).contains(&second) { (160 - second) as f64 } else { 0.05 };
    assert_eq!(run(0..400, |second| if (100..130).contains(&second) { 0 } else { 10 }, paused).0, 0);
    // One that polls once a minute.
    assert_eq!(run(0..900, |second| if second % 60 == 0 { 600 } else { 0 }, |_| 30.0).0, 0);
    assert_eq!(run(0..900, |_| 3, |_| 300.0).0, 0);
}

#[test]
fn what_is_told_says_how_much_waits_and_when_that_is_done() {
    let told = Behind {
        onset: Timestamp::from_secs(0),
        wait: 10.0,
        usual: 0.1,
        took: 3.0,
        usual_took: Some(0.1),
        published: 2.0,
        processed: 1.5,
    };
    assert_eq!((told.backlog(), told.growth(), told.drain()), (20.0, 0.5, None));
    let drains = Behind { processed: 4.0, ..told };
    assert_eq!(drains.drain(), Some(Duration::from_secs(10)));
}
