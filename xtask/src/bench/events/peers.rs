//! The same lines and questions for ripgrep, zstd, SQLite's FTS5 and ClickHouse, as Debian has them.
//! Each runs on one core; what a peer cannot be asked stays empty.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use vigie_parsers::{Context, Field, Name, Record, Timestamp, formats};

use super::Engine;
use super::corpus::{self, Corpus, Kind};
use super::questions::{Answer, Ask, Question, forget};
use crate::bench::process::Process;

/// A program to compare with.
pub(super) struct Peer {
    pub(super) name: &'static str,
    program: &'static str,
    package: &'static str,
    run: fn(&Path, &Corpus, &[Question]) -> Result<Engine>,
}

pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "ripgrep",
        program: "/usr/bin/rg",
        package: "ripgrep",
        run: ripgrep,
    },
    Peer {
        name: "zstd",
        program: "/usr/bin/zstd",
        package: "zstd",
        run: zstd,
    },
    Peer {
        name: "fts5",
        program: "/usr/bin/sqlite3",
        package: "sqlite3",
        run: fts5,
    },
    Peer {
        name: "clickhouse",
        program: "/usr/sbin/clickhouse-server",
        package: "clickhouse-server clickhouse-client",
        run: clickhouse,
    },
];

/// Warm answers are the best of so many.
const PASSES: usize = 3;

/// Measures a peer, if it is installed.
pub(super) fn run(
    peer: &Peer,
    dir: &Path,
    corpus: &Corpus,
    questions: &[Question],
) -> Result<Option<Engine>> {
    if !Path::new(peer.program).exists() {
        println!(
            "  {}: not installed, left out (apt-get install {})",
            peer.name, peer.package
        );
        return Ok(None);
    }
    let dir = dir.join(peer.name);
    std::fs::create_dir(&dir)?;
    let engine = (peer.run)(&dir, corpus, questions).with_context(|| peer.name)?;
    std::fs::remove_dir_all(&dir)?;
    Ok(Some(engine))
}

/// What a command says, and its processor milliseconds.
fn timed(args: &[&str]) -> Result<(String, f64)> {
    let out = Command::new("bash")
        .args(["-c", "TIMEFORMAT='%3U %3S'; time \"$@\"", "bash"])
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    let last = said.lines().last().unwrap_or_default();
    let mut cpu_s = 0.0;
    for part in last.split(' ') {
        let s: f64 = part.parse().with_context(|| said.clone().into_owned())?;
        cpu_s += s;
    }
    // ripgrep finds nothing with 1.
    if out.status.code().is_none_or(|c| c > 1) {
        bail!("{args:?}: {said}");
    }
    Ok((
        String::from_utf8_lossy(&out.stdout).into_owned(),
        cpu_s * 1e3,
    ))
}

/// Cold once, warm a few times.
fn answer(data: &Path, args: &[&str]) -> Result<Answer> {
    forget(data)?;
    let wall = Instant::now();
    let (said, _) = timed(args)?;
    let cold_ms = wall.elapsed().as_secs_f64() * 1e3;
    let mut warm_ms = f64::MAX;
    for _ in 0..PASSES {
        warm_ms = warm_ms.min(timed(args)?.1);
    }
    Ok(Answer {
        found: said.lines().count() as u64,
        warm_ms,
        cold_ms: Some(cold_ms),
    })
}

fn ripgrep(_dir: &Path, corpus: &Corpus, questions: &[Question]) -> Result<Engine> {
    let path = corpus.path.to_str().context("a path")?;
    let one = ["/usr/bin/rg", "-j1", "--no-config", "-N", "-i", "-F"];
    let ask = |question: &Question| -> Result<Option<Answer>> {
        let mut args = one.to_vec();
        match question.ask {
            Ask::Word(word) => args.extend(["-w", word]),
            Ask::Text(needle) => args.push(needle),
            _ => return Ok(None),
        }
        args.push(path);
        answer(&corpus.path, &args).map(Some)
    };
    Ok(Engine {
        name: "ripgrep",
        ingest: None,
        answers: questions.iter().map(ask).collect::<Result<_>>()?,
    })
}

fn zstd(dir: &Path, corpus: &Corpus, _questions: &[Question]) -> Result<Engine> {
    let packed = dir.join("lines.zst");
    let path = corpus.path.to_str().context("a path")?;
    let to = packed.to_str().context("a path")?;
    let args = [
        "/usr/bin/zstd",
        "-q",
        "-3",
        "--single-thread",
        path,
        "-o",
        to,
    ];
    let (_, cpu_ms) = timed(&args)?;
    Ok(Engine {
        name: "zstd -3",
        ingest: Some((cpu_ms / 1e3, std::fs::metadata(&packed)?.len())),
        answers: Vec::new(),
    })
}

