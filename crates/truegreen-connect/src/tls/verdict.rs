//! A chain of certificates judged as of some time.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use truegreen_model::probe::{Check, Standing};

use super::certificate::{Validity, validity};
use super::trust::{self, date, provider};
use super::unreadable;
use crate::config::Limit;

const DAY_SECONDS: f64 = 86_400.0;

/// Whether it is trusted and for this name, by the verifier that clients use, and how long it lasts. Each is told even where
/// another is wrong: who renews what expired wants to know what else is.
pub(super) fn judge(
    chain: &[CertificateDer<'static>],
    name: &ServerName<'_>,
    now: UnixTime,
    roots: Arc<RootCertStore>,
    limit: Limit,
) -> Vec<Check> {
    let Some((own, others)) = chain.split_first() else {
        return vec![unreadable("the server showed none")];
    };
    let Some(own_validity) = validity(own) else { return vec![unreadable("its dates make no sense")] };
    // Dates are judged apart; on a day of its validity the rest is the same.
    let as_of = own_validity.nearest(now);
    let mut checks = vec![trusted(own, others, name, as_of, roots, &own_validity)];
    let of_name = named(&checks);
    checks.extend(of_name);
    checks.extend(lasting(&own_validity, others, now, limit));
    checks
}

/// `trust`, or what the verifier says of the name instead: it looks at the name last, so that all else was well.
fn trusted(
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    as_of: UnixTime,
    roots: Arc<RootCertStore>,
    validity: &Validity,
) -> Check {
    let verifier = match WebPkiServerVerifier::builder_with_provider(roots, provider()).build() {
        Ok(verifier) => verifier,
        Err(error) => return Check::new("trust", Standing::Unknown, format!("cannot be judged: {error}")),
    };
    match verifier.verify_server_cert(own, others, name, &[], as_of) {
        Ok(_) => Check::pass("trust"),
        Err(rustls::Error::InvalidCertificate(error)) => {
            let is_of_name =
                matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
            let hint = match &error {
                CertificateError::UnknownIssuer if validity.is_self_signed => {
                    ": it is signed by itself\nhint: name a file with it under `ca`, if that is meant"
                }
                CertificateError::UnknownIssuer if others.is_empty() => {
                    "\nhint: name its authority under `ca`; or the server lacks the certificates in between"
                }
                CertificateError::UnknownIssuer => "\nhint: name its authority under `ca`, if that is meant",
                _ => "",
            };
            let what = format!("its certificate {}{hint}", trust::certificate(&error));
            Check::new(if is_of_name { "name" } else { "trust" }, Standing::Fail, what)
        }
        Err(error) => Check::new("trust", Standing::Fail, format!("its certificate cannot be read: {error}")),
    }
}

/// Where only the name is wrong the trust is well, and the other way round nothing is known of the name.
fn named(checks: &[Check]) -> Option<Check> {
    match checks.first() {
        Some(check) if check.measurement == "name" => Some(Check::pass("trust")),
        Some(check) if check.standing == Standing::Pass => Some(Check::pass("name")),
        _ => None,
    }
}

/// Until when all of them are valid that are sent; an authority that signs itself is ours to know, not theirs to send.
fn lasting(own: &Validity, others: &[CertificateDer<'_>], now: UnixTime, limit: Limit) -> Vec<Check> {
    let others: Vec<Validity> =
        others.iter().filter_map(|one| validity(one)).filter(|one| !one.is_self_signed).collect();
    let mut checks = Vec::new();
    if let Some(begins) = others.iter().chain([own]).map(|one| one.not_before).max().filter(|begins| *begins > now) {
        let reason =
            format!("its certificate is not valid before {}\nhint: see the clocks of both sides", date(begins));
        checks.push(Check::new("valid_from", Standing::Fail, reason));
    }
    let earliest = others.iter().map(|one| one.not_after).min().filter(|ends| *ends < own.not_after);
    let (ends, whose) = match earliest {
        Some(ends) => (ends, "a certificate in its chain"),
        None => (own.not_after, "its certificate"),
    };
    let days = (ends.as_secs() as f64 - now.as_secs() as f64) / DAY_SECONDS;
    let under = |bound: Option<f64>| bound.filter(|bound| days <= *bound);
    let (standing, reason) = match (under(limit.fail), under(limit.warn)) {
        _ if days < 0.0 => (Standing::Fail, format!("{whose} expired on {}", date(ends))),
        (Some(bound), _) => (Standing::Fail, format!("{}; fails from {bound} days on", left(whose, ends, days))),
        (None, Some(bound)) => (Standing::Warn, format!("{}; warns from {bound} days on", left(whose, ends, days))),
        (None, None) => (Standing::Pass, left(whose, ends, days)),
    };
    checks.push(Check::new("days_left", standing, reason).observed((days * 10.0).round() / 10.0, "days"));
    checks
}

fn left(whose: &str, ends: UnixTime, days: f64) -> String {
    format!("{whose} lasts {days:.0} days more, until {}", date(ends))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    const NAME: &str = "shop.example";

    fn params(name: &str, until: (i32, u8, u8), is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    /// Own, in between, and an authority that signs itself and ended long ago; the last is trusted and sent too.
    fn chain() -> (Vec<CertificateDer<'static>>, Arc<RootCertStore>) {
        let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
        let [own_key, between_key, root_key] = keys;
        let root_params = params("root", (2021, 1, 1), true);
        let root: Certificate = root_params.self_signed(&root_key).unwrap();
        let between_params = params("between", (2030, 1, 11), true);
        let between = between_params.signed_by(&between_key, &Issuer::new(root_params, root_key)).unwrap();
        let own = params(NAME, (2031, 1, 1), false);
        let own = own.signed_by(&own_key, &Issuer::new(between_params, between_key)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        (vec![own.der().clone(), between.der().clone(), root.der().clone()], Arc::new(roots))
    }

    fn told(year: i16, month: i8, day: i8) -> Vec<String> {
        let (chain, roots) = chain();
        let now = jiff::civil::date(year, month, day).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().cast_unsigned()));
        let checks = judge(&chain, &ServerName::try_from(NAME).unwrap(), now, roots, super::super::USUAL);
        let line = |check: &Check| format!("{} {}: {}", check.measurement, check.standing.name(), check.reason);
        checks.iter().filter(|check| !check.reason.is_empty()).map(line).collect()
    }

    /// Guarantee: what ends first in the chain counts, and an authority's own end does not, since nobody looks at it.
    #[test]
    fn the_earliest_end_in_the_chain_counts() {
        let left = "a certificate in its chain lasts";
        assert_eq!(told(2029, 12, 1), [format!("days_left pass: {left} 41 days more, until 2030-01-11")]);
        let warns = format!("days_left warn: {left} 21 days more, until 2030-01-11; warns from 21 days on");
        assert_eq!(told(2029, 12, 21), [warns]);
        let fails = format!("days_left fail: {left} 7 days more, until 2030-01-11; fails from 7 days on");
        assert_eq!(told(2030, 1, 4), [fails]);
        assert!(
            told(2030, 2, 1).contains(&"days_left fail: a certificate in its chain expired on 2030-01-11".to_owned())
        );
        assert_eq!(
            told(2019, 1, 1)[0],
            "valid_from fail: its certificate is not valid before 2020-01-01\nhint: see the clocks of both sides"
        );
    }

    #[test]
    fn what_shows_no_certificate_is_unknown() {
        let name = ServerName::try_from(NAME).unwrap();
        for chain in [vec![], vec![CertificateDer::from(b"garbage".to_vec())]] {
            let checks = judge(
                &chain,
                &name,
                UnixTime::since_unix_epoch(std::time::Duration::ZERO),
                chain_roots(),
                Limit::default(),
            );
            assert_eq!(checks.iter().map(|check| check.standing).collect::<Vec<_>>(), [Standing::Unknown]);
        }
    }

    fn chain_roots() -> Arc<RootCertStore> {
        chain().1
    }
}
