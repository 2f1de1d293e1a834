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
use crate::inherited::Inherited;
use crate::overlap;
use crate::tls::{ServerTls, TlsError};

/// What the kernel is asked to hold for a UDP listener: a burst of some 10,000 messages, which it
/// counts at several times their length. Without privileges `net.core.rmem_max` is the limit.
const UDP_BUFFER_BYTES: usize = 16 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;
/// Every program of the machine may log, as with `/dev/log`.
const SOCKET_MODE: u32 = 0o666;

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
        "syslog cannot listen on {at} ({protocol}): {why}; choose another place in [[syslog]], or stop whoever has it"
    )]
    Socket {
        /// Where.
        at: Listen,
        /// How.
        protocol: &'static str,
        /// Why not. No source: the text has it.
        why: io::Error,
    },
    /// Two tables want the same.
    #[error(
        "two tables [[syslog]] clash: listen = \"{first}\" takes what comes to listen = \"{second}\" ({protocol}); leave one of them away, or give it another port"
    )]
    Clash {
        /// The one that has it.
        first: Listen,
        /// The one that cannot have it.
        second: Listen,
        /// By which protocol.
        protocol: &'static str,
    },
    /// A socket that was passed takes what a table wants.
    #[error(
        "syslog cannot listen on {at} ({protocol}): the socket {passed} that was passed takes it; write listen = \"{passed}\" in [[syslog]], or change the socket unit"
    )]
    Passed {
        /// Where.
        at: Listen,
        /// By which protocol.
        protocol: &'static str,
        /// Where the passed one listens.
        passed: SocketAddr,
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
        let mut sockets = Self::default();
        for (table, protocol) in each(tables) {
            sockets.add((table, protocol), tables, inherited)?;
        }
        Ok(sockets)
    }

    /// Binds as much as can be, and tells of the rest: which tables stand in each other's way shows only
    /// when all are bound at once.
    #[must_use]
    pub fn try_all(tables: &[Syslog]) -> (Self, Vec<BindError>) {
        let (mut sockets, mut errors) = (Self::default(), Vec::new());
        for one in each(tables) {
            errors.extend(sockets.add(one, tables, &mut Inherited::default()).err());
        }
        (sockets, errors)
    }

    fn add(
        &mut self,
        (table, protocol): (&Syslog, Protocol),
        tables: &[Syslog],
        inherited: &mut Inherited,
    ) -> Result<(), BindError> {
        let error = match listener((table, protocol), tables, inherited) {
            Ok(listener) => {
                self.syslog.push(listener);
                return Ok(());
            }
            Err(error) => error,
        };
        let BindError::Socket { at, why, .. } = &error else {
            return Err(error);
        };
        if why.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        let (at, protocol_name) = (at.clone(), protocol.name());
        let stands = |l: &&Listener| {
            overlap::is_same_transport(l.protocol, protocol) && overlap::takes(&l.at, &at)
        };
        if let Some(first) = self.syslog.iter().find(stands) {
            return Err(BindError::Clash {
                first: first.config.listen.clone(),
                second: at,
                protocol: protocol_name,
            });
        }
        match inherited.in_the_way(&at, protocol) {
            Some(passed) => Err(BindError::Passed {
                at,
                protocol: protocol_name,
                passed,
            }),
            None => Err(error),
        }
    }

    /// Where the syslog listeners are, as bound (port 0 chooses one).
    pub fn syslog_listeners(&self) -> impl Iterator<Item = (Protocol, &Listen)> {
        self.syslog.iter().map(|l| (l.protocol, &l.at))
    }
}

/// Each listener that the tables name.
fn each(tables: &[Syslog]) -> impl Iterator<Item = (&Syslog, Protocol)> {
    tables
        .iter()
        .flat_map(|table| table.protocols.iter().map(move |&p| (table, p)))
}

