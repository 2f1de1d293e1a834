//! Syslog in datagrams, over UDP or a Unix socket: each is one message. What cannot be taken in time
//! waits in the kernel's queue; what does not fit there the kernel counts (UDP) or makes its sender
//! wait for (Unix).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use vigie_parsers::Timestamp;
use vigie_parsers::framing::datagram;
use vigie_store::{Batch, EventBatch};

use super::datagrams::{self, Datagrams};
use super::{Claimant, Common, Note};
use crate::budget::Patience;
use crate::lines::{self, Lines};
use crate::outlet::Ended;
use crate::sockets::Bound;

/// A batch is handed over when it is this large: small enough that the urgent budget holds many.
const BATCH_BYTES: usize = 256 << 10;
/// … or this old.
const BATCH_AGE: Duration = Duration::from_millis(50);
/// Rest between two looks at a UDP socket that is busy: waking for each message costs more than the
/// message. With a queue of [`LARGE_QUEUE`] the rest is the first, else the second. (A Unix socket's queue
/// counts messages, as few as ten, and its senders wait or lose: there is no rest there.)
const RESTS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(1));
const LARGE_QUEUE: u32 = 4 << 20;
/// A Unix socket's queue of less is short; systemd sets 512, the kernel alone 10.
const SHORT_QUEUE: u32 = 100;
/// How often the kernel is asked what it dropped.
const ASK: Duration = Duration::from_secs(1);
/// Rest after an error of the socket.
const ERROR_REST: Duration = Duration::from_secs(1);

pub(super) struct Packets {
    socket: OwnedFd,
    common: Common,
    claimant: Claimant,
    /// By zone.
    lines: Vec<Lines>,
    events: EventBatch,
    datagrams: Datagrams,
    rest: Option<Duration>,
    drops: u32,
    asked: Option<Instant>,
}

impl Packets {
    /// Of a datagram socket that does not block.
    pub(super) fn new(socket: Bound, common: Common) -> io::Result<Self> {
        let (socket, may_rest) = match socket {
            Bound::Udp(socket) => (OwnedFd::from(socket), true),
            Bound::Datagram(socket) => {
                warn_of_short_queue(common.source.name());
                (OwnedFd::from(socket), false)
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let queue = datagrams::queue(socket.as_fd()).unwrap_or_default();
        Ok(Self {
            socket,
            lines: common.all_lines(),
            claimant: Claimant::new(&common),
            events: EventBatch::default(),
            common,
            datagrams: Datagrams::new(),
            rest: may_rest.then_some(if queue.limit >= LARGE_QUEUE {
                RESTS.0
            } else {
                RESTS.1
            }),
            drops: queue.drops,
            asked: None,
        })
    }

    pub(super) async fn run(mut self) {
        let shutdown = self.common.outlet.shutdown.clone();
        loop {
            let ready = tokio::select! {
                ready = datagrams::readable(self.socket.as_fd()) => ready,
                () = shutdown.cancelled() => break,
            };
            let done = match ready {
                Ok(()) => self.take_burst().await,
                Err(e) => self.fail(&e).await,
            };
            if done.is_err() {
                return;
            }
        }
        // What the kernel already has was received before the end. Nobody is left to tell otherwise.
        let _ = self.take_burst().await;
    }

    /// Takes messages until the socket has been empty for a rest, or for the age of a batch.
    async fn take_burst(&mut self) -> Result<(), Ended> {
        let mut begun = Instant::now();
        loop {
            match self.drain() {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    self.flush().await?;
                    return self.fail(&e).await;
                }
            }
            if self.events.size() >= BATCH_BYTES || begun.elapsed() >= BATCH_AGE {
                self.flush().await?;
                begun = Instant::now();
            } else {
                self.rest(BATCH_AGE.saturating_sub(begun.elapsed())).await;
            }
        }
        self.flush().await
    }

    /// Lets some messages come, for so long at most.
    async fn rest(&self, most: Duration) {
        match self.rest {
            Some(rest) => sleep(rest).await,
            // An error comes again when the socket is read.
            None => {
                let _ = timeout(most, datagrams::readable(self.socket.as_fd())).await;
            }
        }
    }

    /// Takes what is there, up to a batch; how many messages.
    fn drain(&mut self) -> io::Result<usize> {
        let now = self.common.outlet.now();
        let mut total = 0;
        while self.events.size() < BATCH_BYTES {
            match self.datagrams.receive(self.socket.as_fd()) {
                Ok(n) => {
                    self.push(n, now);
                    total += n;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    fn push(&mut self, count: usize, now: Timestamp) {
        let (mut items, mut bytes, mut denied, mut limited, mut cut) = (0, 0, 0, 0, 0);
        let arrived = std::time::Instant::now();
        for n in 0..count {
            let Some((message, peer)) = self.datagrams.get(n) else {
                continue;
            };
            if peer.is_some_and(|p| !self.common.allows(p.ip())) {
                denied += 1;
                continue;
            }
            bytes += message.len() as u64;
            let message = datagram(message);
            if message.is_empty() {
                continue;
            }
            items += 1;
            let sender = self.common.senders.get(peer);
            if let Err(refused) = sender.admit(arrived) {
                limited += 1;
                let text = format!("rate limit: {} lost {refused} messages", sender.name);
                self.common.notes.set(Note::Limited, text);
                continue;
            }
            let Some(lines) = self.lines.get_mut(sender.zone) else {
                continue;
            };
            cut += u64::from(lines.push(&mut self.events, now, &sender.origin, message));
            self.claimant.check(lines.host(message), sender);
        }
        let source = &self.common.source;
        source.count(now, items, bytes);
        source.drop_items("not_allowed", denied);
        source.drop_items("rate_limit", limited);
        source.drop_items("cut", cut);
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.ask_kernel();
        if self.events.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            events: std::mem::take(&mut self.events),
            samples: lines::figures(Vec::new(), &mut self.lines),
            ..Batch::default()
        };
        self.common.outlet.send(Patience::Urgent, batch).await?;
        self.common.source.work(&self.common.notes.detail());
        Ok(())
    }

    /// Counts what the kernel dropped; after a burst always, in between once a second.
    fn ask_kernel(&mut self) {
        if self.asked.is_some_and(|at| at.elapsed() < ASK) && self.events.size() >= BATCH_BYTES {
            return;
        }
        self.asked = Some(Instant::now());
        if let Some(queue) = datagrams::queue(self.socket.as_fd()) {
            let drops = queue.drops.wrapping_sub(self.drops);
            self.drops = queue.drops;
            self.common.source.drop_items("kernel", u64::from(drops));
            self.common.source.set_lag(u64::from(queue.waiting));
        }
    }

    async fn fail(&self, e: &io::Error) -> Result<(), Ended> {
        self.common.source.fail(&format!("the socket failed: {e}"));
        sleep(ERROR_REST).await;
        Ok(())
    }
}

/// Senders that do not wait lose what a Unix socket's queue has no room for, and nobody can count it.
fn warn_of_short_queue(source: &str) {
    const SETTING: &str = "net.unix.max_dgram_qlen";
    let path = format!("/proc/sys/{}", SETTING.replace('.', "/"));
    let messages = std::fs::read_to_string(path).ok();
    let messages = messages.and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(messages) = messages.filter(|&n| n < SHORT_QUEUE) {
        tracing::warn!(
            source,
            "its queue holds {messages} messages: programs that do not wait (nginx) lose some in a burst; \
             `sysctl {SETTING}=512` before the start makes it longer"
        );
    }
}
