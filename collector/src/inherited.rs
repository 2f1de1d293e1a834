//! Sockets that systemd passes (socket activation), found by what the configuration names.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use crate::config::{Listen, Protocol};
use crate::overlap;

/// Sockets that whoever started the process has opened for it.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) datagram: Vec<UnixDatagram>,
    pub(crate) stream: Vec<UnixListener>,
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

    pub(crate) fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        take(&mut self.udp, |s| s.local_addr().ok() == Some(address))
    }

    /// One for both families at this address.
    pub(crate) fn dual_tcp(&mut self, address: Option<SocketAddr>) -> Option<TcpListener> {
        let address = address?;
        take(&mut self.tcp, |s| {
            s.local_addr().ok() == Some(address) && is_dual(s)
        })
    }

    pub(crate) fn dual_udp(&mut self, address: Option<SocketAddr>) -> Option<UdpSocket> {
        let address = address?;
        take(&mut self.udp, |s| {
            s.local_addr().ok() == Some(address) && is_dual(s)
        })
    }

    /// The one that was passed and takes what is wanted here.
    pub(crate) fn in_the_way(&self, wanted: &Listen, protocol: Protocol) -> Option<SocketAddr> {
        let udp = self.udp.iter().filter_map(|s| s.local_addr().ok());
        let tcp = self.tcp.iter().filter_map(|s| s.local_addr().ok());
        let mut passed: Box<dyn Iterator<Item = SocketAddr>> = match protocol {
            Protocol::Udp => Box::new(udp),
            Protocol::Tcp | Protocol::Tls => Box::new(tcp),
            Protocol::Datagram | Protocol::Stream => return None,
        };
        passed.find(|&a| overlap::takes(&Listen::Address(a), wanted))
    }

    pub(crate) fn datagram(&mut self, path: &Path) -> Option<UnixDatagram> {
        let at = |s: &UnixDatagram| Some(s.local_addr().ok()?.as_pathname()?.to_owned());
        take(&mut self.datagram, |s| at(s).as_deref() == Some(path))
    }

    pub(crate) fn stream(&mut self, path: &Path) -> Option<UnixListener> {
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

/// Whether an IPv6 socket takes IPv4 too.
pub(crate) fn is_dual(socket: &impl std::os::fd::AsFd) -> bool {
    matches!(socket2::SockRef::from(socket).only_v6(), Ok(false))
}

fn take<T>(all: &mut Vec<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    let i = all.iter().position(wanted)?;
    Some(all.swap_remove(i))
}
