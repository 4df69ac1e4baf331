//! Plain TCP: listening sockets and the sockets they accept.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system may hold before they are accepted; it lowers this to its own bound
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// Opens one listening socket for each address that `host` stands for.
///
/// # Errors
/// What the system says of the first address that cannot be listened on.
pub fn listen(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut chosen_port = port;
    for address in (host, port).to_socket_addrs()? {
        // A name such as `localhost` stands for two addresses: they share the port that was picked
        // for the first.
        let listener = listen_on(SocketAddr::new(address.ip(), chosen_port))?;
        chosen_port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host name has no address"));
    }
    Ok(listeners)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that was restarted takes its port back at once, whatever old connections linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && !address.ip().is_unspecified() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
