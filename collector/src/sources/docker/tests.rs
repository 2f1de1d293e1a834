//! The source against an engine of the test's own, which answers with the bytes of a real one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use vigie_parsers::Timestamp;
use vigie_store::{Batch, Options, Writer};

use super::*;
use crate::budget::Budget;
use crate::counts::Counters;
use crate::outlet::Outlet;
use crate::status::Status;

/// The head of Docker 20.10's answers.
const HEAD: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
                    Server: Docker/20.10.24+dfsg1 (linux)\r\nTransfer-Encoding: chunked\r\n\r\n";
const NOW: Timestamp = Timestamp(1_795_267_400_000);
const T: i64 = 1_795_267_393;

/// A container of the engine.
#[derive(Clone)]
struct Boxed {
    id: String,
    name: String,
    terminal: bool,
    running: bool,
    driver: &'static str,
    /// What is sent to who follows is not what is written.
    rotates: bool,
    /// Removed: only who follows it gets the end of its log.
    gone: bool,
    /// Stream, nanoseconds behind `T`, text with its line end.
    log: Vec<(u8, i64, String)>,
}

#[derive(Clone)]
struct FakeEngine {
    boxes: Arc<Mutex<Vec<Boxed>>>,
    events: broadcast::Sender<String>,
    /// Logs break off after so many bytes, once.
    cut: Arc<Mutex<Option<usize>>>,
    /// The addresses that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

fn id(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn container(n: u8, name: &str) -> Boxed {
    Boxed {
        id: id(n),
        name: name.to_owned(),
        terminal: false,
        running: true,
        driver: "json-file",
        rotates: false,
        gone: false,
        log: Vec::new(),
    }
}

fn stamp(ns: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(T) * 1_000_000_000 + i128::from(ns));
    at.unwrap().strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

impl Boxed {
    fn line(mut self, stream: u8, ns: i64, text: &str) -> Self {
        self.log.push((stream, ns, format!("{text}\n")));
        self
    }

    /// The log from a time on, as it is sent.
    fn bytes(&self, since: i64) -> Vec<u8> {
        self.bytes_of(self.log.iter(), since)
    }

    fn bytes_of<'a>(
        &self,
        log: impl Iterator<Item = &'a (u8, i64, String)>,
        since: i64,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (stream, ns, text) in log.filter(|l| T * 1_000_000_000 + l.1 >= since) {
            let payload = format!("{} {text}", stamp(*ns));
            if !self.terminal {
                bytes.extend_from_slice(&[*stream, 0, 0, 0]);
                bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
            }
            bytes.extend_from_slice(payload.as_bytes());
        }
        bytes
    }

    /// As an engine sends it that follows over rotations: every third record not at all, others twice.
    fn heard(&self) -> Vec<u8> {
        let log = self.log.iter().enumerate();
        let heard = log.filter(|(n, _)| n % 3 != 0);
        let heard = heard.flat_map(|(n, record)| std::iter::repeat_n(record, 1 + n % 2));
        self.bytes_of(heard, 0)
    }

    fn inspected(&self) -> String {
        let size = if self.rotates { "20k" } else { "-1" };
        format!(
            "{{\"Id\":\"{}\",\"Name\":\"/{}\",\"State\":{{\"Running\":{}}},\"Config\":{{\"Tty\":{},\"Image\":\"busybox\",\
             \"Labels\":{{\"com.docker.compose.project\":\"shop\",\"com.docker.compose.service\":\"{}\"}}}},\
             \"HostConfig\":{{\"LogConfig\":{{\"Type\":\"{}\",\"Config\":{{\"max-size\":\"{size}\"}}}}}}}}",
            self.id, self.name, self.running, self.terminal, self.name, self.driver
        )
    }
}

impl FakeEngine {
    fn new(boxes: Vec<Boxed>) -> Self {
        Self {
            boxes: Arc::new(Mutex::new(boxes)),
            events: broadcast::channel(16).0,
            cut: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn listen(&self, socket: &Path) -> tokio::task::JoinHandle<()> {
        let _ = std::fs::remove_file(socket);
        let (listener, engine) = (UnixListener::bind(socket).unwrap(), self.clone());
        tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let engine = engine.clone();
                serving.spawn(async move {
                    // A client that leaves is as good.
                    let _ = engine.serve(stream).await;
                });
            }
        })
    }

