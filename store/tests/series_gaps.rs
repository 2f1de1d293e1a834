//! Every gap has a reason, in open chunks, in pages, in coarse archives, after a restart.

use vigie_parsers::Timestamp;
use vigie_query::{Labels, Matcher, MetricKind, Selection};
use vigie_store::series::{Gap, Reason};
use vigie_store::{
    Batch, Options, Reader, Reading, SampleRow, SeriesDef, SeriesId, Synchronous, Writer,
};

/// On a border of every archive.
const START_MS: i64 = 247_222 * 7_200_000;
const HOUR_MS: i64 = 3_600_000;

struct Store {
    dir: tempfile::TempDir,
    writer: Writer,
    now_ms: i64,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let writer = open(&dir, START_MS);
        Self {
            dir,
            writer,
            now_ms: START_MS,
        }
    }

    fn restart(self, pause_ms: i64) -> Self {
        let Self {
            dir,
            writer,
            now_ms,
        } = self;
        drop(writer);
        let now_ms = now_ms + pause_ms;
        let writer = open(&dir, now_ms);
        Self {
            dir,
            writer,
            now_ms,
        }
    }

    fn series(&self, name: &str, kind: MetricKind) -> SeriesId {
        let def = SeriesDef {
            labels: Labels::metric(name, &[]),
            kind,
            help: "",
            step_ms: 1000,
        };
        self.writer.registry().intern(&def).expect("there is room")
    }

    /// One reading a second for each; their last is now.
    fn read(&mut self, rows: &[(SeriesId, Reading)]) {
        let mut batch = Batch::default();
        let time = Timestamp(self.now_ms);
        let row = |&(series, reading): &(SeriesId, Reading)| SampleRow {
            series,
            time,
            reading,
        };
        batch.samples.rows.extend(rows.iter().map(row));
        self.writer.apply(batch);
        self.writer.commit(time).expect("the disk is well");
        self.now_ms += 1000;
    }

    fn gaps(&self, name: &str, step_ms: i64) -> Vec<Gap> {
        let matchers = [Matcher::equal("__name__", name)];
        let reader = Reader::open(self.dir.path()).expect("a store");
        let found = reader.gaps(&Selection {
            matchers: &matchers,
            from: Timestamp(START_MS),
            until: Timestamp(self.now_ms),
            step_ms,
            max_samples: 1000,
            deadline: None,
        });
        let found = found.expect("the store can be read");
        found.into_iter().flat_map(|s| s.gaps).collect()
    }
}

fn open(dir: &tempfile::TempDir, now_ms: i64) -> Writer {
    let options = Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    };
    Writer::open(dir.path(), &options, Timestamp(now_ms)).expect("a store")
}

fn gap(from_s: i64, until_s: i64, reason: Reason) -> Gap {
    Gap {
        from: Timestamp(START_MS + from_s * 1000),
        until: Timestamp(START_MS + until_s * 1000),
        reason,
    }
}

#[test]
fn gaps_say_why() {
    let mut store = Store::new();
    let gauge = store.series("g", MetricKind::Gauge);
    let counter = store.series("c_total", MetricKind::Counter);
    store.now_ms += 1000;
    let mut count = 5;
    let mut live = |store: &mut Store, seconds: u64| {
        for _ in 0..seconds {
            count += 10;
            store.read(&[
                (gauge, Reading::Gauge(1.0)),
                (counter, Reading::Counter(count)),
            ]);
        }
        count
    };
    live(&mut store, 100);
    // Two seconds without an answer: short, but it is known why.
    for reason in [Reason::Timeout, Reason::Timeout] {
        store.read(&[(gauge, Reading::Unknown(reason))]);
    }
    live(&mut store, 98);
    // Long, and only its beginning is explained.
    store.read(&[(gauge, Reading::Unknown(Reason::NoSuchObject))]);
    store.now_ms += 59_000;
    live(&mut store, 40);
    // Nobody says anything.
    store.now_ms += 100_000;
    live(&mut store, 100);
    let explained = [
        gap(100, 102, Reason::Timeout),
        gap(200, 260, Reason::NoSuchObject),
        gap(300, 400, Reason::Silent),
    ];
    assert_eq!(store.gaps("g", 0), explained);
    let mut store = store.restart(300_000);
    let total = live(&mut store, 1);
    assert_eq!(
        store.gaps("g", 0)[3..],
        [gap(500, 800, Reason::Restart)],
        "vigie did not run"
    );

    // The counter's machine started again, five seconds ago; then an absurd reading.
    assert_eq!(
        store.gaps("c_total", 0).len(),
        3,
        "the gauge's and the restart"
    );
    store.now_ms += 7000;
    let since = Timestamp(store.now_ms - 5000);
    store.read(&[
        (counter, Reading::Restarted(since)),
        (counter, Reading::Counter(50)),
    ]);
    store.read(&[(counter, Reading::Counter(60))]);
    store.read(&[(counter, Reading::Counter(u64::MAX / 2))]);
    store.read(&[(counter, Reading::Counter(u64::MAX / 2 + 10))]);
    let last = store.gaps("c_total", 0).split_off(2);
    assert_eq!(
        last,
        [
            gap(500, 801, Reason::Restart),
            gap(801, 804, Reason::Reset),
            gap(810, 811, Reason::OutOfRange)
        ]
    );
    let counts = store.writer.series_counts();
    assert_eq!((counts.told, counts.jumps), (1, 1), "since this start");
    assert!(total > 0);

    // Six hours later the seconds are gone; ten seconds still know.
    let end = store.now_ms + 7 * HOUR_MS;
    while store.now_ms < end {
        store.now_ms += 59_000;
        store.read(&[(gauge, Reading::Gauge(1.0))]);
    }
    let coarse = store.gaps("g", 10_000);
    assert_eq!(
        coarse[..3],
        [
            gap(200, 260, Reason::NoSuchObject),
            gap(300, 400, Reason::Silent),
            gap(500, 800, Reason::Restart)
        ],
        "what fills a slot of ten seconds"
    );
}
