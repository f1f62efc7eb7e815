//! What every socket shares: where it goes, and why it did not get there.

use std::io;

use crate::{Address, Error};

/// Host and port for a socket, an IPv6 address without its brackets.
pub(crate) fn host_and_port(address: &Address, usual_port: u16) -> (String, u16) {
    let host = address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, address.secret_url().port_or_known_default().unwrap_or(usual_port))
}

/// Whether any of these (`host:port`) takes connections, for clients that only tell that something took too long. Blocks, but
/// briefly: a connection that is made at all is made at once.
#[cfg(any(feature = "nats", feature = "kafka"))]
pub(crate) fn takes_connections(hosts: &[String]) -> bool {
    use std::net::{TcpStream, ToSocketAddrs};
    const BRIEFLY: std::time::Duration = std::time::Duration::from_millis(500);
    const AT_MOST: usize = 4;
    let addresses = hosts.iter().filter_map(|host| host.to_socket_addrs().ok()).flatten().take(AT_MOST);
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, BRIEFLY).is_ok())
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
