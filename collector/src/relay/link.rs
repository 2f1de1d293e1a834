//! A connection to a target: written with a count of what has arrived, read for its answers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::config::Relay;

/// How long a target may take to accept a connection, and to agree on TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// A target that takes nothing for so long is gone.
const SILENT: Duration = Duration::from_secs(60);
/// How long a write or a read waits before the caller may look at the shutdown.
const STEP: Duration = Duration::from_millis(250);
/// Bytes that were taken behind others prove that those went on: no proxy holds back as many, its own buffers
/// and those of the kernels on both of its sides included (6 MiB to receive and 4 MiB to send each, by default).
const PASSED_BYTES: u64 = 32 << 20;
/// Bytes of an answer's line.
const LINE_LEN_MAX: usize = 4096;
/// Bytes given to TLS at once.
const TLS_STEP: usize = 16 << 10;

/// See the module.
pub(super) struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes that the kernel has taken.
    written: u64,
    /// Where messages end in them, with the number of their last event.
    ends: VecDeque<(u64, u64)>,
    /// The same of those that the other side's kernel has acknowledged, and when that was noticed.
    acknowledged: VecDeque<(Instant, u64, u64)>,
    /// The last event of them.
    reached: u64,
    settle: Duration,
    inbox: Vec<u8>,
    /// Since when the other side has taken nothing.
    stuck: Option<Instant>,
}

/// Asked while the target takes nothing, with for how long it has not and how many bytes are on their way:
/// whether to go on.
pub(super) type GoOn<'a> = &'a dyn Fn(Duration, u64) -> bool;

