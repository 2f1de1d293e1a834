//! Searches over real connections: late lines, clients that leave, clients that do not read.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use vigie_parsers::{Event, Origin, Record, Timestamp};
use vigie_query::{
    EventSource, Labels, Matcher, Metadata, Scan, ScanStats, Selection, Series, SeriesSource,
    SourceError,
};
use vigie_store::incidents::{Alert, Change, Entry, Incident, IncidentFilter, IncidentId};
use vigie_store::{Batch, Options, Reader, SourceReport, Writer};

use crate::{App, Config, Pool, Source, serve};

const NOW: Timestamp = Timestamp(1_795_000_000_000);
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store in which a search never ends by itself; tells how many were called off.
struct Endless {
    reader: Reader,
    ended: Arc<AtomicU64>,
}

impl EventSource for Endless {
    fn scan(
        &self,
        scan: &Scan<'_>,
        each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ScanStats, SourceError> {
        let event = Event {
            line: vec![b'x'; 1000],
            time: NOW,
            ..Event::default()
        };
        while scan.must_stop().is_none() {
            if scan.filter.matches(&event) && each(&event).is_break() {
                break;
            }
        }
        if scan.must_stop() != Some("time limit reached") {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        Ok(ScanStats::default())
    }
}

impl SeriesSource for Endless {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<Series>, SourceError> {
        self.reader.select(selection)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Labels>, SourceError> {
        SeriesSource::series(&self.reader, matchers, from, until)
    }

    fn metadata(&self) -> Result<Vec<Metadata>, SourceError> {
        self.reader.metadata()
    }
}

impl Source for Endless {
    fn figures(&self) -> &dyn SeriesSource {
        self
    }

    fn events(&self) -> &dyn EventSource {
        self
    }

    fn reports(&self) -> vigie_store::Result<Vec<SourceReport>> {
        self.reader.sources()
    }

    fn incidents(&self, filter: &IncidentFilter) -> vigie_store::Result<Vec<Incident>> {
        self.reader.incidents(filter)
    }

    fn incident(&self, id: IncidentId) -> vigie_store::Result<Option<Incident>> {
        self.reader.incident(id)
    }

    fn timeline(&self, id: IncidentId) -> vigie_store::Result<Vec<Entry>> {
        self.reader.timeline(id)
    }

    fn alerts(&self, id: IncidentId) -> vigie_store::Result<Vec<Alert>> {
        self.reader.incident_alerts(id)
    }

    fn active_alerts(&self) -> vigie_store::Result<Vec<Alert>> {
        self.reader.active_alerts()
    }

    fn changes(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> vigie_store::Result<Vec<Change>> {
        self.reader.changes(from, until, limit)
    }
}

async fn served(pool: Pool) -> (String, CancellationToken) {
    let config = Config {
        host: "here".to_owned(),
        names: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
        rules: Arc::default(),
    };
    let app = App::new(pool, None, Arc::new(|| NOW), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, app, stop.clone()));
    (address, stop)
}

async fn asked(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}

#[tokio::test]
async fn a_search_ends_when_its_client_leaves() {
    let dir = tempfile::tempdir().unwrap();
    drop(Writer::open(dir.path(), &Options::default(), NOW).unwrap());
    let reader = std::sync::Mutex::new(Reader::open(dir.path()).unwrap());
    let ended = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&ended);
    let pool = Pool::new(move || {
        let reader = reader.lock().unwrap().another()?;
        let ended = Arc::clone(&count);
        Ok(Box::new(Endless { reader, ended }))
    });
    let (address, stop) = served(pool).await;
    // One that finds nothing for ever, one that counts for ever, one that streams for ever.
    let paths = [
        "/api/v1/logs?q=nothing",
        "/api/v1/logs/fields?field=level",
        "/api/v1/logs?format=raw",
    ];
    for (n, path) in (1..).zip(paths) {
        let mut client = asked(&address, path, "").await;
        if path.contains("raw") {
            let mut some = [0; 1000];
            client.read_exact(&mut some).await.unwrap();
        } else {
            // The search has begun once the server has read the request; either way it must end.
            tokio::task::yield_now().await;
        }
        drop(client);
        until(path, || ended.load(Ordering::SeqCst) == n).await;
    }
    stop.cancel();
}

#[tokio::test]
async fn the_tail_shows_what_arrives_whatever_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), &Options::default(), NOW).unwrap();
    let mut take = |line: &str, time: Timestamp| {
        let origin = Arc::new(Origin {
            source: "test".to_owned(),
            fields: Vec::new(),
        });
        let mut record = Record::default();
        record.time = Some(time);
        record.message = 0..u32::try_from(line.len()).unwrap();
        let mut batch = Batch::default();
        batch
            .events
            .push(NOW, &origin, "raw", line.as_bytes(), &record);
        writer.apply(batch);
        writer.commit(NOW).unwrap();
    };
    take("before the tail", NOW);
    let (address, stop) = served(Pool::of_reader(Reader::open(dir.path()).unwrap())).await;
    // One that begins now, and one that comes back behind the first line.
    let mut fresh = asked(&address, "/api/v1/logs/tail?q=line", "").await;
    let mut back = asked(&address, "/api/v1/logs/tail", "Last-Event-ID: 1\r\n").await;
    let mut some = [0; 4096];
    assert!(fresh.read(&mut some).await.unwrap() > 0);
    // Its first look has happened for certain when the other one shows what came after it.
    take("other words", NOW);
    let mut text = read_until(&mut back, "other words").await;
    tokio::time::timeout(PATIENCE, async {
        // The fresh one looks twice a second; what it does not see yet is sent again and again.
        loop {
            take("a late line", NOW.plus_ms(-400 * 86_400_000));
            let mut some = vec![0; 65536];
            let read = tokio::time::timeout(Duration::from_millis(700), fresh.read(&mut some));
            if let Ok(Ok(n)) = read.await
                && String::from_utf8_lossy(&some[..n]).contains("a late line")
            {
                break;
            }
        }
    })
    .await
    .unwrap();
    text.push_str(&read_until(&mut back, "a late line").await);
    assert!(
        text.contains("id: ") && !text.contains("before the tail"),
        "{text}"
    );
    stop.cancel();
}

async fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut some = vec![0; 65536];
        while !text.contains(words) {
            let n = stream.read(&mut some).await.unwrap();
            assert!(n > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&some[..n]));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    text
}
