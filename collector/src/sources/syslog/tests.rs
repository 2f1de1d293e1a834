//! Real sockets on loopback, a store that only remembers.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, Options, SourceReport, Writer};

use crate::budget::Budget;
use crate::config::{Config, Listen, Protocol, Syslog, Zone};
use crate::counts::Counters;
use crate::inherited::Inherited;
use crate::lines::LINE_LEN_MAX;
use crate::outlet::Outlet;
use crate::sockets::Sockets;
use crate::sources::{Start, Tasks};
use crate::status::Status;

/// A listener on a port of its own, and what it hands over.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    batches: UnboundedReceiver<Batch>,
    outlet: Outlet,
    tasks: Tasks,
    /// Batches that are not acknowledged, while `hold` is set.
    held: Arc<Mutex<Option<Vec<Batch>>>>,
}

impl Listening {
    pub(super) fn new(protocol: Protocol, change: impl FnOnce(&mut Syslog)) -> Self {
        let store = tempfile::tempdir().unwrap();
        let writer = Writer::open(store.path(), &Options::default(), Timestamp(0)).unwrap();
        let (send, batches) = unbounded_channel();
        let held = Arc::new(Mutex::new(None::<Vec<Batch>>));
        let hold = Arc::clone(&held);
        let outlet = Outlet {
            take: Arc::new(move |mut batch: Batch| {
                let done = batch.done.take();
                match hold.lock().unwrap().as_mut() {
                    Some(held) => held.push(Batch {
                        done,
                        ..Batch::default()
                    }),
                    None => done.expect("each has one")(Ok(())),
                }
                let _ = send.send(batch);
                Ok(())
            }),
            counters: Counters::new(writer.registry(), &[]),
            clock: Arc::new(|| Timestamp(1_000_000)),
            status: Status::default(),
            shutdown: CancellationToken::new(),
            budget: Budget::default(),
        };
        let mut syslog = Syslog {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            protocols: vec![protocol],
            ..Syslog::default()
        };
        change(&mut syslog);
        let config = Config {
            syslog: vec![syslog],
            ..Config::default()
        };
        let mut sockets = Sockets::bind(&config.syslog, &mut Inherited::default()).unwrap();
        let address = match sockets.syslog_listeners().next() {
            Some((_, Listen::Address(address))) => *address,
            _ => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let mut tasks = Tasks::default();
        (super::INPUT.start)(&mut Start {
            config: &config,
            host: "vm",
            sockets: &mut sockets,
            positions: &[],
            outlet: &outlet,
            relays: &Arc::new(crate::relay::Relays::new("", &[])),
            tasks: &mut tasks,
        });
        Self {
            address,
            batches,
            outlet,
            tasks,
            held,
        }
    }

    /// Waits for so many lines.
    pub(super) async fn lines(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let batch = self.batches.recv().await.unwrap();
            lines.extend(
                batch
                    .events
                    .heads()
                    .iter()
                    .map(|h| batch.events.line(h).to_vec()),
            );
        }
        assert_eq!(lines.len(), count);
        lines
    }

    /// Stops everything; what the source has to tell.
    pub(super) async fn end(&mut self) -> SourceReport {
        self.outlet.shutdown.cancel();
        while self.tasks.ended().await.is_some() {}
        self.outlet.status.reports(Timestamp(0)).remove(0)
    }

    /// Stops everything; what was handed over at the end.
    pub(super) async fn stop(mut self) -> (Vec<Vec<u8>>, Vec<(String, u64)>) {
        let dropped = self.end().await.dropped;
        drop(self.outlet);
        let mut lines = Vec::new();
        while let Ok(batch) = self.batches.try_recv() {
            lines.extend(
                batch
                    .events
                    .heads()
                    .iter()
                    .map(|h| batch.events.line(h).to_vec()),
            );
        }
        (lines, dropped)
    }
}

pub(super) fn text(lines: &[Vec<u8>]) -> Vec<&str> {
    lines
        .iter()
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect()
}

#[tokio::test]
async fn datagrams() {
    let mut l = Listening::new(Protocol::Udp, |_| {});
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in ["<13>one\n", "\n", "<13>two\nlines"] {
        sender.send_to(message.as_bytes(), l.address).unwrap();
    }
    assert_eq!(text(&l.lines(2).await), ["<13>one", "<13>two\nlines"]);
    sender.send_to(b"<13>last", l.address).unwrap();
    l.lines(1).await;
    let report = l.outlet.status.reports(Timestamp(0)).remove(0);
    assert_eq!((report.items, report.last), (3, Some(Timestamp(1_000_000))));
    assert_eq!(report.source, format!("syslog:{}/udp", l.address));
    assert_eq!(l.stop().await, (vec![], vec![]));
}

