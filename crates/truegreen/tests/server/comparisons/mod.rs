//! Caches held against their sources, on real ones.

mod hostile;
mod shop;
mod stale;
