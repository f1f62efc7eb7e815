//! The words about a request that intake, log and run loop share: why it is not taken, whose it is, and its share of
//! the memory for bodies. They know nothing of each other; [`ingest`](crate::ingest) hands to
//! [`durable`](crate::durable), and that to [`run_loop`](crate::run_loop).

mod refusal;
mod reservation;
mod sender;

pub use refusal::Refusal;
pub use reservation::{ByteBudget, Reservation};
pub use sender::Sender;