/// A Unix socket's queue is as short as ten messages: nobody may have to wait for a clock.
#[tokio::test]
async fn a_full_unix_socket_is_read_at_once() {
    /// Turns of the runtime in which it has looked at its sockets several times.
    const TURNS: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut l = Listening::new(Protocol::Datagram, |s| {
        s.listen = Listen::Path(path.clone())
    });
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let mut turns = 0;
    for _ in 0..2000 {
        while sender.send_to(b"<13>x", &path).is_err() {
            turns += 1;
            assert!(turns < TURNS, "the queue stays full");
            tokio::task::yield_now().await;
        }
        turns = 0;
    }
    assert_eq!(l.lines(2000).await.len(), 2000);
}

#[tokio::test]
async fn the_sender_stands_in_the_origin() {
    let mut l = Listening::new(Protocol::Udp, |_| {});
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<13>x", l.address).unwrap();
    let batch = l.batches.recv().await.unwrap();
    let origin = batch.events.origin(&batch.events.heads()[0]);
    assert_eq!(origin.source, format!("syslog:{}/udp", l.address));
    let field = |name: &str| {
        origin
            .fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(
        (field("peer"), field("host")),
        (Some("127.0.0.1"), Some("vm"))
    );
    assert!(
        !batch.samples.rows.is_empty(),
        "the figures travel with the lines"
    );
}

#[tokio::test]
async fn senders_that_are_not_allowed_are_counted() {
    let l = Listening::new(Protocol::Udp, |s| {
        s.allow = vec!["192.0.2.0/24".parse().unwrap()]
    });
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<13>x", l.address).unwrap();
    // Loopback delivers at once: the message is there before the end.
    let (lines, dropped) = l.stop().await;
    assert_eq!(
        (lines.len(), dropped),
        (0, vec![("not_allowed".to_owned(), 1)])
    );
}

#[tokio::test]
async fn while_the_store_is_behind_datagrams_wait_in_the_kernel_and_are_counted_there() {
    let mut l = Listening::new(Protocol::Udp, |_| {});
    *l.held.lock().unwrap() = Some(Vec::new());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let message = [b'x'; 60_000];
    let count = 2000_u64;
    for _ in 0..count {
        sender.send_to(&message, l.address).unwrap();
        tokio::task::yield_now().await;
    }
    let held = l.held.lock().unwrap().take().unwrap();
    for batch in held {
        batch.done.expect("each has one")(Ok(()));
    }
    let mut taken = 0;
    while let Ok(batch) = l.batches.try_recv() {
        taken += batch.events.len() as u64;
    }
    let (lines, dropped) = l.stop().await;
    taken += lines.len() as u64;
    let lost: u64 = dropped
        .iter()
        .filter(|(why, _)| why == "kernel")
        .map(|d| d.1)
        .sum();
    assert!(lost > 0);
    assert_eq!(taken + lost, count);
}

#[tokio::test]
async fn frames_of_both_kinds_in_pieces() {
    let mut l = Listening::new(Protocol::Tcp, |_| {});
    let mut stream = TcpStream::connect(l.address).unwrap();
    stream.write_all(b"<13>one\n7 <13>two<13>thr").unwrap();
    assert_eq!(text(&l.lines(2).await), ["<13>one", "<13>two"]);
    stream.write_all(b"ee\n<13>half").unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>three"]);
    drop(stream);
    assert_eq!(text(&l.lines(1).await), ["<13>half"]);
    let mut stream = TcpStream::connect(l.address).unwrap();
    stream.write_all(b"<13>whole\n99 <13>short").unwrap();
    drop(stream);
    assert_eq!(text(&l.lines(2).await), ["<13>whole", "<13>short"]);
    let (lines, dropped) = l.stop().await;
    assert_eq!(
        (lines.len(), dropped),
        (0, vec![("short_frame".to_owned(), 1)])
    );
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_the_connection_lives() {
    let mut l = Listening::new(Protocol::Tcp, |_| {});
    let address = l.address;
    let sender = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
        stream.write_all(b"\n<13>next\n").unwrap();
    });
    let lines = l.lines(2).await;
    sender.await.unwrap();
    assert_eq!(
        (lines[0].len(), &lines[1][..]),
        (LINE_LEN_MAX, &b"<13>next"[..])
    );
    assert_eq!(l.stop().await.1, [("cut".to_owned(), 1)]);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let mut l = Listening::new(Protocol::Tcp, |s| s.connections_max = 1);
    let mut first = TcpStream::connect(l.address).unwrap();
    first.write_all(b"<13>one\n").unwrap();
    l.lines(1).await;
    let address = l.address;
    let second = tokio::task::spawn_blocking(move || {
        let mut second = TcpStream::connect(address).unwrap();
        // Closed from the other side, with or without a reset.
        matches!(
            std::io::Read::read(&mut second, &mut [0; 8]),
            Ok(0) | Err(_)
        )
    });
    assert!(second.await.unwrap());
    first.write_all(b"<13>two\n").unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>two"]);
    assert_eq!(l.stop().await.1, [("connection_limit".to_owned(), 1)]);
}

