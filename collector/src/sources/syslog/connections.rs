//! Syslog in connections, over TCP, TLS or a Unix socket: a task accepts, and one for each connection
//! reads. Senders wait when the writer is behind.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use vigie_parsers::framing::Framer;
use vigie_store::{Batch, EventBatch};

use super::senders::Sender;
use super::shares::{Full, Share, Shares};
use super::streams::Incoming;
use super::{Claimant, Common, Note};
use crate::budget::Patience;
use crate::cut;
use crate::lines::{self, BATCH_BYTES, LINE_LEN_MAX, Lines};
use crate::outlet::{Ended, Outlet};
use crate::relay::{FRAME_EXTRA, Receiver};
use crate::sockets::Bound;
use crate::status::Source;
use crate::tls::{self, Reload, ServerTls};

/// Room for what comes in at once; a silent connection holds none of it, so that a thousand cost little.
const READ_BYTES: usize = 64 << 10;
/// Rest after an error of accept: usually too many open files.
const ERROR_REST: Duration = Duration::from_secs(1);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a relay may take to be told something.
const TELL: Duration = Duration::from_secs(10);
/// The longest rest that a rate limit makes at once, so that the end is not missed.
const REST_MAX: Duration = Duration::from_secs(1);
/// How TLS begins (RFC 8446, section 5.1): a record of a handshake, of any version since 1996. No message
/// of syslog begins with such bytes.
const TLS_HELLO: &[u8] = &[0x16, 0x03];
/// A refused client is logged so often at most; all are counted.
const REFUSED_LOG: Duration = Duration::from_secs(60);

/// Accepts for one listener.
pub(super) struct Connections {
    listener: Listener,
    common: Common,
    open: JoinSet<Result<End, Ended>>,
    shares: Shares,
    logged: Option<Instant>,
}

enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, Box<ServerTls>),
    Unix(UnixListener),
}

/// What has been accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

