//! The tokens by which orders shows payments who it is: valid from when they were issued, for a while, each by its own
//! service's clock.
//!
//! They are not signed: nobody attacks the demo. What matters is which clock says when.

use std::sync::{Mutex, PoisonError};

/// How long a token is valid.
pub(crate) const LIFE_MS: i64 = 30_000;
/// A token that is valid for less than this is replaced.
pub(crate) const RENEWED_BEFORE_MS: i64 = 10_000;

const SCHEME: &str = "Bearer ";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    not_before_ms: i64,
    expires_ms: i64,
}

/// Why a token is not accepted, as written in `error.type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Missing,
    NotYetValid,
    Expired,
}

impl Refused {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Refused::Missing => "missing",
            Refused::NotYetValid => "not_yet_valid",
            Refused::Expired => "expired",
        }
    }
}

impl Token {
    pub(crate) fn issue(now_ms: i64) -> Token {
        Token { not_before_ms: now_ms, expires_ms: now_ms.saturating_add(LIFE_MS) }
    }

    /// The value of an `Authorization` header.
    pub(crate) fn authorization(self) -> String {
        format!("{SCHEME}{}.{}", self.not_before_ms, self.expires_ms)
    }

    /// Whether the token in an `Authorization` header is valid at `now_ms`, give or take `leeway_ms`.
    pub(crate) fn check(authorization: Option<&str>, now_ms: i64, leeway_ms: i64) -> Result<(), Refused> {
        let token = authorization.and_then(Token::read).ok_or(Refused::Missing)?;
        if now_ms.saturating_add(leeway_ms) < token.not_before_ms {
            return Err(Refused::NotYetValid);
        }
        if now_ms.saturating_sub(leeway_ms) >= token.expires_ms {
            return Err(Refused::Expired);
        }
        Ok(())
    }

    fn read(authorization: &str) -> Option<Token> {
        let (not_before, expires) = authorization.strip_prefix(SCHEME)?.split_once('.')?;
        Some(Token { not_before_ms: not_before.parse().ok()?, expires_ms: expires.parse().ok()? })
    }
}

/// The token in use; a new one is issued when it nears its end.
#[derive(Debug, Default)]
pub(crate) struct Wallet(Mutex<Option<Token>>);

impl Wallet {
    pub(crate) fn token(&self, now_ms: i64) -> Token {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = held.filter(|token| token.expires_ms - now_ms >= RENEWED_BEFORE_MS);
        *held.insert(fresh.unwrap_or_else(|| Token::issue(now_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFE_MS, RENEWED_BEFORE_MS, Refused, Token, Wallet};

    #[test]
    fn a_token_is_valid_from_its_issue_to_its_end_give_or_take_the_leeway() {
        let shown = Token::issue(100_000).authorization();
        let check = |now_ms| Token::check(Some(&shown), now_ms, 1_000);
        assert_eq!(check(98_999), Err(Refused::NotYetValid));
        assert_eq!(check(99_000), Ok(()));
        assert_eq!(check(100_000 + LIFE_MS + 999), Ok(()));
        assert_eq!(check(100_000 + LIFE_MS + 1_000), Err(Refused::Expired));
        for unreadable in [None, Some(""), Some("Bearer "), Some("Bearer 1"), Some("Basic 1.2"), Some("Bearer a.b")] {
            assert_eq!(Token::check(unreadable, 100_000, 0), Err(Refused::Missing), "{unreadable:?}");
        }
    }

    #[test]
    fn a_wallet_renews_its_token_before_the_end() {
        let wallet = Wallet::default();
        let first = wallet.token(0);
        assert_eq!(wallet.token(LIFE_MS - RENEWED_BEFORE_MS), first);
        let renewal = LIFE_MS - RENEWED_BEFORE_MS + 1;
        assert_eq!(wallet.token(renewal), Token::issue(renewal));
    }
}