/// A connection from one of this machine's addresses.
async fn connect_from(from: &str, to: SocketAddr) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn a_line_that_was_cut_says_so() {
    let mut l = Listening::new(Protocol::Tcp, |_| {});
    let mut stream = connect_from("127.0.0.9", l.address).await;
    let long = format!("<13>{}\n<13>whole\n", "x".repeat(LINE_LEN_MAX));
    let sent = tokio::spawn(async move { stream.write_all(long.as_bytes()).await });
    let mut marked = Vec::new();
    while marked.len() < 2 {
        let batch = l.batches.recv().await.unwrap();
        for head in batch.events.heads() {
            let fields = &batch.events.origin(head).fields;
            let mark = ("truncated".to_owned(), "true".to_owned());
            marked.push((batch.events.line(head).len(), fields.contains(&mark)));
        }
    }
    sent.await.unwrap().unwrap();
    assert_eq!(marked, [(LINE_LEN_MAX, true), (9, false)]);
}

#[tokio::test]
async fn one_sender_leaves_room_for_others() {
    let mut l = Listening::new(Protocol::Tcp, |s| s.connections_max = 4);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(connect_from("127.0.0.9", l.address).await);
    }
    let mut third = connect_from("127.0.0.9", l.address).await;
    let end = third.read(&mut [0; 8]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let mut other = connect_from("127.0.0.2", l.address).await;
    other.write_all(b"<13>other\n").await.unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>other"]);
    // What is closed makes room again.
    silent.pop();
    let again = async {
        loop {
            let mut stream = connect_from("127.0.0.9", l.address).await;
            let _ = stream.write_all(b"<13>again\n").await;
            if let Ok(Some(batch)) =
                tokio::time::timeout(Duration::from_millis(100), l.batches.recv()).await
            {
                return batch.events.len();
            }
        }
    };
    assert_eq!(again.await, 1);
    let report = l.end().await;
    let refused = report
        .dropped
        .iter()
        .find(|(why, _)| why == "sender_connections");
    assert!(refused.is_some_and(|&(_, n)| n >= 1), "{report:?}");
    let note = "127.0.0.9 has 2 of 4 connections";
    assert!(report.detail.contains(note), "{}", report.detail);
}

#[tokio::test]
async fn tls_on_a_plain_port_is_named_and_brings_nothing() {
    let mut l = Listening::new(Protocol::Tcp, |_| {});
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    hello.extend(b"\n".repeat(500));
    let mut stream = connect_from("127.0.0.9", l.address).await;
    stream.write_all(&hello).await.unwrap();
    let end = stream.read(&mut [0; 8]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "closed: {end:?}");
    // Such bytes later are part of a message, whatever they are.
    let mut other = connect_from("127.0.0.2", l.address).await;
    other.write_all(b"<13>one\n").await.unwrap();
    l.lines(1).await;
    other.write_all(b"\x16\x03two\n").await.unwrap();
    assert_eq!(text(&l.lines(1).await), ["\u{16}\u{3}two"]);
    let report = l.end().await;
    assert_eq!(report.dropped, [("tls_on_plain".to_owned(), 1)]);
    let note = "last refused 127.0.0.9: it speaks TLS, this port does not";
    assert!(report.detail.contains(note), "{}", report.detail);
}

#[tokio::test]
async fn a_sender_of_another_zone_is_named() {
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let mut l = Listening::new(protocol, |s| s.zone = Some(Zone(jiff::tz::TimeZone::UTC)));
        // It is 00:16:40.
        let mut lines = String::new();
        for _ in 0..3 {
            lines.push_str("<13>Jan  1 01:16:41 web1 demo: x\n");
        }
        if protocol == Protocol::Tcp {
            let mut stream = connect_from("127.0.0.9", l.address).await;
            stream.write_all(lines.as_bytes()).await.unwrap();
        } else {
            let sender = UdpSocket::bind("127.0.0.9:0").unwrap();
            for line in lines.lines() {
                sender.send_to(line.as_bytes(), l.address).unwrap();
            }
        }
        l.lines(3).await;
        let report = l.end().await;
        let note = "127.0.0.9 is 3600 s ahead of this clock: set `zone` or `zones`";
        assert!(report.detail.contains(note), "{}", report.detail);
    }
}

