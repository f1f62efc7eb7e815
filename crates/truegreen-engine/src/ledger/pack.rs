//! A case as bytes. Millions of journeys are open at once, so this is how they lie in memory, and a checkpoint keeps
//! the very same bytes. Times are differences, what is usual takes one byte, and trace ids are said once.

use truegreen_model::flow::{ExitId, StepId};
use truegreen_model::observation::{Conditions, Evidence, Identity, InstanceId, KeyHash, Role, Share, Symbol, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Standing, Verdict, Why};

use super::case::{Case, Passage, Seen};
use super::confirmed::{Confirmed, Told};
use crate::matcher::scopes::ScopeId;
use crate::timers::Tick;

const ATTEMPT: u8 = 1;
const EXIT: u8 = 1 << 1;
const REASON: u8 = 1 << 2;
const SAME_TRACE: u8 = 1 << 3;
const NO_TRACE: u8 = 1 << 4;
const CONDITIONS: u8 = 1 << 5;
const SHARES: u8 = 1 << 6;

const HOP: u8 = 1;
const DEADLINE: u8 = 1 << 1;
/// The last step seen is not the one before the gap.
const AFTER: u8 = 1 << 2;
const DUPLICATES: u8 = 1 << 3;
const STANDING_SHIFT: u32 = 4;

/// How a tick is told: never, at the usual time, or by its difference from that.
const NEVER: u8 = 0;
const USUAL: u8 = 1;
const TOLD: u8 = 2;
const WAYS: u8 = 3;
/// Beside how the ticks are told: some system was asked about the case, and answers follow.
const TOLD_ABOUT: u8 = 1 << 7;

/// Writes the case behind what `out` holds.
pub(super) fn pack(case: &Case, out: &mut Vec<u8>) {
    let mut out = Writer(out);
    out.bytes(case.text.as_bytes());
    out.varint(u64::from(case.scope.0));
    out.varint(case.aliases.len() as u64);
    for alias in &case.aliases {
        out.0.extend_from_slice(&alias.0.to_le_bytes());
    }
    out.varint(case.seen.len() as u64);
    let mut before = BEFORE;
    for one in &case.seen {
        out.seen(one, &before);
        before = Before::from(one);
    }
    out.varint(case.passages.len() as u64);
    let first = case.seen.first().map_or(Timestamp(0), |one| one.at);
    for passage in &case.passages {
        out.passage(passage, first);
    }
    let usual = usual_check(case);
    let ways = [way(case.next_check, usual), way(case.timer, case.next_check)];
    let is_marked = |passage: &Passage| passage.confirmed || passage.there != 0;
    let is_told = !case.told.is_empty() || case.passages.iter().any(is_marked);
    out.0.push((ways[0] * WAYS + ways[1]) | flag(is_told, TOLD_ABOUT));
    out.tick(ways[0], case.next_check, usual);
    out.tick(ways[1], case.timer, case.next_check);
    if is_told {
        out.answers(case, first);
    }
}

/// Reads a case back into `case`; `None` where the bytes are not what [`pack`] writes.
pub(super) fn unpack(bytes: &[u8], case: &mut Case) -> Option<()> {
    let mut from = Reader(bytes);
    case.text.clear();
    case.text.push_str(std::str::from_utf8(from.bytes()?).ok()?);
    case.scope = ScopeId(from.narrow()?);
    case.aliases.clear();
    for _ in 0..from.varint()? {
        case.aliases.push(KeyHash(u128::from_le_bytes(from.array()?)));
    }
    case.seen.clear();
    let mut before = BEFORE;
    for _ in 0..from.varint()? {
        let one = from.seen(&before)?;
        before = Before::from(&one);
        case.seen.push(one);
    }
    case.passages.clear();
    let first = case.seen.first().map_or(Timestamp(0), |one| one.at);
    for _ in 0..from.varint()? {
        case.passages.push(from.passage(first)?);
    }
    let told = from.byte()?;
    let ways = Some(told & !TOLD_ABOUT).filter(|ways| *ways < WAYS * WAYS)?;
    case.next_check = from.tick(ways / WAYS, usual_check(case))?;
    case.timer = from.tick(ways % WAYS, case.next_check)?;
    case.told.clear();
    if told & TOLD_ABOUT != 0 {
        from.answers(case, first)?;
    }
    from.0.is_empty().then_some(())
}

