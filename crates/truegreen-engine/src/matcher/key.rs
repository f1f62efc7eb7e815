//! Keys as 128-bit hashes, stable across restarts and machines since they are stored.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use truegreen_model::observation::KeyHash;

const LOW: RapidSecrets = RapidSecrets::seed_cpp(0x7472_7565_6772_656e);
const HIGH: RapidSecrets = RapidSecrets::seed_cpp(0x626f_6f6b_7321_2121);

/// The text of a key; that of a UUID needs no memory of its own.
pub(crate) type KeyText = SmallVec<[u8; 40]>;

/// The primary name of a journey; a contract's n-th `bind` is n + 1.
pub(crate) const PRIMARY: u8 = 0;

/// Stable 64-bit hash.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    rapidhash_v3_seeded(bytes, &LOW)
}

/// Folds another number into a hash.
pub(crate) fn mix(hash: u64, with: u64) -> u64 {
    let product = u128::from(hash ^ 0x9e37_79b9_7f4a_7c15) * u128::from(with ^ 0xd6e8_feb8_6659_fd93);
    (product >> 64) as u64 ^ product as u64
}

/// The key of this text, in this scope, by this one of the flow's names for a journey.
pub(crate) fn key(scope: u64, name: u8, text: &[u8]) -> KeyHash {
    let within = mix(scope, u64::from(name));
    let low = mix(rapidhash_v3_seeded(text, &LOW), within);
    let high = mix(rapidhash_v3_seeded(text, &HIGH), within.rotate_left(32));
    KeyHash(u128::from(high) << 64 | u128::from(low))
}
