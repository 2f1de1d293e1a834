//! Syslog over TCP: a task accepts, and one for each connection reads. Senders wait when the writer
//! is behind.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vigie_parsers::Origin;
use vigie_parsers::framing::Framer;
use vigie_store::{Batch, EventBatch};

use super::Common;
use crate::budget::Patience;
use crate::lines::{BATCH_BYTES, LINE_LEN_MAX, Lines};
use crate::outlet::{Ended, Outlet};
use crate::status::Source;

/// Room for what comes in at once; a silent connection holds none of it, so that a thousand cost little.
const READ_BYTES: usize = 64 << 10;
/// Rest after an error of accept: usually too many open files.
const ERROR_REST: Duration = Duration::from_secs(1);

pub(super) struct Tcp {
    listener: tokio::net::TcpListener,
    common: Common,
    connections: JoinSet<Result<(), Ended>>,
}

impl Tcp {
    pub(super) fn new(listener: TcpListener, common: Common) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: tokio::net::TcpListener::from_std(listener)?,
            common,
            connections: JoinSet::new(),
        })
    }

    pub(super) async fn run(mut self) {
        let shutdown = self.common.outlet.shutdown.clone();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer),
                    Err(e) => {
                        self.common.source.fail(&format!("no connection can be accepted: {e}"));
                        sleep(ERROR_REST).await;
                    }
                },
                Some(ended) = self.connections.join_next() => {
                    if matches!(ended, Ok(Err(Ended))) {
                        break;
                    }
                    self.show();
                }
                () = shutdown.cancelled() => break,
            }
        }
        // They see the same signal and hand over what has come.
        while self.connections.join_next().await.is_some() {}
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let source = &self.common.source;
        if !self.common.allows(peer.ip()) {
            source.drop_items("not_allowed", 1);
            return;
        }
        if self.connections.len() >= self.common.config.connections_max {
            source.drop_items("connection_limit", 1);
            return;
        }
        let connection = Connection {
            stream,
            origin: Arc::clone(self.common.peers.origin(peer)),
            lines: self.common.lines(),
            events: EventBatch::default(),
            framer: Framer::new(LINE_LEN_MAX),
            outlet: self.common.outlet.clone(),
            source: Arc::clone(source),
            idle: self.common.config.idle.0,
        };
        self.connections.spawn(connection.run());
        self.show();
    }

    fn show(&self) {
        let detail = match self.connections.len() {
            0 => String::new(),
            n => format!("{n} open connections"),
        };
        self.common.source.work(&detail);
    }
}

struct Connection {
    stream: TcpStream,
    origin: Arc<Origin>,
    lines: Lines,
    events: EventBatch,
    /// Holds the beginning of an unfinished frame, and nothing else of what was read.
    framer: Framer,
    outlet: Outlet,
    source: Arc<Source>,
    idle: Duration,
}

impl Connection {
    async fn run(mut self) -> Result<(), Ended> {
        let shutdown = self.outlet.shutdown.clone();
        loop {
            let ready = tokio::select! {
                ready = timeout(self.idle, self.stream.readable()) => ready,
                () = shutdown.cancelled() => break,
            };
            match ready {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    self.source.drop_items("idle_connection", 1);
                    break;
                }
            }
            if self.read().await? {
                break;
            }
        }
        self.take(None);
        self.flush().await
    }

    /// Takes what has come; whether that was the end of the stream.
    async fn read(&mut self) -> Result<bool, Ended> {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let ended = loop {
            buffer.clear();
            match self.stream.try_read_buf(&mut buffer) {
                Ok(0) => break true,
                Ok(_) => self.take(Some(&buffer)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break false,
                // The sender is gone; what it sent is kept.
                Err(_) => break true,
            }
            if self.events.size() >= BATCH_BYTES {
                self.flush().await?;
            }
        };
        self.flush().await?;
        Ok(ended)
    }

    /// Takes the frames out of what has come, or the last one at the end.
    fn take(&mut self, bytes: Option<&[u8]>) {
        let now = self.outlet.now();
        let before = self.framer.counts();
        let (lines, events, origin) = (&mut self.lines, &mut self.events, &self.origin);
        let each = |frame: vigie_parsers::framing::Frame<'_>| {
            lines.push(events, now, origin, frame.line);
        };
        match bytes {
            Some(bytes) => self.framer.push(bytes, each),
            None => self.framer.finish(each),
        }
        let after = self.framer.counts();
        let read = bytes.map_or(0, <[u8]>::len) as u64;
        self.source.count(now, after.frames - before.frames, read);
        self.source
            .drop_items("cut", after.oversize - before.oversize);
        self.source
            .drop_items("short_frame", after.short_frames - before.short_frames);
        self.source
            .drop_items("bad_count", after.bad_counts - before.bad_counts);
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.events.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            events: std::mem::take(&mut self.events),
            samples: self.lines.figures(),
            ..Batch::default()
        };
        self.outlet.send(Patience::Waits, batch).await
    }
}
