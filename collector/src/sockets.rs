//! The listeners, bound before anything runs: a port that is taken is an error at the start, and
//! privileges may be dropped afterwards. Sockets that systemd passes (socket activation) are used in
//! place of new ones.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol as Transport, Socket, Type};

use crate::config::{Listen, Protocol, Syslog};
use crate::tls::{ServerTls, TlsError};

/// What the kernel is asked to hold for a UDP listener: a burst of some 10,000 messages, which it
/// counts at several times their length. Without privileges `net.core.rmem_max` is the limit.
const UDP_BUFFER_BYTES: usize = 16 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;
/// Every program of the machine may log, as with `/dev/log`.
const SOCKET_MODE: u32 = 0o666;

/// Sockets that whoever started the process has opened for it.
#[derive(Debug, Default)]
pub struct Inherited {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    datagram: Vec<UnixDatagram>,
    stream: Vec<UnixListener>,
}

impl Inherited {
    /// Those of `LISTEN_FDS` (sd_listen_fds(3)), if they are for this process. Others than listening
    /// and datagram sockets are left alone.
    #[must_use]
    pub fn from_env() -> Self {
        let mut passed = listenfd::ListenFd::from_env();
        let mut all = Self::default();
        for i in 0..passed.len() {
            // A descriptor of another kind than asked for stays where it is.
            if let Ok(Some(socket)) = passed.take_tcp_listener(i) {
                all.tcp.push(socket);
            } else if let Ok(Some(socket)) = passed.take_udp_socket(i) {
                all.udp.push(socket);
            } else if let Ok(Some(socket)) = passed.take_unix_datagram(i) {
                all.datagram.push(socket);
            } else if let Ok(Some(socket)) = passed.take_unix_listener(i) {
                all.stream.push(socket);
            } else {
                tracing::warn!("socket {i} that was passed is of no kind that is used here");
            }
        }
        all
    }

    /// The one that listens at this address, if it was passed.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        take(&mut self.tcp, |s| s.local_addr().ok() == Some(address))
    }

    fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        take(&mut self.udp, |s| s.local_addr().ok() == Some(address))
    }

    fn datagram(&mut self, path: &Path) -> Option<UnixDatagram> {
        let at = |s: &UnixDatagram| Some(s.local_addr().ok()?.as_pathname()?.to_owned());
        take(&mut self.datagram, |s| at(s).as_deref() == Some(path))
    }

    fn stream(&mut self, path: &Path) -> Option<UnixListener> {
        let at = |s: &UnixListener| Some(s.local_addr().ok()?.as_pathname()?.to_owned());
        take(&mut self.stream, |s| at(s).as_deref() == Some(path))
    }

    /// Where those that nobody asked for listen. They would take what nobody reads.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let ip = |a: io::Result<SocketAddr>| a.map_or_else(|e| e.to_string(), |a| a.to_string());
        let local = |a: io::Result<std::os::unix::net::SocketAddr>| match a {
            Ok(a) => a
                .as_pathname()
                .map_or_else(|| "without a name".to_owned(), |p| p.display().to_string()),
            Err(e) => e.to_string(),
        };
        let udp = self.udp.iter().map(|s| ip(s.local_addr()));
        let tcp = self.tcp.iter().map(|s| ip(s.local_addr()));
        let datagram = self.datagram.iter().map(|s| local(s.local_addr()));
        let stream = self.stream.iter().map(|s| local(s.local_addr()));
        udp.chain(tcp).chain(datagram).chain(stream).collect()
    }
}

fn take<T>(all: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    let i = all.iter().position(wanted)?;
    Some(all.swap_remove(i))
}

/// All listeners.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(crate) syslog: Vec<Listener>,
}

/// A bound listener and its table.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) config: Syslog,
    /// Where it listens; port 0 has become a real one.
    pub(crate) at: Listen,
    pub(crate) protocol: Protocol,
    pub(crate) socket: Bound,
    /// Taken away with the listener.
    pub(crate) file: Option<SocketFile>,
}

#[derive(Debug)]
pub(crate) enum Bound {
    Udp(UdpSocket),
    Tcp(TcpListener),
    Tls(TcpListener, Box<ServerTls>),
    Datagram(UnixDatagram),
    Stream(UnixListener),
}

/// A listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address or the path is not to be had.
    #[error(
        "syslog cannot listen on {at} ({protocol}): {source}; choose another place in [[syslog]], or stop whoever has it"
    )]
    Socket {
        /// Where.
        at: Listen,
        /// How.
        protocol: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("syslog.tls: {0}")]
    Tls(#[from] TlsError),
}

impl Sockets {
    /// Binds what the tables name. Needs no runtime.
    ///
    /// # Errors
    /// Names the first listener that could not be made.
    pub fn bind(tables: &[Syslog], inherited: &mut Inherited) -> Result<Self, BindError> {
        let mut syslog = Vec::new();
        for table in tables {
            for &protocol in &table.protocols {
                syslog.push(listener(table, protocol, inherited)?);
            }
        }
        Ok(Self { syslog })
    }

    /// Where the syslog listeners are, as bound (port 0 chooses one).
    pub fn syslog_listeners(&self) -> impl Iterator<Item = (Protocol, &Listen)> {
        self.syslog.iter().map(|l| (l.protocol, &l.at))
    }
}

