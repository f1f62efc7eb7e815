//! What PostgreSQL and MySQL share: reading a statement without running it, names, connections, reasons, table queues.

pub(crate) mod lines;
pub(crate) mod name;
pub(crate) mod peer;
pub(crate) mod pieces;
pub(crate) mod question;
pub(crate) mod scratch;
pub(crate) mod table_queue;