#[tokio::test]
async fn what_came_before_the_end_is_handed_over() {
    let mut l = Listening::new(Protocol::Tcp, |_| {});
    let mut stream = TcpStream::connect(l.address).unwrap();
    stream.write_all(b"<13>one\n<13>unfinished").unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>one"]);
    let (lines, _) = l.stop().await;
    assert_eq!(text(&lines), ["<13>unfinished"]);
}

#[tokio::test]
async fn unix_sockets_bring_the_lines_of_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let at = |s: &mut Syslog| s.listen = Listen::Path(path.clone());
    let mut l = Listening::new(Protocol::Datagram, at);
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender
        .send_to(b"<13>Nov 21 05:11:43 demo: hello", &path)
        .unwrap();
    let batch = l.batches.recv().await.unwrap();
    let origin = batch.events.origin(&batch.events.heads()[0]);
    assert_eq!(origin.fields, [("host".to_owned(), "vm".to_owned())]);
    l.stop().await;
    assert!(!path.exists(), "the name goes with the listener");

    let mut l = Listening::new(Protocol::Stream, at);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"<13>one\n7 <13>two").unwrap();
    assert_eq!(text(&l.lines(2).await), ["<13>one", "<13>two"]);
}

#[tokio::test]
async fn a_flood_of_datagrams_is_cut_to_its_rate_and_counted() {
    let l = Listening::new(Protocol::Udp, |s| s.rate_limit = 10);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for i in 0..200 {
        sender
            .send_to(format!("<13>{i}").as_bytes(), l.address)
            .unwrap();
    }
    let status = l.outlet.status.clone();
    let (lines, dropped) = l.stop().await;
    let limited: u64 = dropped.iter().map(|d| d.1).sum();
    assert_eq!(dropped[0].0, "rate_limit");
    // A burst of five seconds' worth, and what a slow machine's clock adds to it.
    assert!((50..200).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines.len() as u64 + limited, 200);
    let detail = status.reports(Timestamp(0)).remove(0).detail;
    let told = format!("rate limit: 127.0.0.1 lost {limited} messages");
    assert_eq!(detail, told);
}

#[tokio::test]
async fn a_connection_above_its_rate_waits_and_loses_nothing() {
    let mut l = Listening::new(Protocol::Tcp, |s| s.rate_limit = 1000);
    let mut stream = TcpStream::connect(l.address).unwrap();
    let text: String = (0..5100).map(|i| format!("<13>{i}\n")).collect();
    let sent = tokio::task::spawn_blocking(move || stream.write_all(text.as_bytes()));
    let lines = l.lines(5100).await;
    sent.await.unwrap().unwrap();
    assert_eq!(lines.last().map(Vec::as_slice), Some(&b"<13>5099"[..]));
    assert_eq!(l.stop().await.1, []);
}

#[tokio::test]
async fn a_senders_zone_tells_its_time() {
    let mut l = Listening::new(Protocol::Udp, |s| {
        s.zone = Some(serde_zone("UTC"));
        s.zones
            .insert("127.0.0.0/8".parse().unwrap(), serde_zone("Asia/Tokyo"));
    });
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender
        .send_to(b"<13>Jan  1 09:16:40 web1 app: x", l.address)
        .unwrap();
    let batch = l.batches.recv().await.unwrap();
    // The clock of these tests stands at 1970-01-01 00:16:40 UTC.
    assert_eq!(batch.events.heads()[0].time, Timestamp(1_000_000));
}

fn serde_zone(name: &str) -> crate::config::Zone {
    crate::config::Zone(jiff::tz::TimeZone::get(name).unwrap())
}

#[tokio::test]
async fn two_senders_of_one_name_are_shown() {
    let mut l = Listening::new(Protocol::Udp, |_| {});
    for from in ["127.0.0.1:0", "127.0.0.2:0"] {
        let sender = UdpSocket::bind(from).unwrap();
        let line = b"<13>Jan  1 00:16:40 web1 app: x";
        sender.send_to(line, l.address).unwrap();
        l.lines(1).await;
    }
    let status = l.outlet.status.clone();
    l.stop().await;
    let detail = status.reports(Timestamp(0)).remove(0).detail;
    assert_eq!(detail, "127.0.0.1 and 127.0.0.2 both call themselves web1");
}
