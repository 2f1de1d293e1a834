//! A connection to a target: written with a count of what has arrived, read for its answers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
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
    inbox: Vec<u8>,
    /// Since when the other side has taken nothing.
    stuck: Option<Instant>,
}

/// Asked while the target takes nothing, with for how long it has not and how many bytes are on their way:
/// whether to go on.
pub(super) type GoOn<'a> = &'a dyn Fn(Duration, u64) -> bool;

impl Link {
    /// Connects.
    pub(super) fn open(table: &Relay) -> io::Result<Self> {
        let mut last = io::Error::other("the name has no address");
        let found = table.to.to_socket_addrs();
        let told = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", table.host()));
        for address in found.map_err(told)? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => return Self::new(table, stream),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn new(table: &Relay, stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(STEP))?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(SILENT))?;
        socket.set_keepalive(true)?;
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
        Ok(Self {
            stream,
            tls,
            written: 0,
            ends: VecDeque::new(),
            inbox: Vec::new(),
            stuck: None,
        })
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

    fn write_secure(
        &mut self,
        tls: &mut ClientConnection,
        bytes: &[u8],
        go_on: GoOn<'_>,
    ) -> io::Result<()> {
        let until = Instant::now() + CONNECT;
        while tls.is_handshaking() {
            self.flush_secure(tls, go_on)?;
            let waits = tls.is_handshaking() && !self.read_secure(tls)?;
            if waits && (!go_on(Duration::ZERO, 0) || Instant::now() > until) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS there"));
            }
        }
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
        tls.process_new_packets().map_err(io::Error::other)?;
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

    /// The last event that has arrived whole at the other side's kernel.
    pub(super) fn arrived(&mut self) -> io::Result<Option<u64>> {
        let arrived = self.written.saturating_sub(self.on_the_way()?);
        let mut last = None;
        while let Some((_, upto)) = self.ends.front().copied().filter(|e| e.0 <= arrived) {
            self.ends.pop_front();
            last = Some(upto);
        }
        Ok(last)
    }
}

/// Whether it only means that nothing happened yet.
pub(super) fn is_wait(e: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(e.kind(), Interrupted | TimedOut | WouldBlock)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side")
}