fn fts5(dir: &Path, corpus: &Corpus, questions: &[Question]) -> Result<Engine> {
    let file = dir.join("fts5.db");
    let db = file.to_str().context("a path")?;
    let import = format!(".import {} lines", corpus.path.display());
    let script = [
        "PRAGMA page_size=8192;",
        "PRAGMA journal_mode=WAL;",
        "CREATE VIRTUAL TABLE lines USING fts5(line);",
        ".mode ascii",
        ".separator \"\\037\" \"\\n\"",
        &import,
    ];
    let mut args = vec!["/usr/bin/sqlite3", db];
    args.extend(script);
    let (_, cpu_ms) = timed(&args)?;
    let disk = std::fs::metadata(&file)?.len();
    let ask = |question: &Question| -> Result<Option<Answer>> {
        let sql = match question.ask {
            Ask::Word(word) => format!("SELECT line FROM lines WHERE lines MATCH '\"{word}\"'"),
            Ask::Text(needle) => format!("SELECT line FROM lines WHERE line LIKE '%{needle}%'"),
            Ask::AppWord(app, word) => format!(
                "SELECT line FROM lines WHERE lines MATCH '\"{app}\" AND \"{word}\"' ORDER BY rowid DESC LIMIT 200"
            ),
            Ask::Tail => "SELECT line FROM lines ORDER BY rowid DESC LIMIT 200".to_owned(),
            _ => return Ok(None),
        };
        answer(&file, &["/usr/bin/sqlite3", db, &sql]).map(Some)
    };
    Ok(Engine {
        name: "FTS5",
        ingest: Some((cpu_ms / 1e3, disk)),
        answers: questions.iter().map(ask).collect::<Result<_>>()?,
    })
}

/// A server of our own, on a port that is free now.
struct Server {
    process: Process,
    port: String,
}

