//! Ports that nobody listens on.

use std::net::TcpListener;

/// A free port on loopback. Somebody else may take it before it is used; who starts a server on it tries again then.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
