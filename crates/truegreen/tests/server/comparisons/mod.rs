//! Caches held against their sources, on real ones.

mod hostile;
mod keys;
mod shop;
mod stale;