fn listener(
    table: &Syslog,
    protocol: Protocol,
    inherited: &mut Inherited,
) -> Result<Listener, BindError> {
    let mut file = None;
    let socket = match &table.listen {
        Listen::Address(address) => at_address(*address, protocol, inherited),
        Listen::Path(path) => at_path(path, protocol, inherited, &mut file),
    };
    let failed = |source| BindError::Socket {
        at: table.listen.clone(),
        protocol: protocol.name(),
        source,
    };
    let mut socket = socket.map_err(failed)?;
    let at = match &socket {
        Bound::Udp(s) => s.local_addr().map_err(failed)?.into(),
        Bound::Tcp(s) => s.local_addr().map_err(failed)?.into(),
        _ => table.listen.clone(),
    };
    if let (Protocol::Tls, Some(tls), Bound::Tcp(tcp)) = (protocol, &table.tls, &socket) {
        let tcp = tcp.try_clone().map_err(failed)?;
        socket = Bound::Tls(tcp, Box::new(ServerTls::load(tls)?));
    }
    Ok(Listener {
        config: table.clone(),
        at,
        protocol,
        socket,
        file,
    })
}

fn at_address(
    address: SocketAddr,
    protocol: Protocol,
    inherited: &mut Inherited,
) -> io::Result<Bound> {
    match protocol {
        Protocol::Udp => {
            let socket = inherited.udp(address).map_or_else(|| udp(address), Ok)?;
            enlarge(&socket)?;
            socket.set_nonblocking(true)?;
            Ok(Bound::Udp(socket))
        }
        _ => {
            let socket = inherited.tcp(address).map_or_else(|| tcp(address), Ok)?;
            socket.set_nonblocking(true)?;
            Ok(Bound::Tcp(socket))
        }
    }
}

fn at_path(
    path: &Path,
    protocol: Protocol,
    inherited: &mut Inherited,
    file: &mut Option<SocketFile>,
) -> io::Result<Bound> {
    if protocol == Protocol::Stream {
        let socket = match inherited.stream(path) {
            Some(socket) => socket,
            None => at_free_path(path, |p| UnixListener::bind(p), file)?,
        };
        socket.set_nonblocking(true)?;
        return Ok(Bound::Stream(socket));
    }
    let socket = match inherited.datagram(path) {
        Some(socket) => socket,
        None => at_free_path(path, |p| UnixDatagram::bind(p), file)?,
    };
    enlarge(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(Bound::Datagram(socket))
}

/// Binds a path, after the socket that an earlier run may have left there was taken away.
fn at_free_path<S>(
    path: &Path,
    bind: impl Fn(&Path) -> io::Result<S>,
    file: &mut Option<SocketFile>,
) -> io::Result<S> {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) && !answers(path) {
        std::fs::remove_file(path)?;
    }
    let socket = bind(path)?;
    *file = Some(SocketFile(path.to_owned()));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(socket)
}

/// Whether somebody listens at this path.
fn answers(path: &Path) -> bool {
    let refused = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(e) if refused(&e) => false,
        // The wrong kind of socket: it is one of datagrams.
        Err(_) => UnixDatagram::unbound()
            .and_then(|s| s.connect(path))
            .is_ok(),
    }
}

/// The name of a socket in the file system, taken away at the end.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have been faster; there is nothing else to do then.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn enlarge(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_recv_buffer_size_force(socket, UDP_BUFFER_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, UDP_BUFFER_BYTES))?;
    Ok(())
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Transport::UDP))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Transport::TCP))?;
    // A restart does not wait for the connections of the last run.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, protocol: Protocol) -> Syslog {
        Syslog {
            listen: Listen::Path(path.to_owned()),
            protocols: vec![protocol],
            ..Syslog::default()
        }
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, protocol) in [Protocol::Datagram, Protocol::Stream].iter().enumerate() {
            let path = dir.path().join(kind.to_string());
            let table = [at(&path, *protocol)];
            // Bound and dropped without taking the name away, as kill -9 leaves it.
            drop(UnixDatagram::bind(&path).unwrap());
            let bound = Sockets::bind(&table, &mut Inherited::default()).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, SOCKET_MODE);
            let second = Sockets::bind(&table, &mut Inherited::default());
            let message = second.unwrap_err().to_string();
            assert!(message.contains("in use"), "{message}");
            drop(bound);
            assert!(!path.exists(), "taken away at the end");
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let table = [at(&file, Protocol::Datagram)];
        assert!(Sockets::bind(&table, &mut Inherited::default()).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn a_passed_socket_is_used_where_its_address_is_asked_for() {
        let passed = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = passed.local_addr().unwrap();
        let mut inherited = Inherited {
            udp: vec![passed],
            tcp: vec![TcpListener::bind("127.0.0.1:0").unwrap()],
            ..Inherited::default()
        };
        let table = Syslog {
            listen: address.into(),
            protocols: vec![Protocol::Udp],
            ..Syslog::default()
        };
        let sockets = Sockets::bind(&[table], &mut inherited).unwrap();
        assert_eq!(
            sockets.syslog_listeners().collect::<Vec<_>>(),
            [(Protocol::Udp, &Listen::Address(address))]
        );
        assert_eq!(inherited.unused().len(), 1, "the other one is named");
    }
}
