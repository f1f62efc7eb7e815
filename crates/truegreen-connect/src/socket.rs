//! What every socket shares: where it goes, and why it did not get there.

use std::io;

use crate::{Address, Error};

/// Host and port for a socket, an IPv6 address without its brackets.
pub(crate) fn host_and_port(address: &Address, usual_port: u16) -> (String, u16) {
    let host = address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, address.secret_url().port_or_known_default().unwrap_or(usual_port))
}

/// What the system said of a socket, in words that do not depend on it.
pub(crate) fn why(error: &io::Error) -> Error {
    let said = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused: nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "it broke the connection off".to_owned()
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "no route leads there".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection in the middle of its answer".to_owned(),
        _ => error.to_string(),
    };
    Error::Unreachable(said)
}
