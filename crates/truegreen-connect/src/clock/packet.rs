//! The 48 bytes of SNTP, without the clock that they are held against.

use std::time::Duration;

pub(super) const LENGTH: usize = 48;
/// Seconds from 1900, where NTP begins, to 1970.
const TO_UNIX_EPOCH: u64 = 2_208_988_800;
const FRACTIONS: f64 = 4_294_967_296.0;
/// A server that is further than this from the true time by its own account is not synchronised (RFC 5905, MAXDIST).
const MAX_DISTANCE_SECONDS: f64 = 1.5;
const VERSION: u8 = 4;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// A time as NTP writes it: seconds, and fractions of 2⁻³² s. Seconds begin again in 2036, so only differences count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    pub(super) fn since_unix_epoch(since: Duration) -> Stamp {
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Stamp((since.as_secs().wrapping_add(TO_UNIX_EPOCH) << 32) | fraction)
    }

    pub(super) fn after(self, time: Duration) -> Stamp {
        let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        Stamp(self.0.wrapping_add((time.as_secs() << 32) | fraction))
    }

    /// In seconds; right while both are within 68 years of each other.
    fn minus(self, other: Stamp) -> f64 {
        self.0.wrapping_sub(other.0).cast_signed() as f64 / FRACTIONS
    }
}

/// One time told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Sample {
    /// Seconds that our clock is behind; negative where it is ahead.
    pub(super) offset: f64,
    /// Seconds that this may be wrong by: half of the way there and back.
    pub(super) error: f64,
}

/// What a server told.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Answer {
    Time(Sample),
    /// No time that counts, and why.
    Nothing(String),
}

/// A client's question. Nothing of our clock goes out: the nonce comes back as the origin of the answer.
pub(super) fn question(nonce: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION << 3 | CLIENT;
    bytes[40..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

/// What a datagram tells that came back at `back`; none where it is no answer to our question.
///
/// # Errors
/// Where it is one that cannot be.
pub(super) fn read(datagram: &[u8], nonce: u64, sent: Stamp, back: Stamp) -> Result<Option<Answer>, String> {
    let Ok(bytes) = <&[u8; LENGTH]>::try_from(datagram) else { return Ok(None) };
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let stamp = |at: usize| Stamp(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
    if stamp(24) != Stamp(nonce) || bytes[0] & 7 != SERVER {
        return Ok(None);
    }
    let (leap, stratum) = (bytes[0] >> 6, bytes[1]);
    if stratum == 0 {
        let code: String = bytes[12..16].iter().filter(|c| c.is_ascii_graphic()).map(|c| char::from(*c)).collect();
        return Ok(Some(Answer::Nothing(format!("it sends us away ({})", kiss(&code)))));
    }
    // Fixed point of 16 bits each.
    let distance = f64::from(word(4)) / 65_536.0 / 2.0 + f64::from(word(8)) / 65_536.0;
    if leap == 3 || stratum > 15 || distance >= MAX_DISTANCE_SECONDS {
        return Ok(Some(Answer::Nothing("it is not synchronised itself".to_owned())));
    }
    let (received, answered) = (stamp(32), stamp(40));
    if received == Stamp(0) || answered == Stamp(0) {
        return Err("it tells a time of zero".to_owned());
    }
    let way = back.minus(sent) - answered.minus(received);
    if way < -0.001 || answered.minus(received) < 0.0 {
        return Err("it answered before it was asked, by its own times".to_owned());
    }
    let offset = (received.minus(sent) + answered.minus(back)) / 2.0;
    Ok(Some(Answer::Time(Sample { offset, error: way.max(0.0) / 2.0 })))
}

fn kiss(code: &str) -> String {
    match code {
        "RATE" => "RATE: it is asked too often".to_owned(),
        "DENY" | "RSTR" => format!("{code}: it does not answer us"),
        "" => "without saying why".to_owned(),
        code => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x1122_3344_5566_7788;

    fn at(seconds: f64) -> Stamp {
        Stamp::since_unix_epoch(Duration::from_secs_f64(seconds))
    }

    /// An answer of a server whose clock is ahead of ours by so much, 10 ms away, that took 2 ms.
    fn answer(ahead: f64) -> [u8; LENGTH] {
        let mut bytes = question(0);
        bytes[0] = VERSION << 3 | SERVER;
        bytes[1] = 2;
        bytes[24..32].copy_from_slice(&NONCE.to_be_bytes());
        bytes[32..40].copy_from_slice(&at(1_000_000.010 + ahead).0.to_be_bytes());
        bytes[40..48].copy_from_slice(&at(1_000_000.012 + ahead).0.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
        super::read(bytes, NONCE, at(1_000_000.0), at(1_000_000.022))
    }

    #[test]
    fn the_offset_is_told_within_half_of_the_way() {
        for ahead in [0.0, 3.5, -200.25] {
            let Ok(Some(Answer::Time(sample))) = read(&answer(ahead)) else { panic!("{ahead}") };
            assert!((sample.offset - ahead).abs() < 1e-6, "{ahead}: {sample:?}");
            assert!((sample.error - 0.010).abs() < 1e-6, "{sample:?}");
        }
    }

    #[test]
    fn seconds_that_begin_again_are_no_leap() {
        let (sent, back) = (Stamp(u64::MAX - 10), Stamp(u64::MAX).after(Duration::from_nanos(1_000)));
        assert!((back.minus(sent) - 1e-6).abs() < 1e-8);
    }

    #[test]
    fn what_is_no_answer_to_our_question_is_passed_over() {
        let foreign = |change: fn(&mut [u8; LENGTH])| {
            let mut bytes = answer(0.0);
            change(&mut bytes);
            read(&bytes)
        };
        assert_eq!(foreign(|bytes| bytes[24] ^= 1), Ok(None));
        assert_eq!(foreign(|bytes| bytes[0] = VERSION << 3 | CLIENT), Ok(None));
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn kisses_and_lost_servers_tell_nothing() {
        let told = |change: &dyn Fn(&mut [u8; LENGTH])| {
            let mut bytes = answer(0.0);
            change(&mut bytes);
            match read(&bytes) {
                Ok(Some(Answer::Nothing(why))) => why,
                other => panic!("{other:?}"),
            }
        };
        let kissed = told(&|bytes| {
            bytes[1] = 0;
            bytes[12..16].copy_from_slice(b"RATE");
        });
        assert_eq!(kissed, "it sends us away (RATE: it is asked too often)");
        assert!(told(&|bytes| bytes[0] |= 0xc0).contains("not synchronised"));
        assert!(told(&|bytes| bytes[1] = 16).contains("not synchronised"));
        assert!(told(&|bytes| bytes[8..12].copy_from_slice(&[0, 2, 0, 0])).contains("not synchronised"));
    }

    #[test]
    fn times_that_cannot_be_are_nonsense() {
        let mut bytes = answer(0.0);
        bytes[32..48].fill(0);
        assert!(read(&bytes).is_err());
        let mut bytes = answer(0.0);
        bytes[40..48].copy_from_slice(&at(999_999.0).0.to_be_bytes());
        assert!(read(&bytes).is_err());
    }
}