/// Most cases wait for their deadline.
fn usual_check(case: &Case) -> Tick {
    case.passages.first().map_or(Tick(0), |passage| Tick::at_or_after(passage.deadline))
}

fn way(tick: Tick, usual: Tick) -> u8 {
    match tick {
        Tick::NEVER => NEVER,
        tick if tick == usual => USUAL,
        _ => TOLD,
    }
}

/// What an observation is written in difference to.
struct Before {
    at: Timestamp,
    trace: TraceId,
    sequence: u64,
}

const BEFORE: Before = Before { at: Timestamp(0), trace: TraceId(0), sequence: 0 };

impl From<&Seen> for Before {
    fn from(seen: &Seen) -> Self {
        Before { at: seen.at, trace: seen.trace, sequence: seen.evidence.sequence }
    }
}

fn flag(holds: bool, flag: u8) -> u8 {
    if holds { flag } else { 0 }
}

struct Writer<'o>(&'o mut Vec<u8>);

impl Writer<'_> {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// The difference of two numbers, small in either direction.
    fn difference(&mut self, number: u64, from: u64) {
        let difference = number.wrapping_sub(from) as i64;
        self.varint(((difference << 1) ^ (difference >> 63)) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn tick(&mut self, way: u8, tick: Tick, usual: Tick) {
        if way == TOLD {
            self.difference(tick.0, usual.0);
        }
    }

    fn seen(&mut self, one: &Seen, before: &Before) {
        let (id, is_exit, reason) = match one.role {
            Role::Step(step) => (step.0, false, None),
            Role::Exit(exit, reason) => (exit.0, true, reason),
        };
        let flags = flag(one.attempt, ATTEMPT)
            | flag(is_exit, EXIT)
            | flag(reason.is_some(), REASON)
            | flag(one.trace == before.trace, SAME_TRACE)
            | flag(one.trace == TraceId(0), NO_TRACE)
            | flag(one.conditions != Conditions::default(), CONDITIONS)
            | flag(!one.shares.is_empty(), SHARES);
        self.0.extend([flags, id]);
        if let Some(reason) = reason {
            self.varint(u64::from(reason.0));
        }
        self.0.extend_from_slice(&one.identity.0.to_le_bytes());
        self.difference(one.at.0, before.at.0);
        self.varint(u64::from(one.instance.0));
        if flags & (SAME_TRACE | NO_TRACE) == 0 {
            self.0.extend_from_slice(&one.trace.0.to_le_bytes());
        }
        if flags & CONDITIONS != 0 {
            self.varint(one.conditions.known);
            self.varint(one.conditions.holds);
        }
        if flags & SHARES != 0 {
            self.varint(one.shares.len() as u64);
            one.shares.iter().for_each(|share| self.share(*share));
        }
        self.difference(one.evidence.sequence, before.sequence);
        self.varint(u64::from(one.evidence.offset));
    }

    fn share(&mut self, share: Share) {
        match share {
            Share::Expected(step, item) => {
                self.0.extend([0, step.0]);
                self.0.extend_from_slice(&item.to_le_bytes());
            }
            Share::Count(step, count) => {
                self.0.extend([1, step.0]);
                self.varint(u64::from(count));
            }
            Share::Item(item) => {
                self.0.push(2);
                self.0.extend_from_slice(&item.to_le_bytes());
            }
        }
    }

    fn passage(&mut self, passage: &Passage, first: Timestamp) {
        let (standing, reason) = standing_code(passage.standing);
        let has_deadline = passage.deadline != Timestamp::NEVER;
        let before_gap = passage.hop.map(|hop| hop.after);
        let flags = flag(passage.hop.is_some(), HOP)
            | flag(has_deadline, DEADLINE)
            | flag(before_gap != Some(passage.after), AFTER)
            | flag(passage.duplicates != 0, DUPLICATES);
        self.0.push(standing << STANDING_SHIFT | flags);
        if let Some(reason) = reason {
            self.varint(u64::from(reason.0));
        }
        self.difference(passage.entered_at.0, first.0);
        if let Some(hop) = passage.hop {
            self.0.extend([hop.after.0, hop.before.0]);
        }
        if has_deadline {
            self.difference(passage.deadline.0, passage.entered_at.0);
        }
        if flags & AFTER != 0 {
            self.0.push(passage.after.0);
        }
        self.varint(passage.owed);
        if flags & DUPLICATES != 0 {
            self.varint(passage.duplicates);
        }
    }
}

impl Writer<'_> {
    /// What was answered, and what that makes of each passage.
    fn answers(&mut self, case: &Case, first: Timestamp) {
        self.varint(case.told.iter().count() as u64);
        for one in case.told.iter() {
            self.0.extend([one.step.0, one.told as u8]);
            self.difference(one.as_of.0, first.0);
        }
        for passage in &case.passages {
            self.0.push(u8::from(passage.confirmed));
            self.varint(passage.there);
        }
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn narrow(&mut self) -> Option<u32> {
        self.varint()?.try_into().ok()
    }

    fn difference(&mut self, from: u64) -> Option<u64> {
        let coded = self.varint()?;
        let difference = (coded >> 1) as i64 ^ -((coded & 1) as i64);
        Some(from.wrapping_add(difference as u64))
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn tick(&mut self, way: u8, usual: Tick) -> Option<Tick> {
        match way {
            NEVER => Some(Tick::NEVER),
            USUAL => Some(usual),
            _ => Some(Tick(self.difference(usual.0)?)),
        }
    }

    fn symbol(&mut self, is_there: bool) -> Option<Option<Symbol>> {
        if is_there { Some(Some(Symbol(self.narrow()?))) } else { Some(None) }
    }

    fn seen(&mut self, before: &Before) -> Option<Seen> {
        let [flags, id] = self.array()?;
        let has = |flag: u8| flags & flag != 0;
        let reason = self.symbol(has(REASON))?;
        let role = if has(EXIT) { Role::Exit(ExitId(id), reason) } else { Role::Step(StepId(id)) };
        let identity = Identity(u64::from_le_bytes(self.array()?));
        let at = Timestamp(self.difference(before.at.0)?);
        let instance = InstanceId(self.narrow()?);
        let trace = match (has(SAME_TRACE), has(NO_TRACE)) {
            (true, _) => before.trace,
            (false, true) => TraceId(0),
            (false, false) => TraceId(u128::from_le_bytes(self.array()?)),
        };
        let mut conditions = Conditions::default();
        if has(CONDITIONS) {
            conditions = Conditions { known: self.varint()?, holds: self.varint()? };
        }
        let mut shares = Vec::new();
        if has(SHARES) {
            for _ in 0..self.varint()? {
                shares.push(self.share()?);
            }
        }
        let evidence = Evidence { sequence: self.difference(before.sequence)?, offset: self.narrow()? };
        Some(Seen { role, identity, at, attempt: has(ATTEMPT), instance, trace, conditions, shares, evidence })
    }

    fn answers(&mut self, case: &mut Case, first: Timestamp) -> Option<()> {
        for _ in 0..self.varint()? {
            let step = StepId(self.byte()?);
            let told = *Told::ALL.get(usize::from(self.byte()?))?;
            case.told.add(Confirmed { step, told, as_of: Timestamp(self.difference(first.0)?) });
        }
        for passage in &mut case.passages {
            passage.confirmed = self.byte()? != 0;
            passage.there = self.varint()?;
        }
        Some(())
    }

    fn share(&mut self) -> Option<Share> {
        Some(match self.byte()? {
            0 => Share::Expected(StepId(self.byte()?), u64::from_le_bytes(self.array()?)),
            1 => Share::Count(StepId(self.byte()?), self.narrow()?),
            2 => Share::Item(u64::from_le_bytes(self.array()?)),
            _ => return None,
        })
    }

    fn passage(&mut self, first: Timestamp) -> Option<Passage> {
        let code = self.byte()?;
        let standing_code = code >> STANDING_SHIFT;
        let reason = self.symbol(has_reason(standing_code))?;
        let standing = standing(standing_code, reason)?;
        let entered_at = Timestamp(self.difference(first.0)?);
        let mut hop = None;
        if code & HOP != 0 {
            hop = Some(Hop { after: StepId(self.byte()?), before: StepId(self.byte()?) });
        }
        let mut deadline = Timestamp::NEVER;
        if code & DEADLINE != 0 {
            deadline = Timestamp(self.difference(entered_at.0)?);
        }
        let after = match hop {
            Some(hop) if code & AFTER == 0 => hop.after,
            _ => StepId(self.byte()?),
        };
        let owed = self.varint()?;
        let duplicates = if code & DUPLICATES == 0 { 0 } else { self.varint()? };
        // What was answered stands behind all of them.
        Some(Passage { entered_at, standing, hop, deadline, after, owed, duplicates, confirmed: false, there: 0 })
    }
}

const REJECTED: u8 = 4;
const DEAD_LETTERED: u8 = 5;
const UNKNOWN: u8 = 8;
const EFFECT_MISSING: u8 = 15;
const _: () = assert!(UNKNOWN as usize + Why::ALL.len() <= EFFECT_MISSING as usize, "four bits tell them apart");

fn standing_code(standing: Standing) -> (u8, Option<Symbol>) {
    match standing {
        Standing::Open { due: false } => (0, None),
        Standing::Open { due: true } => (1, None),
        Standing::Ended(Verdict::Completed) => (2, None),
        Standing::Ended(Verdict::Late) => (3, None),
        Standing::Ended(Verdict::Rejected(reason)) => (REJECTED, Some(reason)),
        Standing::Ended(Verdict::DeadLettered(reason)) => (DEAD_LETTERED, Some(reason)),
        Standing::Ended(Verdict::Unaccounted(Loss::Vanished)) => (6, None),
        Standing::Ended(Verdict::Unaccounted(Loss::FailedWithoutExit)) => (7, None),
        Standing::Ended(Verdict::Unaccounted(Loss::EffectMissing)) => (EFFECT_MISSING, None),
        Standing::Ended(Verdict::Unknown(why)) => {
            (UNKNOWN + Why::ALL.iter().position(|one| *one == why).unwrap_or(0) as u8, None)
        }
    }
}

fn has_reason(code: u8) -> bool {
    matches!(code, REJECTED | DEAD_LETTERED)
}

fn standing(code: u8, reason: Option<Symbol>) -> Option<Standing> {
    Some(match code {
        0 => Standing::Open { due: false },
        1 => Standing::Open { due: true },
        2 => Standing::Ended(Verdict::Completed),
        3 => Standing::Ended(Verdict::Late),
        REJECTED => Standing::Ended(Verdict::Rejected(reason?)),
        DEAD_LETTERED => Standing::Ended(Verdict::DeadLettered(reason?)),
        6 => Standing::Ended(Verdict::Unaccounted(Loss::Vanished)),
        7 => Standing::Ended(Verdict::Unaccounted(Loss::FailedWithoutExit)),
        EFFECT_MISSING => Standing::Ended(Verdict::Unaccounted(Loss::EffectMissing)),
        _ => Standing::Ended(Verdict::Unknown(*Why::ALL.get(usize::from(code.checked_sub(UNKNOWN)?))?)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::confirmed::Confirmations;

    fn seen() -> impl Strategy<Value = Seen> {
        let role = prop_oneof![
            any::<u8>().prop_map(|step| Role::Step(StepId(step))),
            (any::<u8>(), any::<Option<u32>>()).prop_map(|(exit, reason)| Role::Exit(ExitId(exit), reason.map(Symbol))),
        ];
        let share = prop_oneof![
            (any::<u8>(), any::<u64>()).prop_map(|(step, item)| Share::Expected(StepId(step), item)),
            (any::<u8>(), any::<u32>()).prop_map(|(step, count)| Share::Count(StepId(step), count)),
            any::<u64>().prop_map(Share::Item),
        ];
        let trace = prop_oneof![Just(0), Just(7), any::<u128>()];
        (
            (role, any::<u64>(), any::<u64>(), any::<bool>(), any::<u32>(), trace),
            (any::<u64>(), any::<u64>(), prop::collection::vec(share, 0..3), any::<u64>(), any::<u32>()),
        )
            .prop_map(
                |((role, identity, at, attempt, instance, trace), (known, holds, shares, sequence, offset))| Seen {
                    role,
                    identity: Identity(identity),
                    at: Timestamp(at),
                    attempt,
                    instance: InstanceId(instance),
                    trace: TraceId(trace),
                    conditions: Conditions { known, holds },
                    shares,
                    evidence: Evidence { sequence, offset },
                },
            )
    }

    fn passage() -> impl Strategy<Value = Passage> {
        let standing = (0..16_u8, any::<u32>())
            .prop_filter_map("a standing", |(code, reason)| standing(code, Some(Symbol(reason))));
        let hop = any::<Option<(u8, u8)>>();
        let told = prop_oneof![Just((false, 0)), any::<(bool, u64)>()];
        (any::<u64>(), standing, hop, any::<u64>(), any::<u8>(), any::<u64>(), any::<u64>(), told).prop_map(
            |(entered_at, standing, hop, deadline, after, owed, duplicates, (confirmed, there))| Passage {
                entered_at: Timestamp(entered_at),
                standing,
                hop: hop.map(|(after, before)| Hop { after: StepId(after), before: StepId(before) }),
                deadline: Timestamp(deadline),
                after: StepId(after),
                owed,
                duplicates,
                confirmed,
                there,
            },
        )
    }

    fn told() -> impl Strategy<Value = Confirmations> {
        prop::collection::vec((0..64_u8, 0..3_usize, any::<u64>()), 0..3).prop_map(|all| {
            let mut told = Confirmations::default();
            for (step, kind, as_of) in all {
                told.add(Confirmed { step: StepId(step), told: Told::ALL[kind], as_of: Timestamp(as_of) });
            }
            told
        })
    }

    fn case() -> impl Strategy<Value = Case> {
        (
            ".{0,20}",
            any::<u32>(),
            prop::collection::vec(seen(), 0..4),
            prop::collection::vec(passage(), 0..3),
            prop::collection::vec(any::<u128>(), 0..2),
            [any::<u64>(), any::<u64>()],
            told(),
        )
            .prop_map(|(text, scope, seen, passages, aliases, [check, timer], told)| Case {
                text,
                scope: ScopeId(scope),
                seen,
                passages: passages.into(),
                aliases: aliases.into_iter().map(KeyHash).collect(),
                told,
                next_check: Tick(check),
                timer: Tick(timer),
            })
    }

    proptest! {
        #[test]
        fn a_case_is_read_back_as_it_was(case in case()) {
            let mut bytes = Vec::new();
            pack(&case, &mut bytes);
            let mut read = Case::empty();
            prop_assert_eq!(unpack(&bytes, &mut read), Some(()));
            prop_assert_eq!(read, case);
        }

        #[test]
        fn bytes_that_are_no_case_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut read = Case::empty();
            if unpack(&bytes, &mut read).is_some() {
                let mut again = Vec::new();
                pack(&read, &mut again);
                let mut twice = Case::empty();
                prop_assert_eq!(unpack(&again, &mut twice), Some(()));
                prop_assert_eq!(twice, read);
            }
        }
    }
}