/// How a connection ended.
enum End {
    Closed,
    /// It was not taken: the counter, who it was and why.
    Refused(&'static str, String),
}

impl Connections {
    /// Of a listening socket that does not block.
    pub(super) fn new(socket: Bound, common: Common) -> io::Result<Self> {
        let listener = match socket {
            Bound::Tcp(socket) => Listener::Tcp(TcpListener::from_std(socket)?),
            Bound::Tls(socket, tls) => Listener::Tls(TcpListener::from_std(socket)?, tls),
            Bound::Stream(socket) => Listener::Unix(UnixListener::from_std(socket)?),
            Bound::Udp(_) | Bound::Datagram(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self {
            listener,
            common,
            open: JoinSet::new(),
            shares: Shares::default(),
            logged: None,
        })
    }

    pub(super) async fn run(mut self) {
        let shutdown = self.common.outlet.shutdown.clone();
        loop {
            tokio::select! {
                accepted = accept(&self.listener) => match accepted {
                    Ok(accepted) => self.take(accepted),
                    Err(e) => {
                        self.common.source.fail(&format!("no connection can be accepted: {e}"));
                        sleep(ERROR_REST).await;
                    }
                },
                Some(ended) = self.open.join_next() => match ended {
                    Ok(Err(Ended)) => break,
                    Ok(Ok(End::Refused(counter, why))) => self.refused(counter, &why),
                    Ok(Ok(End::Closed)) | Err(_) => self.show(),
                },
                () = shutdown.cancelled() => break,
            }
        }
        // They see the same signal and hand over what has come.
        while let Some(ended) = self.open.join_next().await {
            if let Ok(Ok(End::Refused(counter, why))) = ended {
                self.refused(counter, &why);
            }
        }
    }

    fn take(&mut self, accepted: Accepted) {
        let source = &self.common.source;
        let peer = match &accepted {
            Accepted::Tcp(_, peer) => Some(*peer),
            Accepted::Unix(_) => None,
        };
        if peer.is_some_and(|p| !self.common.allows(p.ip())) {
            source.drop_items("not_allowed", 1);
            return;
        }
        if self.open.len() >= self.common.config.connections_max {
            source.drop_items("connection_limit", 1);
            return;
        }
        let max = self.common.config.connections_max;
        let share = peer.map(|p| self.shares.take(p.ip(), max));
        let share = match share.transpose() {
            Ok(share) => share,
            Err(full) => return self.crowded(&full),
        };
        let mut connection = self.connection(peer);
        connection.share = share;
        connection.is_plain_tcp = matches!(
            (&accepted, &self.listener),
            (Accepted::Tcp(..), Listener::Tcp(_))
        );
        match (accepted, &mut self.listener) {
            (Accepted::Unix(stream), _) => {
                self.open.spawn(connection.run(stream));
            }
            (Accepted::Tcp(stream, _), Listener::Tls(_, tls)) => {
                let (config, news) = tls.current();
                self.open
                    .spawn(connection.secure(TlsAcceptor::from(config), stream));
                self.reloaded(news);
            }
            (Accepted::Tcp(stream, _), _) => {
                self.open.spawn(connection.run(stream));
            }
        }
        self.show();
    }

    fn connection(&mut self, peer: Option<SocketAddr>) -> Connection {
        let sender = Arc::clone(self.common.senders.get(peer));
        let extra = if self.common.config.relay {
            FRAME_EXTRA
        } else {
            0
        };
        Connection {
            lines: self.common.lines(sender.zone),
            relays: self.common.receiver(&sender),
            claimant: Claimant::new(&self.common),
            sender,
            events: EventBatch::default(),
            framer: Framer::new(LINE_LEN_MAX + extra),
            outlet: self.common.outlet.clone(),
            source: Arc::clone(&self.common.source),
            idle: self.common.config.idle.0,
            rest: None,
            share: None,
            is_plain_tcp: false,
            is_tls: false,
        }
    }

    fn reloaded(&self, news: Option<Reload>) {
        let source = self.common.source.name();
        match news {
            None => {}
            Some(Reload::Done) => tracing::info!(source, "certificate and key read again"),
            Some(Reload::Failed(e)) => {
                tracing::warn!(source, "the new certificate is not used: {e}");
            }
        }
    }

    fn refused(&mut self, counter: &'static str, why: &str) {
        self.common.source.drop_items(counter, 1);
        self.tell(Note::Refused, format!("last refused {why}"));
    }

    /// A sender has too many connections.
    fn crowded(&mut self, full: &Full) {
        self.common.source.drop_items("sender_connections", 1);
        let Full { sender, open } = full;
        let max = self.common.config.connections_max;
        let text = format!(
            "{sender} has {open} of {max} connections, half of what others leave: more are refused"
        );
        self.tell(Note::Crowded, text);
    }

    /// Shows a note, and logs it now and then.
    fn tell(&mut self, kind: Note, text: String) {
        if self.logged.is_none_or(|at| at.elapsed() >= REFUSED_LOG) {
            self.logged = Some(Instant::now());
            tracing::warn!(source = self.common.source.name(), "{text}");
        }
        self.common.notes.set(kind, text);
        self.show();
    }

    fn show(&self) {
        let open = match self.open.len() {
            0 => String::new(),
            n => format!("{n} open connections"),
        };
        self.common.notes.set(Note::Connections, open);
        self.common.source.work(&self.common.notes.detail());
    }
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tcp(l) | Listener::Tls(l, _) => {
            let (stream, peer) = l.accept().await?;
            Ok(Accepted::Tcp(stream, peer))
        }
        Listener::Unix(l) => Ok(Accepted::Unix(l.accept().await?.0)),
    }
}

/// Waits until a relay is to be told something; whether it goes on.
async fn news(relays: Option<&Receiver>) -> bool {
    match relays {
        Some(relays) => relays.news().await,
        None => std::future::pending().await,
    }
}

struct Connection {
    sender: Arc<Sender>,
    claimant: Claimant,
    lines: Lines,
    /// Takes what other vigies forward, where they may.
    relays: Option<Receiver>,
    events: EventBatch,
    /// Holds the beginning of an unfinished frame, and nothing else of what was read.
    framer: Framer,
    outlet: Outlet,
    source: Arc<Source>,
    idle: Duration,
    /// What the rate limit makes it wait before it reads on from where it stopped.
    rest: Option<Duration>,
    /// The sender's place among all connections.
    share: Option<Share>,
    /// Nothing was read yet of a connection that is not of TLS.
    is_plain_tcp: bool,
    /// The other side wants TLS where there is none.
    is_tls: bool,
}

impl Connection {
    /// Agrees on TLS first.
    async fn secure(mut self, acceptor: TlsAcceptor, stream: TcpStream) -> Result<End, Ended> {
        let shutdown = self.outlet.shutdown.clone();
        let agreed = tokio::select! {
            agreed = timeout(HANDSHAKE, acceptor.accept(stream)) => agreed,
            () = shutdown.cancelled() => return Ok(End::Closed),
        };
        let why = match agreed {
            Ok(Ok(mut stream)) => {
                // What came together with the end of the handshake is decrypted already: the socket
                // would not tell of it.
                self.read(&mut stream).await?;
                return self.run(stream).await;
            }
            Ok(Err(e)) => tls::reason(&e),
            Err(_) => format!("no TLS within {} s", HANDSHAKE.as_secs()),
        };
        let why = format!("{}: {why}", self.sender.name);
        Ok(End::Refused("tls_refused", why))
    }