fn listener(
    (table, protocol): (&Syslog, Protocol),
    tables: &[Syslog],
    inherited: &mut Inherited,
) -> Result<Listener, BindError> {
    let mut file = None;
    let socket = match &table.listen {
        Listen::Address(address) => at_address((*address, protocol), tables, inherited),
        Listen::Path(path) => at_path(path, protocol, inherited, &mut file),
    };
    let failed = |why| BindError::Socket {
        at: table.listen.clone(),
        protocol: protocol.name(),
        why,
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
    (address, protocol): (SocketAddr, Protocol),
    tables: &[Syslog],
    inherited: &mut Inherited,
) -> io::Result<Bound> {
    let dual = overlap::dual(address, protocol, tables);
    let only_v6 = overlap::is_only_v6(address, protocol, tables);
    match protocol {
        Protocol::Udp => {
            let passed = inherited.udp(address).or_else(|| inherited.dual_udp(dual));
            let socket = passed.map_or_else(|| udp(address, only_v6), Ok)?;
            enlarge(&socket)?;
            socket.set_nonblocking(true)?;
            Ok(Bound::Udp(socket))
        }
        _ => {
            let passed = inherited.tcp(address).or_else(|| inherited.dual_tcp(dual));
            let socket = passed.map_or_else(|| tcp(address, only_v6), Ok)?;
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

fn udp(address: SocketAddr, only_v6: bool) -> io::Result<UdpSocket> {
    let socket = socket(address, only_v6, (Type::DGRAM, Transport::UDP))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = socket(address, only_v6, (Type::STREAM, Transport::TCP))?;
    // A restart does not wait for the connections of the last run.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Not bound yet. `[::]` is for both families whatever `net.ipv6.bindv6only` says, unless `only_v6`.
fn socket(
    address: SocketAddr,
    only_v6: bool,
    (kind, transport): (Type, Transport),
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(transport))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inherited::is_dual;

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

    /// Tables for these addresses with the port of a free one.
    fn tables(port: u16, hosts: &[&str], protocol: Protocol) -> Vec<Syslog> {
        let table = |host: &&str| Syslog {
            listen: Listen::Address(format!("{host}:{port}").parse().unwrap()),
            protocols: vec![protocol],
            ..Syslog::default()
        };
        hosts.iter().map(table).collect()
    }

    fn free_port() -> u16 {
        let socket = TcpListener::bind("[::]:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn both_families_may_be_named_and_clashes_are() {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for hosts in [
                &["0.0.0.0", "[::]"][..],
                &["[::]", "0.0.0.0"],
                &["[::]"],
                &["127.0.0.1", "[::1]"],
                &["0.0.0.0", "[::1]"],
            ] {
                let (sockets, errors) = Sockets::try_all(&tables(free_port(), hosts, protocol));
                assert!(errors.is_empty(), "{hosts:?} {errors:?}");
                let dual = |l: &Listener| match &l.socket {
                    Bound::Udp(s) => is_dual(s),
                    Bound::Tcp(s) => is_dual(s),
                    _ => false,
                };
                let wide = |l: &&Listener| l.at.to_string().starts_with("[::]:") && dual(l);
                let duals = sockets.syslog.iter().filter(wide).count();
                assert_eq!(duals, usize::from(*hosts == ["[::]"]), "{hosts:?}");
            }
            for (hosts, first, second) in [
                (["0.0.0.0", "127.0.0.1"], "0.0.0.0", "127.0.0.1"),
                (["127.0.0.1", "[::]"], "127.0.0.1", "[::]"),
                (["0.0.0.0", "0.0.0.0"], "0.0.0.0", "0.0.0.0"),
            ] {
                let port = free_port();
                let all = tables(port, &hosts, protocol);
                let (_, errors) = Sockets::try_all(&all);
                let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
                let expected = format!(
                    "two tables [[syslog]] clash: listen = \"{first}:{port}\" takes what comes to listen = \"{second}:{port}\""
                );
                assert!(
                    said.len() == 1 && said[0].starts_with(&expected),
                    "{said:?}"
                );
                let bound = Sockets::bind(&all, &mut Inherited::default());
                assert_eq!(bound.unwrap_err().to_string(), said[0], "run says the same");
            }
        }
    }

    #[test]
    fn a_passed_socket_for_both_families_is_used_or_named() {
        let pass = || {
            let udp = UdpSocket::bind("[::]:0").unwrap();
            let port = udp.local_addr().unwrap().port();
            let inherited = Inherited {
                udp: vec![udp],
                ..Inherited::default()
            };
            (inherited, port)
        };
        let (mut inherited, port) = pass();
        let all = tables(port, &["0.0.0.0"], Protocol::Udp);
        let sockets = Sockets::bind(&all, &mut inherited).unwrap();
        let at: Vec<_> = sockets
            .syslog_listeners()
            .map(|l| l.1.to_string())
            .collect();
        assert_eq!(at, [format!("[::]:{port}")]);
        assert!(inherited.unused().is_empty());
        let (mut inherited, port) = pass();
        let all = tables(port, &["127.0.0.1"], Protocol::Udp);
        let refused = Sockets::bind(&all, &mut inherited).unwrap_err().to_string();
        let named = format!(
            "the socket [::]:{port} that was passed takes it; write listen = \"[::]:{port}\""
        );
        assert!(refused.contains(&named), "{refused}");
    }
}