impl Server {
    fn start(dir: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = dir.display();
        let config = format!(
            "<yandex><logger><level>error</level><log>{at}/log</log><errorlog>{at}/err</errorlog></logger>\
             <tcp_port>{port}</tcp_port><listen_host>127.0.0.1</listen_host>\
             <path>{at}/data/</path><tmp_path>{at}/tmp/</tmp_path><users_config>{at}/users.xml</users_config>\
             <mark_cache_size>1073741824</mark_cache_size>\
             <default_profile>default</default_profile><default_database>default</default_database></yandex>"
        );
        let users = "<yandex><profiles><default><max_threads>1</max_threads></default></profiles>\
             <users><default><password></password><networks><ip>127.0.0.1</ip></networks>\
             <profile>default</profile><quota>default</quota></default></users>\
             <quotas><default></default></quotas></yandex>";
        std::fs::write(dir.join("config.xml"), config)?;
        std::fs::write(dir.join("users.xml"), users)?;
        let config = format!("--config-file={at}/config.xml");
        let server = Self {
            process: Process::start(Path::new("/usr/sbin/clickhouse-server"), &[&config])?,
            port: port.to_string(),
        };
        let end = Instant::now() + Duration::from_secs(30);
        while server.ask("SELECT 1", Stdio::null()).is_err() {
            if Instant::now() > end {
                bail!("the server does not answer");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn ask(&self, sql: &str, input: Stdio) -> Result<String> {
        let out = Command::new("/usr/bin/clickhouse-client")
            .args(["--port", &self.port, "--query", sql])
            .stdin(input)
            .output()?;
        if !out.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// The server's own processor milliseconds, to hundredths of a second.
    fn cpu_ms(&self) -> f64 {
        self.process.usage().cpu_s * 1e3
    }
}

/// The fields of all lines, taken apart already: parsing is not counted.
fn fields_of(corpus: &Corpus, to: &Path) -> Result<()> {
    let format = formats::find(corpus.kind.format()).context("a known format")?;
    let wanted: &[Field] = match corpus.kind {
        Kind::Access => &[
            Field::Ip,
            Field::Method,
            Field::Path,
            Field::Status,
            Field::Bytes,
            Field::Referer,
            Field::Agent,
        ],
        Kind::Syslog => &[Field::Host, Field::App, Field::Pid],
    };
    let mut out = BufWriter::new(File::create(to)?);
    let mut record = Record::default();
    corpus.chunks(1 << 20, |chunk| {
        let mut cx = Context::new(Timestamp(corpus::START_MS), jiff::tz::TimeZone::UTC);
        for line in chunk.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            record.clear();
            format.parse(&mut cx, line, &mut record);
            let time_s = record.time.map_or(0, |t| t.0 / 1000);
            write!(out, "{time_s}")?;
            for &field in wanted {
                out.write_all(b"\t")?;
                let span = record.fields.iter().find(|s| s.name == Name::Known(field));
                out.write_all(span.map_or(b"0", |s| s.text(line)))?;
            }
            if corpus.kind == Kind::Syslog {
                let message = record.message.start as usize..record.message.end as usize;
                let level = record.severity.map_or(8, |s| s as u8);
                write!(out, "\t{level}\t")?;
                out.write_all(line.get(message).unwrap_or_default())?;
            }
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(())
}

/// Where text may stand.
fn text_columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Access => &["ip", "path", "referer", "agent"],
        Kind::Syslog => &["host", "app", "message"],
    }
}

fn sql(kind: Kind, ask: Ask) -> String {
    let anywhere = |needle: &str| {
        let needle = needle.to_lowercase();
        let tests: Vec<String> = text_columns(kind)
            .iter()
            .map(|c| format!("positionCaseInsensitive({c}, '{needle}') > 0"))
            .collect();
        tests.join(" OR ")
    };
    match ask {
        Ask::Word(needle) | Ask::Text(needle) => {
            format!("SELECT * FROM lines WHERE {}", anywhere(needle))
        }
        Ask::AppWord(app, word) => format!(
            "SELECT * FROM lines WHERE app = '{app}' AND positionCaseInsensitive(message, '{word}') > 0 ORDER BY time DESC LIMIT 200"
        ),
        Ask::StatusPath(path) => {
            format!("SELECT * FROM lines WHERE status >= 502 AND path = '{path}'")
        }
        Ask::Tail => "SELECT * FROM lines ORDER BY time DESC LIMIT 200".to_owned(),
        Ask::ErrorsByMinute => {
            "SELECT toStartOfMinute(time) AS m, count() FROM lines WHERE status >= 500 GROUP BY m"
                .to_owned()
        }
        Ask::LevelsByMinute => {
            "SELECT toStartOfMinute(time) AS m, level, count() FROM lines GROUP BY m, level"
                .to_owned()
        }
        Ask::Top(field) => format!(
            "SELECT {field}, count() AS n FROM lines GROUP BY {field} ORDER BY n DESC LIMIT 20"
        ),
    }
}

fn clickhouse(dir: &Path, corpus: &Corpus, questions: &[Question]) -> Result<Engine> {
    let server = Server::start(dir)?;
    let columns = match corpus.kind {
        Kind::Access => {
            "time DateTime, ip String, method String, path String, status UInt16, bytes UInt32, referer String, agent String"
        }
        Kind::Syslog => {
            "time DateTime, host String, app String, pid UInt32, level UInt8, message String"
        }
    };
    server.ask(
        &format!(
            "CREATE TABLE lines ({columns}) ENGINE = MergeTree PARTITION BY tuple() ORDER BY time"
        ),
        Stdio::null(),
    )?;
    let fields = dir.join("fields.tsv");
    fields_of(corpus, &fields)?;
    let before = server.cpu_ms();
    server.ask(
        "INSERT INTO lines FORMAT TabSeparated",
        File::open(&fields)?.into(),
    )?;
    std::fs::remove_file(&fields)?;
    server.ask("OPTIMIZE TABLE lines FINAL", Stdio::null())?;
    let cpu_s = (server.cpu_ms() - before) / 1e3;
    let size = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'lines'";
    let disk = server.ask(size, Stdio::null())?.trim().parse()?;
    let ask = |question: &Question| -> Result<Option<Answer>> {
        let sql = sql(corpus.kind, question.ask);
        let mut best = Answer {
            found: 0,
            warm_ms: f64::MAX,
            cold_ms: None,
        };
        for _ in 0..=PASSES {
            let before = server.cpu_ms();
            best.found = server.ask(&sql, Stdio::null())?.lines().count() as u64;
            best.warm_ms = best.warm_ms.min(server.cpu_ms() - before);
        }
        Ok(Some(best))
    };
    Ok(Engine {
        name: "ClickHouse",
        ingest: Some((cpu_s, disk)),
        answers: questions.iter().map(ask).collect::<Result<_>>()?,
    })
}