    async fn run(mut self, mut stream: impl Incoming) -> Result<End, Ended> {
        let shutdown = self.outlet.shutdown.clone();
        loop {
            if !self.tell(&mut stream).await {
                break;
            }
            let ready = tokio::select! {
                ready = self.ready(&stream) => ready,
                go_on = news(self.relays.as_ref()) => match go_on {
                    true => continue,
                    // Another connection goes on for the same relay.
                    false => break,
                },
                () = shutdown.cancelled() => {
                    // What the kernel already has was received before the end.
                    self.read(&mut stream).await?;
                    break;
                }
            };
            match ready {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    self.source.drop_items("idle_connection", 1);
                    break;
                }
            }
            if self.read(&mut stream).await? {
                break;
            }
        }
        if self.is_tls {
            let why = format!("{}: it speaks TLS, this port does not", self.sender.name);
            return Ok(End::Refused("tls_on_plain", why));
        }
        self.take(None);
        self.flush().await?;
        Ok(End::Closed)
    }

    /// Waits for the rate limit, then for something to read.
    async fn ready(
        &self,
        stream: &impl Incoming,
    ) -> Result<io::Result<()>, tokio::time::error::Elapsed> {
        if let Some(rest) = self.rest {
            sleep(rest).await;
            return Ok(Ok(()));
        }
        timeout(self.idle, stream.readable()).await
    }

    /// Takes what has come; whether that was the end of the stream.
    async fn read(&mut self, stream: &mut impl Incoming) -> Result<bool, Ended> {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        self.rest = None;
        let ended = loop {
            buffer.clear();
            match stream.try_read(&mut buffer) {
                Ok(0) => break true,
                Ok(_)
                    if std::mem::take(&mut self.is_plain_tcp) && buffer.starts_with(TLS_HELLO) =>
                {
                    self.is_tls = true;
                    break true;
                }
                Ok(_) => self.take(Some(&buffer)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break false,
                // The sender is gone; what it sent is kept.
                Err(_) => break true,
            }
            if self.events.size() >= BATCH_BYTES {
                self.flush().await?;
            }
            if self.rest.is_some() {
                break false;
            }
        };
        self.flush().await?;
        Ok(ended)
    }

    /// Tells a relay how far its lines are stored; whether it goes on.
    async fn tell(&mut self, stream: &mut impl Incoming) -> bool {
        let Some(relays) = &mut self.relays else {
            return true;
        };
        if !relays.answer().await {
            self.source.drop_items("relay_refused", 1);
            return false;
        }
        let Some(words) = relays.ack() else {
            return true;
        };
        // An acknowledgement that cannot be sent is of a connection that is lost.
        let told = timeout(TELL, async {
            stream.write_all(words.as_bytes()).await?;
            stream.flush().await
        });
        matches!(told.await, Ok(Ok(())))
    }

    /// Takes the frames out of what has come, or the last one at the end.
    fn take(&mut self, bytes: Option<&[u8]>) {
        let now = self.outlet.now();
        let before = self.framer.counts();
        let (lines, events, sender) = (&mut self.lines, &mut self.events, &self.sender);
        let claimant = &mut self.claimant;
        let (relays, source) = (&mut self.relays, &self.source);
        // Only where relays may send longer frames than a line is.
        let mut too_long = 0;
        let each = |frame: vigie_parsers::framing::Frame<'_>| {
            if let Some(relays) = relays
                && relays.take(events, now, frame.whole, source)
            {
                return;
            }
            let origin = cut::origin(&sender.origin, frame.line, frame.truncated);
            too_long += u64::from(lines.push(events, now, &origin, frame.line));
            claimant.check(lines.host(frame.line), sender);
        };
        match bytes {
            Some(bytes) => self.framer.push(bytes, each),
            None => self.framer.finish(each),
        }
        let after = self.framer.counts();
        let read = bytes.map_or(0, <[u8]>::len) as u64;
        let frames = after.frames - before.frames;
        let wait = self.sender.charge(frames, std::time::Instant::now());
        self.rest = (!wait.is_zero()).then(|| wait.min(REST_MAX));
        self.source.count(now, frames, read);
        self.source
            .drop_items("cut", after.oversize - before.oversize + too_long);
        self.source
            .drop_items("short_frame", after.short_frames - before.short_frames);
        self.source
            .drop_items("bad_count", after.bad_counts - before.bad_counts);
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        let mut batch = Batch::default();
        let noted = self.relays.as_mut().is_some_and(|r| r.note(&mut batch));
        if self.events.is_empty() && !noted {
            return Ok(());
        }
        batch.events = std::mem::take(&mut self.events);
        batch.samples = match &mut self.relays {
            Some(relays) => lines::figures(Vec::new(), [relays.lines(), &mut self.lines]),
            None => self.lines.figures(),
        };
        self.outlet.send(Patience::Waits, batch).await
    }
}
