//! The dates of a certificate. Everything else of it is the verifier's; the dates alone would not be worth a parser of all.

use rustls::pki_types::UnixTime;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when, and whether it is its own issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Validity {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    pub(super) is_self_signed: bool,
}

impl Validity {
    /// This time, or the nearest to it at which it is valid.
    pub(super) fn nearest(&self, time: UnixTime) -> UnixTime {
        time.min(self.not_after).max(self.not_before)
    }
}

/// Of a certificate in DER (RFC 5280, section 4.1); none where it is not one.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    let (_, fields) = element(fields, INTEGER)?;
    let (_, fields) = element(fields, SEQUENCE)?;
    let (issuer, fields) = element(fields, SEQUENCE)?;
    let (dates, fields) = element(fields, SEQUENCE)?;
    let (subject, _) = element(fields, SEQUENCE)?;
    let (not_before, dates) = time(dates)?;
    let (not_after, _) = time(dates)?;
    Some(Validity { not_before, not_after, is_self_signed: issuer == subject })
}

/// The content of the element of this tag, and what stands after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        // No certificate is longer than what three bytes tell.
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn time(der: &[u8]) -> Option<(UnixTime, &[u8])> {
    let (text, rest, is_short) = match element(der, UTC_TIME) {
        Some((text, rest)) => (text, rest, true),
        None => element(der, GENERALIZED_TIME).map(|(text, rest)| (text, rest, false))?,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if text.len() != if is_short { 12 } else { 14 } || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // Two digits stand for 1950 to 2049.
    let century = match (is_short, text.get(..2)?) {
        (false, _) => "",
        (true, year) if year >= "50" => "19",
        _ => "20",
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", format!("{century}{text}")).ok()?;
    let seconds = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some((UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0))), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_after: rcgen::CertificateParams) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        not_after.self_signed(&key).unwrap().der().to_vec()
    }

    fn lasting(until: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        certificate(params)
    }

    #[test]
    fn dates_of_both_forms_are_read() {
        for (until, seconds) in [((2030, 6, 1), 1_906_502_400), ((2075, 6, 1), 3_326_572_800)] {
            let validity = validity(&lasting(until)).unwrap();
            assert_eq!((validity.not_before.as_secs(), validity.not_after.as_secs()), (1_577_923_200, seconds));
            assert!(validity.is_self_signed);
        }
    }

    #[test]
    fn whatever_is_cut_short_or_turned_is_no_certificate_and_no_panic() {
        let whole = lasting((2030, 6, 1));
        for length in 0..whole.len() {
            assert_eq!(validity(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            let mut turned = whole.clone();
            turned[at] ^= 0xff;
            let _either = validity(&turned);
        }
    }
}
