//! Scenarios of the order. Whatever else may happen in between is tried by the simulator.

use super::*;

/// Performs everything on a log that never fails, and lists what was done.
fn done(order: &mut Order, next_sequence: &mut u64) -> Vec<Effect> {
    let mut done = Vec::new();
    while let Some(effect) = order.next_effect() {
        match effect {
            Effect::Append(_) => {
                order.tell(Event::Appended(*next_sequence));
                *next_sequence += 1;
            }
            Effect::Sync => order.tell(Event::Synced),
            _ => {}
        }
        done.push(effect);
    }
    done
}

fn request(ticket: u64) -> Note {
    Note::Request(Ticket(ticket))
}

fn order() -> Order {
    Order::new(Opening { batch: 100, ..Opening::default() })
}

#[test]
fn requests_that_wait_are_made_durable_together_and_answered_after() {
    let mut order = order();
    order.tell(Event::Offered(Ticket(7)));
    order.tell(Event::Offered(Ticket(8)));
    assert_eq!(
        done(&mut order, &mut 1),
        [
            Effect::Append(request(7)),
            Effect::Append(request(8)),
            Effect::Sync,
            Effect::Acknowledge(Ticket(7)),
            Effect::Show(request(7), 1),
            Effect::Acknowledge(Ticket(8)),
            Effect::Show(request(8), 2),
        ]
    );
}

/// Scenario: a gap finds no room, then there is room. Guarantee: the engine knows at once, nothing is accepted before
/// the gap stands in the log, and time goes on meanwhile.
#[test]
fn nothing_overtakes_a_gap_that_could_not_be_written() {
    let mut order = order();
    order.tell(Event::GapOpened);
    order.tell(Event::Offered(Ticket(1)));
    assert_eq!(order.next_effect(), Some(Effect::Append(Note::Gap)));
    order.tell(Event::AppendRefused(Why::NoSpace));
    assert_eq!(order.next_effect(), Some(Effect::Refuse(Ticket(1), Why::NoSpace)));
    assert_eq!(order.next_effect(), Some(Effect::ShowUnwritten(Note::Gap)));
    assert_eq!(order.next_effect(), None);
    order.tell(Event::TickDue);
    assert_eq!(done(&mut order, &mut 1), [Effect::PassTime]);
    order.tell(Event::Offered(Ticket(2)));
    let effects = done(&mut order, &mut 1);
    assert_eq!(effects[..2], [Effect::Append(Note::Gap), Effect::Append(request(2))]);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let mut order = order();
    order.tell(Event::Offered(Ticket(1)));
    assert_eq!(order.next_effect(), Some(Effect::Append(request(1))));
    order.tell(Event::Appended(1));
    assert_eq!(order.next_effect(), Some(Effect::Sync));
    order.tell(Event::Failed);
    order.tell(Event::Offered(Ticket(2)));
    order.tell(Event::GapOpened);
    order.tell(Event::TickDue);
    order.tell(Event::StopAsked);
    assert_eq!(
        done(&mut order, &mut 2),
        [
            Effect::Refuse(Ticket(1), Why::LogFailed),
            Effect::ShowUnwritten(Note::Gap),
            Effect::Refuse(Ticket(2), Why::LogFailed),
            Effect::PassTime,
            Effect::End,
        ]
    );
    assert!(order.is_failed());
}

#[test]
fn a_stop_takes_what_was_offered_before_it_and_ends_with_a_mark_and_a_checkpoint() {
    let mut order = Order::new(Opening { checkpoint: Some(0), batch: 100, ..Opening::default() });
    order.tell(Event::Offered(Ticket(1)));
    order.tell(Event::StopAsked);
    order.tell(Event::Offered(Ticket(2)));
    assert_eq!(
        done(&mut order, &mut 1),
        [
            Effect::Refuse(Ticket(2), Why::Stopping),
            Effect::Append(request(1)),
            Effect::Append(Note::Stopped),
            Effect::Sync,
            Effect::Acknowledge(Ticket(1)),
            Effect::Show(request(1), 1),
            Effect::Show(Note::Stopped, 2),
            Effect::TakeCheckpoint { as_of: 2 },
        ]
    );
    order.tell(Event::CheckpointTaken);
    assert_eq!(done(&mut order, &mut 3), [Effect::WriteCheckpoint { as_of: 2 }]);
    order.tell(Event::CheckpointWritten);
    assert_eq!(done(&mut order, &mut 3), [Effect::End]);
}

#[test]
fn entries_behind_the_last_checkpoint_are_not_dropped() {
    let mut order = Order::new(Opening { checkpoint: Some(0), batch: 100, ..Opening::default() });
    order.tell(Event::Offered(Ticket(1)));
    order.tell(Event::RetentionDue);
    let mut next_sequence = 1;
    assert!(!done(&mut order, &mut next_sequence).iter().any(|effect| matches!(effect, Effect::Drop { .. })));
    order.tell(Event::CheckpointDue);
    assert_eq!(done(&mut order, &mut next_sequence), [Effect::TakeCheckpoint { as_of: 1 }]);
    order.tell(Event::Offered(Ticket(2)));
    done(&mut order, &mut next_sequence);
    order.tell(Event::CheckpointTaken);
    order.tell(Event::CheckpointWritten);
    order.tell(Event::RetentionDue);
    let effects = done(&mut order, &mut next_sequence);
    assert_eq!(effects, [Effect::WriteCheckpoint { as_of: 1 }, Effect::Drop { through: 1 }]);
}