    fn find(&self, id: &str) -> Option<Boxed> {
        let boxes = self.boxes.lock().unwrap();
        boxes.iter().find(|b| b.id == id).cloned()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Boxed)) {
        let mut boxes = self.boxes.lock().unwrap();
        change(boxes.iter_mut().find(|b| b.name == name).unwrap());
    }

    fn tell(&self, action: &str, id: &str) {
        let event = format!(
            "{{\"status\":\"{action}\",\"id\":\"{id}\",\"from\":\"busybox\",\"Type\":\"container\",\"Action\":\"{action}\",\
             \"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\"image\":\"busybox\"}}}},\"scope\":\"local\",\"time\":1}}\n"
        );
        // Nobody listens: the list will tell.
        let _ = self.events.send(event);
    }

    async fn serve(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        if path.starts_with("/events?") {
            let mut events = self.events.subscribe();
            stream.write_all(HEAD.as_bytes()).await?;
            while let Ok(event) = events.recv().await {
                chunk(&mut stream, event.as_bytes()).await?;
            }
            return Ok(());
        }
        if path == "/containers/json?all=1" {
            let listed: Vec<_> = self.boxes.lock().unwrap().clone();
            let listed: Vec<_> = listed
                .iter()
                .map(|b| {
                    let state = if b.running { "running" } else { "exited" };
                    format!("{{\"Id\":\"{}\",\"State\":\"{state}\",\"Names\":[]}}", b.id)
                })
                .collect();
            return whole(&mut stream, &format!("[{}]", listed.join(","))).await;
        }
        let id = path.split('/').nth(2).unwrap();
        let Some(found) = self.find(id).filter(|b| !b.gone) else {
            let body = "{\"message\":\"No such container\"}";
            let head = format!(
                "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            return stream.write_all((head + body).as_bytes()).await;
        };
        match path.split_once("/logs?follow=1&stdout=1&stderr=1&timestamps=1&since=") {
            Some((_, since)) => self.log(stream, found, since).await,
            None if path.contains("/logs?follow=1&tail=0&") => self.ring(stream, found).await,
            None if path.contains("/logs?") => self.once(stream, &found, &path).await,
            None => whole(&mut stream, &found.inspected()).await,
        }
    }

    /// Follows a log that rotates, badly; the answer ends now and then.
    async fn ring(&self, mut stream: UnixStream, first: Boxed) -> std::io::Result<()> {
        stream.write_all(HEAD.as_bytes()).await?;
        let mut sent = first.heard().len();
        loop {
            let now = self.find(&first.id).unwrap_or_else(|| Boxed {
                running: false,
                ..first.clone()
            });
            let bytes = now.heard();
            chunk(&mut stream, bytes.get(sent..).unwrap_or_default()).await?;
            let news = bytes.len() != std::mem::replace(&mut sent, bytes.len());
            if !now.running || (news && now.log.len().is_multiple_of(7)) {
                return stream.write_all(b"0\r\n\r\n").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What there is of a log.
    async fn once(&self, mut stream: UnixStream, found: &Boxed, path: &str) -> std::io::Result<()> {
        let part = |name: &str| path.split(['&', '?']).find_map(|p| p.strip_prefix(name));
        let tail = part("tail=").map_or(usize::MAX, |n| n.parse().unwrap());
        let skipped = found.log.len().saturating_sub(tail);
        let since = part("since=").map_or(0, nanos);
        let bytes = found.bytes_of(found.log.iter().skip(skipped), since);
        stream.write_all(HEAD.as_bytes()).await?;
        for part in bytes.chunks(1000) {
            chunk(&mut stream, part).await?;
        }
        stream.write_all(b"0\r\n\r\n").await
    }

    async fn log(&self, mut stream: UnixStream, first: Boxed, since: &str) -> std::io::Result<()> {
        let since = nanos(since);
        stream.write_all(HEAD.as_bytes()).await?;
        let mut sent = 0;
        loop {
            let now = self.find(&first.id).unwrap_or_else(|| Boxed {
                running: false,
                ..first.clone()
            });
            let bytes = now.bytes(since);
            let cut = self.cut.lock().unwrap().take();
            if let Some(cut) = cut {
                return chunk(&mut stream, &bytes[..cut.min(bytes.len())]).await;
            }
            // In chunks that end anywhere.
            for part in bytes[sent..].chunks(1000) {
                chunk(&mut stream, part).await?;
            }
            sent = bytes.len();
            if !now.running {
                return stream.write_all(b"0\r\n\r\n").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn nanos(since: &str) -> i64 {
    let (s, ns) = since.split_once('.').unwrap();
    s.parse::<i64>().unwrap() * 1_000_000_000 + ns.parse::<i64>().unwrap()
}

async fn chunk(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let head = format!("{:x}\r\n", bytes.len());
    stream
        .write_all(&[head.as_bytes(), bytes, b"\r\n"].concat())
        .await
}

async fn whole(stream: &mut UnixStream, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await
}

type Positions = Vec<(String, Vec<u8>)>;

/// The source, without a daemon.
struct House {
    dir: tempfile::TempDir,
    writer: Writer,
    status: Status,
    /// Positions as the store would have them.
    positions: Arc<Mutex<Positions>>,
    /// Lines as `container stream text`.
    lines: Arc<Mutex<Vec<String>>>,
    keep: Vec<Choice>,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            writer: Writer::open(dir.path(), &Options::default(), NOW).unwrap(),
            dir,
            status: Status::default(),
            positions: Arc::default(),
            lines: Arc::default(),
            keep: Vec::new(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Starts the source; it ends with the token.
    fn start(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let shutdown = CancellationToken::new();
        let (positions, lines) = (Arc::clone(&self.positions), Arc::clone(&self.lines));
        let outlet = Outlet {
            counters: Counters::new(self.writer.registry(), &[]),
            take: Arc::new(move |batch| {
                commit(
                    batch,
                    &mut positions.lock().unwrap(),
                    &mut lines.lock().unwrap(),
                );
                Ok(())
            }),
            clock: Arc::new(|| NOW),
            status: self.status.clone(),
            shutdown: shutdown.clone(),
            budget: Budget::default(),
        };
        let plan = Plan {
            engine: Engine::new(&self.socket()),
            wanted: Wanted {
                keep: self.keep.clone(),
                leave_out: Vec::new(),
                backlog_ms: 3_600_000,
                joining: Joining::Auto,
                host: "vm".to_owned(),
            },
            journal_kept: true,
            outlet,
        };
        let positions = self.positions.lock().unwrap().clone();
        let roster = roster::Roster::new(Arc::new(plan), &positions);
        (shutdown, tokio::spawn(roster.run()))
    }

    /// Waits until so many lines are there; all of them.
    async fn lines(&self, n: usize) -> Vec<String> {
        let enough = async {
            while self.lines.lock().unwrap().len() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), enough).await;
        let lines = self.lines.lock().unwrap().clone();
        assert!(waited.is_ok(), "{lines:?}\n{:?}", self.status.reports(NOW));
        lines
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..6000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain: {what}: {:?}", self.status.reports(NOW));
    }
}

pub(super) fn commit(
    batch: Batch,
    positions: &mut Vec<(String, Vec<u8>)>,
    lines: &mut Vec<String>,
) {
    for head in batch.events.heads() {
        let fields = &batch.events.origin(head).fields;
        let get = |name: &str| fields.iter().find(|f| f.0 == name).map_or("-", |f| &f.1);
        let text = String::from_utf8_lossy(batch.events.line(head));
        lines.push(format!("{} {} {text}", get("container"), get("stream")));
    }
    for (key, value) in batch.positions {
        positions.retain(|p| p.0 != key);
        positions.extend(value.map(|v| (key, v)));
    }
}

#[tokio::test]
async fn lines_come_from_all_containers_and_from_new_ones() {
    let mut tty = container(2, "tty");
    tty.terminal = true;
    tty.log.push((1, 9, "typed\r\n".to_owned()));
    let mut silent = container(3, "silent").line(1, 0, "kept by the journal");
    silent.driver = "journald";
    let web = container(1, "web")
        .line(1, 0, "out")
        .line(2, 0, "err")
        .line(1, 0, "same stamp");
    let old = container(4, "old").line(1, -4_000_000_000_000, "beyond the backlog");
    let engine = FakeEngine::new(vec![web, tty, silent, old]);
    let house = House::new();
    let (stop, running) = house.start();
    // The engine comes later than we do.
    let _serving = engine.listen(&house.socket());
    let mut lines = house.lines(4).await;
    lines.sort();
    let want = [
        "tty stdout typed",
        "web stderr err",
        "web stdout out",
        "web stdout same stamp",
    ];
    assert_eq!(lines, want);
    engine.boxes.lock().unwrap().push(container(5, "new").line(
        1,
        -4_000_000_000_000,
        "from its beginning",
    ));
    engine.tell("start", &id(5));
    engine.change("web", |b| b.log.push((2, 7, "more\n".to_owned())));
    let mut lines = house.lines(6).await.split_off(4);
    lines.sort();
    assert_eq!(lines, ["new stdout from its beginning", "web stderr more"]);
    // One that is removed is forgotten, and its last words are not lost.
    engine.change("new", |b| {
        b.log.push((1, 1, "without a line feed".to_owned()));
        b.running = false;
    });
    engine.boxes.lock().unwrap().retain(|b| b.name != "tty");
    engine.tell("destroy", &id(2));
    assert_eq!(house.lines(7).await[6], "new stdout without a line feed");
    let key = position::Position::key(&id(2));
    house
        .until("forgotten", |h| {
            h.positions.lock().unwrap().iter().all(|p| p.0 != key)
        })
        .await;
    let report = house
        .status
        .reports(NOW)
        .into_iter()
        .find(|r| r.source == "docker:silent");
    assert_eq!(report.unwrap().detail, "its lines come with the journal");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(house.lines.lock().unwrap().len(), 7, "none twice");
}

#[tokio::test]
async fn each_line_once_though_logs_break_off_and_we_end() {
    let mut log = container(1, "web");
    for n in 0..400 {
        // Several of one stamp, on both streams.
        log = log.line(1 + u8::from(n % 3 == 0), n / 4, &format!("seq={n}"));
    }
    let engine = FakeEngine::new(vec![log]);
    let house = House::new();
    let mut serving = engine.listen(&house.socket());
    for sitting in 0..12 {
        *engine.cut.lock().unwrap() = Some(1 + sitting * 1699);
        let (stop, running) = house.start();
        let cut = Arc::clone(&engine.cut);
        house
            .until("broken off", move |_| cut.lock().unwrap().is_none())
            .await;
        if sitting % 3 == 2 {
            // The engine goes and comes back, with all its connections.
            serving.abort();
            let _ = serving.await;
            serving = engine.listen(&house.socket());
        }
        stop.cancel();
        running.await.unwrap();
    }
    let (stop, running) = house.start();
    let lines = house.lines(400).await;
    stop.cancel();
    running.await.unwrap();
    let number = |l: &String| l.rsplit_once('=').unwrap().1.parse::<i64>().unwrap();
    let mut numbers: Vec<_> = lines.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
}

/// What an engine sends over a rotation is not to be relied on; its clock is set back besides, and it has
/// pieces that are alike.
#[tokio::test]
async fn each_line_once_of_a_log_that_rotates() {
    let mut web = container(1, "web");
    web.rotates = true;
    let engine = FakeEngine::new(vec![web]);
    let house = House::new();
    let _serving = engine.listen(&house.socket());
    let (mut stop, mut running) = house.start();
    let mut written = 0;
    for burst in 0..12 {
        // Far more than is asked for at first, once.
        let n = if burst == 5 { 9000 } else { 1 + 37 * burst };
        engine.change("web", |b| {
            for _ in 0..n {
                let back = if burst == 8 { 60_000_000_000 } else { 0 };
                let ns = i64::try_from(written / 3).unwrap() * 1_000_000 - back;
                let err = 1 + u8::from(written % 4 == 0);
                let long = written % 50 == 7;
                for _ in 0..2 * usize::from(long) {
                    b.log.push((err, ns, "x".repeat(2000)));
                }
                b.log.push((err, ns, format!("seq={written}\n")));
                written += 1;
            }
        });
        house.lines(written).await;
        if burst % 4 == 2 {
            stop.cancel();
            running.await.unwrap();
            (stop, running) = house.start();
        }
    }
    // The last words, and the container is gone with its log.
    engine.change("web", |b| {
        for n in 0..7 {
            b.log
                .push((1, 90_000_000_000 + n, format!("last seq={}\n", written)));
            written += 1;
        }
        b.running = false;
    });
    let lines = house.lines(written).await;
    stop.cancel();
    running.await.unwrap();
    let number = |l: &String| l.rsplit_once("seq=").unwrap().1.parse::<usize>().unwrap();
    let mut numbers: Vec<_> = lines.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..written).collect::<Vec<_>>());
    let long = lines.iter().filter(|l| l.len() > 4000).count();
    assert_eq!(long, (0..written - 7).filter(|n| n % 50 == 7).count());
}

/// `docker run --rm`: the log goes with the container.
#[tokio::test]
async fn what_was_heard_of_a_log_that_is_gone_is_kept() {
    let mut web = container(1, "web").line(1, 0, "first");
    web.rotates = true;
    let engine = FakeEngine::new(vec![web]);
    let house = House::new();
    let _serving = engine.listen(&house.socket());
    let (stop, running) = house.start();
    house.lines(1).await;
    // It is followed by now.
    engine.change("web", |b| {
        b.log.push((1, 5, "last\n".to_owned()));
        (b.running, b.gone) = (false, true);
    });
    assert_eq!(
        house.lines(2).await,
        ["web stdout first", "web stdout last"]
    );
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_container_with_another_name_is_told_by_it() {
    for rotates in [false, true] {
        let mut web = container(1, "web").line(1, 0, "one");
        web.rotates = rotates;
        let engine = FakeEngine::new(vec![web]);
        let house = House::new();
        let _serving = engine.listen(&house.socket());
        let (stop, running) = house.start();
        house.lines(1).await;
        engine.change("web", |b| b.name = "shop".to_owned());
        engine.tell("rename", &id(1));
        house
            .until("renamed", |h| {
                let reports = h.status.reports(NOW);
                reports.iter().any(|r| r.source == "docker:shop")
                    && !reports.iter().any(|r| r.source == "docker:web")
            })
            .await;
        engine.change("shop", |b| b.log.push((1, 7, "two\n".to_owned())));
        assert_eq!(house.lines(2).await, ["web stdout one", "shop stdout two"]);
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_container_that_stops_and_starts_goes_on() {
    let engine = FakeEngine::new(vec![container(1, "web").line(1, 0, "first life")]);
    let house = House::new();
    let _serving = engine.listen(&house.socket());
    let (stop, running) = house.start();
    house.lines(1).await;
    engine.change("web", |b| b.running = false);
    house
        .until("stopped", |h| {
            let reports = h.status.reports(NOW);
            reports
                .iter()
                .any(|r| r.detail == "the container does not run")
        })
        .await;
    house.status.forget_stopped();
    engine.change("web", |b| {
        b.running = true;
        b.log.push((1, 5, "second life\n".to_owned()));
    });
    engine.tell("start", &id(1));
    assert_eq!(
        house.lines(2).await,
        ["web stdout first life", "web stdout second life"]
    );
    let report = house
        .status
        .reports(NOW)
        .into_iter()
        .find(|r| r.source == "docker:web");
    assert_eq!(report.unwrap().items, 1, "it is in the account again");
    // By the event alone: the engine was not asked again.
    let is_list = |p: &&String| *p == "/containers/json?all=1";
    let listed = engine.asked.lock().unwrap().iter().filter(is_list).count();
    assert_eq!(listed, 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn only_what_is_wanted() {
    let boxes = vec![
        container(1, "web").line(1, 0, "yes"),
        container(2, "db").line(1, 0, "no"),
    ];
    let engine = FakeEngine::new(boxes);
    let mut house = House::new();
    house.keep = vec!["service=w*".parse().unwrap()];
    let _serving = engine.listen(&house.socket());
    let (stop, running) = house.start();
    let log_of_web = format!("/containers/{}/json", id(2));
    let asked = Arc::clone(&engine.asked);
    house
        .until("looked at", move |_| {
            asked.lock().unwrap().contains(&log_of_web)
        })
        .await;
    assert_eq!(house.lines(1).await, ["web stdout yes"]);
    let log_of_db = format!("/containers/{}/logs", id(2));
    assert!(
        !engine
            .asked
            .lock()
            .unwrap()
            .iter()
            .any(|p| p.starts_with(&log_of_db))
    );
    stop.cancel();
    running.await.unwrap();
}

/// What answers is no engine.
#[tokio::test]
async fn strangers_at_the_socket_are_told_of_and_do_no_harm() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n[",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 20\r\n\r\n{\"message\":\"a\x1b[31m\"}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ] {
        let house = House::new();
        let listener = UnixListener::bind(house.socket()).unwrap();
        let (stop, running) = house.start();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(answer).await;
            }
        });
        house
            .until("it fails", |h| {
                let reports = h.status.reports(NOW);
                reports.iter().any(|r| r.state == vigie_store::SourceState::Failed)
            })
            .await;
        serving.abort();
        stop.cancel();
        running.await.unwrap();
    }
}
