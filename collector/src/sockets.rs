//! The listeners, bound before anything runs: a port that is taken is an error at the start, and
//! privileges may be dropped afterwards.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol as Transport, Socket, Type};

use crate::config::{Config, Protocol, Syslog};

/// What the kernel is asked to hold for a UDP listener: a burst of some 10,000 messages, which it
/// counts at several times their length. Without privileges `net.core.rmem_max` is the limit.
const UDP_BUFFER_BYTES: usize = 16 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;

/// All listeners.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(crate) syslog: Vec<Listener>,
}

/// A bound listener and its table.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) config: Syslog,
    pub(crate) socket: Bound,
}

#[derive(Debug)]
pub(crate) enum Bound {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "syslog cannot listen on {address} ({protocol}): {source}; choose another address in [[syslog]], or stop whoever has it"
)]
pub struct BindError {
    address: SocketAddr,
    protocol: &'static str,
    source: std::io::Error,
}

impl Sockets {
    /// Binds what the configuration names. Needs no runtime.
    ///
    /// # Errors
    /// Names the first address that could not be bound.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let mut syslog = Vec::new();
        for table in &config.syslog {
            for &protocol in &table.protocols {
                let (name, socket) = match protocol {
                    Protocol::Udp => ("udp", udp(table.listen).map(Bound::Udp)),
                    Protocol::Tcp => ("tcp", tcp(table.listen).map(Bound::Tcp)),
                };
                let socket = socket.map_err(|source| BindError {
                    address: table.listen,
                    protocol: name,
                    source,
                })?;
                let config = table.clone();
                syslog.push(Listener { config, socket });
            }
        }
        Ok(Self { syslog })
    }

    /// The addresses of the syslog listeners, as bound (port 0 chooses one).
    #[must_use]
    pub fn syslog_addresses(&self) -> Vec<(Protocol, SocketAddr)> {
        let address = |l: &Listener| match &l.socket {
            Bound::Udp(s) => Some((Protocol::Udp, s.local_addr().ok()?)),
            Bound::Tcp(s) => Some((Protocol::Tcp, s.local_addr().ok()?)),
        };
        self.syslog.iter().filter_map(address).collect()
    }
}

fn udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Transport::UDP),
    )?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, UDP_BUFFER_BYTES).or_else(
        |_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, UDP_BUFFER_BYTES),
    )?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Transport::TCP),
    )?;
    // A restart does not wait for the connections of the last run.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
