//! What is acknowledged is never lost: senders that retry, a network that delays, doubles and loses, a disk that tears
//! and forgets, and a server between them that crashes at any effect; with the real log, the real order of append,
//! sync, acknowledge and checkpoint, and the real engine.
//!
//! What it is not: the server's own threads. They perform the same effects; `cargo xtask crash` kills those.
//!
//! Read in this order: [`shape`] (what a world is drawn from), [`sender`], [`server`] (performs what the order says),
//! [`witness`] (what the order promises, kept account of by someone else), [`history`] (what must be true after a
//! restart), [`world`] (all of them in simulated time), [`campaign`] (many worlds; a broken one made small).

pub mod campaign;
pub mod history;
pub mod sender;
pub mod server;
pub mod shape;
pub mod witness;
pub mod world;

/// Which sentence is not true, and how that shows.
pub type Broken = String;
