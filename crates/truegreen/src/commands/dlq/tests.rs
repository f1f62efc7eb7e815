//! What a person reads at two in the morning.

use truegreen_connect::dead_letters::group::{By, Groups};
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;

use super::text;
use crate::dead_letters::record::Record;
use crate::dead_letters::redrive::entry::{Certainty, Edited, LeftOut};
use crate::dead_letters::redrive::{Action, Chosen, Entry, Memory, Order, Person, StopWhy};

fn letter(n: u32) -> Letter {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Letter {
        id: format!("17-{n}"),
        place: "orders.dead".to_owned(),
        origin: "orders".to_owned(),
        key: format!("ord-{n}"),
        message_id: format!("m-{n}"),
        message_type: "OrderPlaced".to_owned(),
        error_type: if n < 3 { "com.shop.OutOfStock" } else { "java.net.SocketTimeoutException" }.to_owned(),
        error: "no stock of A-1\x1b[2J, token=t0k".to_owned(),
        frame: "com.shop.Reserve.apply(Reserve.java:41)".to_owned(),
        deaths: n + 1,
        died_at: format!("2026-01-01T02:00:0{n}Z"),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        headers: vec![header("tenant", "blue"), header("Authorization", "Bearer t0k")],
        body: br#"{"order":{"id":"ord-1","lines":[{"sku":""}]},"card":"4111"}"#.to_vec(),
        is_cut: false,
    }
}

fn said(write: impl Fn(&mut anstream::StripStream<Vec<u8>>) -> std::io::Result<()>) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    write(&mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn groups_read_from_the_most_frequent_error_down() {
    let mut groups = Groups::new(By::Error);
    (0..5).for_each(|n| groups.add(&letter(n)));
    let (mut groups, _) = groups.counted();
    groups.iter_mut().for_each(|group| group.error = Redaction::default().text(&group.error));
    insta::assert_snapshot!(said(|out| {
        text::place(
            out,
            "broker",
            "orders.dead",
            Some(5),
            "no dead-letter exchange behind this queue: what fails again is lost",
        )?;
        text::groups(out, By::Error, &groups, 3)
    }));
}

#[test]
fn a_letter_is_shown_whole_without_its_secrets() {
    let shown = said(|out| text::letter(out, &letter(1), &Redaction::default(), 1000));
    assert!(!shown.contains("t0k") && !shown.contains("4111") && !shown.contains('\x1b'), "{shown}");
    insta::assert_snapshot!(shown);
    insta::assert_snapshot!("letters_in_a_list", said(|out| text::brief(out, &letter(2), &Redaction::default())));
}

#[test]
fn a_record_says_who_what_and_what_became_of_each() {
    let by = Person { user: "ada".to_owned(), host: "desk".to_owned(), pid: 7 };
    let order = Order {
        id: "20260101020000-0abcde".to_owned(),
        action: Action::Redrive,
        system: "broker".to_owned(),
        place: "orders.dead".to_owned(),
        by: by.clone(),
        asked: "error \"com.shop.OutOfStock\"".to_owned(),
        canary: 2,
        per_second: Some(50.0),
        max_failed_percent: 10,
        left_out: vec![LeftOut { letter: "17-9".to_owned(), why: "nothing tells where it came from".to_owned() }],
        left_out_count: 1,
    };
    let chosen =
        |n: usize| Entry::Chosen(Chosen { n, letter: format!("17-{n}"), to: "orders".to_owned(), ..Chosen::default() });
    let edited =
        Edited { hash_before: "a".repeat(64), hash_after: "b".repeat(64), by: by.clone(), ..Edited::default() };
    let mut entries = vec![Entry::Begun(order)];
    entries.extend((0..5).map(chosen));
    entries.extend([
        Entry::Edited { n: 1, edited },
        Entry::Frozen { letters: 5 },
        Entry::Sending { n: 0 },
        Entry::Confirmed { n: 0, sent: Certainty::AtLeastOnce },
        Entry::Removed { n: 0 },
        Entry::Sending { n: 1 },
        Entry::Sending { n: 1 },
        Entry::Confirmed { n: 1, sent: Certainty::AtLeastOnce },
        Entry::Removed { n: 1 },
        Entry::Proven { how: "the journeys of all 2 are completed in the books".to_owned() },
        Entry::Sending { n: 2 },
        Entry::NotConfirmed { n: 2, why: "reset by peer".to_owned(), is_refused: false },
        Entry::Missing { n: 3 },
        Entry::Stopped {
            why: StopWhy::SomeLeft,
            told: "1 could not be sent or removed, and lie there as before".to_owned(),
        },
    ]);
    let memory = Memory::of(entries.iter().map(|entry| ("2026-01-01T02:00:00Z", entry))).unwrap();
    let record = Record::of(&memory).unwrap();
    insta::assert_snapshot!(said(|out| text::record(out, &record)));
    insta::assert_snapshot!("a_record_as_json", serde_json::to_string_pretty(&record).unwrap());
}