impl Link {
    /// Connects. What our own files say comes first: with them no target could be reached.
    pub(super) fn open(table: &Relay) -> io::Result<Self> {
        let tls = match &table.tls {
            Some(tls) => {
                let config = crate::tls::client_config(tls).map_err(io::Error::other)?;
                let name = ServerName::try_from(table.host().to_owned());
                let name = name.map_err(io::Error::other)?;
                let connection = ClientConnection::new(Arc::new(config), name);
                Some(Box::new(connection.map_err(io::Error::other)?))
            }
            None => None,
        };
        let found = table.to.to_socket_addrs();
        let told = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", table.host()));
        let stream = connect(found.map_err(told)?)?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(STEP))?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(SILENT))?;
        socket.set_keepalive(true)?;
        Ok(Self {
            stream,
            tls,
            written: 0,
            ends: VecDeque::new(),
            acknowledged: VecDeque::new(),
            reached: 0,
            settle: Duration::from_millis(table.settle.as_ms().unsigned_abs()),
            inbox: Vec::new(),
            stuck: None,
        })
    }

    /// Agrees on TLS, where it is wanted: who the other side is is known then.
    pub(super) fn secure(&mut self, go_on: GoOn<'_>) -> io::Result<()> {
        let Some(mut tls) = self.tls.take() else {
            return Ok(());
        };
        let done = self.shake_hands(&mut tls, go_on);
        self.tls = Some(tls);
        done
    }

    /// Writes messages up to the event of that number; `go_on` is asked while the target takes nothing.
    pub(super) fn write(&mut self, bytes: &[u8], upto: u64, go_on: GoOn<'_>) -> io::Result<()> {
        match self.tls.take() {
            Some(mut tls) => {
                let done = self.write_secure(&mut tls, bytes, go_on);
                self.tls = Some(tls);
                done?;
            }
            None => self.write_plain(bytes, go_on)?,
        }
        self.ends.push_back((self.written, upto));
        Ok(())
    }

    fn write_plain(&mut self, mut bytes: &[u8], go_on: GoOn<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write_some(bytes, go_on)?;
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8], go_on: GoOn<'_>) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n as u64;
                    self.stuck = None;
                    return Ok(n);
                }
                Err(e) if is_wait(&e) => {
                    let stuck = self.stuck.get_or_insert_with(Instant::now).elapsed();
                    // The kernel gives up as well, unless the other side goes on saying that it is full.
                    if stuck > SILENT || !go_on(stuck, self.on_the_way()?) {
                        return Err(e);
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn shake_hands(&mut self, tls: &mut ClientConnection, go_on: GoOn<'_>) -> io::Result<()> {
        let until = Instant::now() + CONNECT;
        while tls.is_handshaking() {
            self.flush_secure(tls, go_on)?;
            let waits = tls.is_handshaking() && !self.read_secure(tls)?;
            if waits && (!go_on(Duration::ZERO, 0) || Instant::now() > until) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS there"));
            }
        }
        Ok(())
    }

    fn write_secure(
        &mut self,
        tls: &mut ClientConnection,
        bytes: &[u8],
        go_on: GoOn<'_>,
    ) -> io::Result<()> {
        self.shake_hands(tls, go_on)?;
        for part in bytes.chunks(TLS_STEP) {
            tls.writer().write_all(part)?;
            self.flush_secure(tls, go_on)?;
        }
        Ok(())
    }

    fn flush_secure(&mut self, tls: &mut ClientConnection, go_on: GoOn<'_>) -> io::Result<()> {
        let mut cipher = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut cipher)?;
        }
        self.write_plain(&cipher, go_on)
    }

    /// Whether something was read.
    fn read_secure(&mut self, tls: &mut ClientConnection) -> io::Result<bool> {
        match tls.read_tls(&mut self.stream) {
            Ok(0) => return Err(closed()),
            Ok(_) => {}
            Err(e) if is_wait(&e) => return Ok(false),
            Err(e) => return Err(e),
        }
        if let Err(e) = tls.process_new_packets() {
            // So that the other side knows why; it may be gone already.
            let _ = tls.write_tls(&mut self.stream);
            return Err(io::Error::other(crate::tls::explain(&e)));
        }
        let mut buffer = [0; 4096];
        loop {
            match tls.reader().read(&mut buffer) {
                Ok(0) => return Err(closed()),
                Ok(n) => self
                    .inbox
                    .extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) => return Err(e),
            }
        }
    }

    /// The next line of an answer, when there is one; with `wait` it may take a moment.
    pub(super) fn read_line(&mut self, wait: bool) -> io::Result<Option<String>> {
        if !self.inbox.contains(&b'\n') && (wait || self.can_read()?) {
            match self.tls.take() {
                Some(mut tls) => {
                    let read = self.read_secure(&mut tls);
                    self.tls = Some(tls);
                    read?;
                }
                None => self.read_plain()?,
            }
        }
        let Some(end) = memchr::memchr(b'\n', &self.inbox) else {
            // Whatever a receiver of syslog says without a line feed means nothing.
            if self.inbox.len() > LINE_LEN_MAX {
                self.inbox.clear();
            }
            return Ok(None);
        };
        let line: Vec<u8> = self.inbox.drain(..=end).collect();
        Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
    }

    /// Whether something is to be read, be it the end.
    fn can_read(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&Timespec::default()));
        Ok(ready.map(|n| n > 0).or_else(|e| match e {
            rustix::io::Errno::INTR => Ok(false),
            e => Err(e),
        })?)
    }

    fn read_plain(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(closed()),
            Ok(n) => {
                self.inbox
                    .extend_from_slice(buffer.get(..n).unwrap_or_default());
                Ok(())
            }
            Err(e) if is_wait(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Bytes that the other side's kernel has not acknowledged.
    pub(super) fn on_the_way(&self) -> io::Result<u64> {
        let mut bytes: libc::c_int = 0;
        #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
        // SAFETY: TIOCOUTQ (SIOCOUTQ) writes one int to the given address.
        let result =
            unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        match result {
            0 => Ok(u64::try_from(bytes).unwrap_or(0)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The last event that the other side's kernel has whole. 0 if there is none.
    pub(super) fn reached(&mut self) -> io::Result<u64> {
        let acknowledged = self.written.saturating_sub(self.on_the_way()?);
        while let Some((end, upto)) = self.ends.front().copied().filter(|e| e.0 <= acknowledged) {
            self.ends.pop_front();
            self.acknowledged.push_back((Instant::now(), end, upto));
            self.reached = upto;
        }
        Ok(self.reached)
    }

    /// The last event that has arrived as far as can be known: the connection has lived on, or taken much more.
    pub(super) fn arrived(&mut self) -> io::Result<Option<u64>> {
        self.reached()?;
        let end = self.acknowledged.back().map_or(0, |a| a.1);
        let settled = settled(&mut self.acknowledged, end, self.settle);
        Ok(settled)
    }
}

/// Takes out what has been acknowledged for so long, or so many bytes before `end`; its last event.
fn settled(all: &mut VecDeque<(Instant, u64, u64)>, end: u64, settle: Duration) -> Option<u64> {
    let mut last = None;
    while let Some((at, own, upto)) = all.front().copied()
        && (at.elapsed() >= settle || end.saturating_sub(own) >= PASSED_BYTES)
    {
        all.pop_front();
        last = Some(upto);
    }
    last
}

/// Connects to the first address that takes us: a name may have one of a family that nobody listens to.
fn connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut failed: Vec<String> = Vec::new();
    let mut kind = io::ErrorKind::Other;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(e) => {
                kind = e.kind();
                failed.push(format!("{address}: {e}"));
            }
        }
    }
    Err(io::Error::new(
        kind,
        match failed.is_empty() {
            true => "the name has no address".to_owned(),
            false => failed.join(", "),
        },
    ))
}

/// Whether it only means that nothing happened yet.
pub(super) fn is_wait(e: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(e.kind(), Interrupted | TimedOut | WouldBlock)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_name_are_tried() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
        // 127.0.0.2 and ::1 refuse, as a machine does that listens to one family only.
        let all = ["::1", "127.0.0.2", "127.0.0.1"].map(address);
        let stream = connect(all.into_iter()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address("127.0.0.1"));
        let why = connect(all.into_iter().take(2)).unwrap_err().to_string();
        assert!(
            why.contains("[::1]:") && why.contains("127.0.0.2:"),
            "{why}"
        );
        let why = connect(std::iter::empty()).unwrap_err().to_string();
        assert_eq!(why, "the name has no address");
    }

    #[test]
    fn what_is_acknowledged_settles_by_time_or_by_what_came_behind_it() {
        let long = Duration::from_secs(3600);
        let all = |sizes: &[u64]| {
            let mut end = 0;
            let mut add = |(n, size): (usize, &u64)| {
                end += size;
                (Instant::now(), end, n as u64 + 1)
            };
            let all: VecDeque<_> = sizes.iter().enumerate().map(&mut add).collect();
            (all, end)
        };
        for (sizes, settle, want) in [
            (&[1, 1, 1][..], long, None),
            (&[1, 1, 1], Duration::ZERO, Some(3)),
            (&[], Duration::ZERO, None),
            (&[1, PASSED_BYTES, 1], long, Some(1)),
            (&[1, 1, PASSED_BYTES - 1], long, Some(1)),
            (&[1, 1, PASSED_BYTES], long, Some(2)),
        ] {
            let (mut all, end) = all(sizes);
            let before = all.len() as u64;
            let found = settled(&mut all, end, settle);
            assert_eq!(found, want, "{sizes:?}");
            assert_eq!(all.len() as u64, before - want.unwrap_or(0));
        }
    }
}
