//! Opening the file: its lock, its pragmas, its schema and its identity.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;
use vigie_parsers::Timestamp;

use crate::{Error, Options, Result, Synchronous, Trouble};
use crate::{events, incidents, series, sources, state};

/// `vigi` in ASCII: tells our files from other SQLite files.
const APPLICATION_ID: i32 = 0x7669_6769;
/// Raised when the tables change; a reader refuses a newer one.
const SCHEMA_VERSION: i32 = 1;
/// A commit writes whole pages: small ones halve what a second's readings write. Blocks of events
/// are read as fast from small ones. Measured: see docs/journal.
pub(crate) const PAGE_BYTES: u32 = 4096;
/// A longer write-ahead log is moved into the file.
const WAL_MAX_BYTES: u64 = 32 << 20;
/// A page in the log has a header.
const WAL_HEADER_BYTES: u32 = 24;
/// Readers that follow one another without a pause keep the log from being begun anew, however short
/// they are. When it is so many times as long the writer waits for those of the moment.
const WAL_LONG: u64 = 2;
/// So long it waits; batches wait in memory meanwhile.
const WAL_PATIENCE: Duration = Duration::from_millis(500);
/// Whoever asks whether a store is written holds its lock for a moment: so often, and after so long,
/// is it asked for again.
const LOCK_TRIES: usize = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// How long any connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The store's file in a data directory.
pub(crate) const FILE_NAME: &str = "vigie.db";

/// The file of the lock has this size from the beginning, so that it can be written when the disk is full.
const CARD_BYTES: usize = 1024;

/// The lock that says who writes, and when commits fail: held as long as the value lives, gone with the
/// process.
///
/// The file is a card of [`CARD_BYTES`], overwritten in place: on its first line the process, and while
/// nothing can be written to the store, on the next ones since when, how many commits have failed, and why.
#[derive(Debug)]
pub(crate) struct WriteLock(File);

impl WriteLock {
    /// Takes the lock beside the store, or says who has it.
    pub(crate) fn take(store: &Path) -> Result<Self> {
        let path = store.with_extension("lock");
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        if !lock(&file, FlockOperation::NonBlockingLockExclusive) {
            let card = read_card(&file);
            return Err(Error::Locked {
                path: store.to_owned(),
                pid: card.lines().next().unwrap_or_default().trim().to_owned(),
            });
        }
        let lock = Self(file);
        lock.tell(None);
        Ok(lock)
    }

    /// Writes down whether the store can be written. What cannot be written down either is seen by the
    /// space that is free.
    pub(crate) fn tell(&self, trouble: Option<&Trouble>) {
        let _ = self.0.write_all_at(&card(trouble), 0);
    }
}

fn card(trouble: Option<&Trouble>) -> Vec<u8> {
    let mut text = format!("{}\n", std::process::id());
    if let Some(Trouble {
        since,
        failures,
        why,
    }) = trouble
    {
        let why = why.replace('\n', " ");
        text.push_str(&format!("{}\n{failures}\n{why}", since.0));
    }
    let mut card = text.into_bytes();
    card.resize(CARD_BYTES - 1, b' ');
    card.push(b'\n');
    card
}

fn read_card(file: &File) -> String {
    let mut card = vec![0; CARD_BYTES];
    let read = file.read_at(&mut card, 0).unwrap_or(0);
    card.truncate(read);
    String::from_utf8_lossy(&card).into_owned()
}

/// Why the process that writes a store cannot; `None` when it can, or there is none.
pub(crate) fn trouble(store: &Path) -> Option<Trouble> {
    let file = File::open(store.with_extension("lock")).ok()?;
    if lock(&file, FlockOperation::NonBlockingLockShared) {
        return None;
    }
    let card = read_card(&file);
    let mut lines = card.lines().skip(1);
    let mut next = || lines.next().map(str::trim);
    Some(Trouble {
        since: Timestamp(next()?.parse().ok()?),
        failures: next()?.parse().ok()?,
        why: next()?.to_owned(),
    })
}

/// What is left of the file system of a directory, or of the one that it will be made in, as df tells it.
#[must_use]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether nothing can be written to a directory for want of space. It is tried: file systems keep some
/// back, each in its own way, and count it as free.
pub(crate) fn is_full(dir: &Path) -> bool {
    /// As much as the index of the write-ahead log.
    const TRY_BYTES: usize = 32 << 10;
    let path = dir.join("vigie.try");
    let tried = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|file| {
            file.write_all_at(&[0; TRY_BYTES], 0)?;
            file.sync_all()
        });
    // It may not have come into being.
    let _ = std::fs::remove_file(&path);
    tried.is_err_and(|e| e.kind() == std::io::ErrorKind::StorageFull)
}

/// Whether a process holds the lock of a store.
pub(crate) fn is_written(store: &Path) -> bool {
    // Locked by several at once without harm, and free again when the file is closed.
    let look = FlockOperation::NonBlockingLockShared;
    File::open(store.with_extension("lock")).is_ok_and(|file| !lock(&file, look))
}

/// Takes a lock, also from under those who only look at it.
fn lock(file: &File, operation: FlockOperation) -> bool {
    (0..LOCK_TRIES).any(|n| {
        if n > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        rustix::fs::flock(file, operation).is_ok()
    })
}

/// How long the write-ahead log becomes before it is moved into the file: a sixth of small budgets.
fn wal_max(budget_bytes: u64) -> u64 {
    WAL_MAX_BYTES.min(budget_bytes / 6)
}

/// What of a budget is left to the log: half as much again, for the commit that makes it too long.
pub(crate) fn wal_reserve(budget_bytes: u64) -> u64 {
    wal_max(budget_bytes) / 2 * 3
}

/// Opens the file for the writer, making it when it is not there.
pub(crate) fn open_for_writing(path: &Path, options: &Options) -> Result<Connection> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|source| Error::Io {
            path: dir.to_owned(),
            source,
        })?;
    }
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    identify(&conn, path)?;
    // auto_vacuum stays none: freed pages are reused, the budget is counted in used pages.
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    conn.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES};"))?;
    // A file that exists keeps the pages that it was made with.
    let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |r| r.get(0))?;
    let pages_max = options.budget_bytes / u64::from(page_bytes);
    let wal_bytes = wal_max(options.budget_bytes);
    let wal_pages = wal_bytes / u64::from(page_bytes + WAL_HEADER_BYTES);
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = {wal_pages};
         PRAGMA journal_size_limit = {wal_bytes};
         PRAGMA max_page_count = {pages_max};
         PRAGMA cache_size = -4096;
         PRAGMA temp_store = MEMORY;"
    ))?;
    if user_version(&conn)? == 0 {
        create(&conn)?;
    }
    conn.execute_batch(series::OLD_SCHEMA)?;
    conn.execute_batch(events::PATTERN_SCHEMA)?;
    Ok(conn)
}

/// Bytes of the write-ahead log.
pub(crate) fn wal_bytes(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |m| m.len())
}

/// Begins the write-ahead log anew when it has grown long; whether it is still long then, because some
/// reader does not end.
pub(crate) fn keep_wal_short(conn: &Connection, path: &Path) -> Result<bool> {
    let limit: i64 = conn.pragma_query_value(None, "journal_size_limit", |r| r.get(0))?;
    if wal_bytes(path) <= WAL_LONG * u64::try_from(limit).unwrap_or(WAL_MAX_BYTES) {
        return Ok(false);
    }
    conn.busy_timeout(WAL_PATIENCE)?;
    let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| {
        r.get::<_, bool>(0)
    });
    conn.busy_timeout(BUSY_TIMEOUT)?;
    Ok(busy?)
}

/// Opens the file for reading, beside a writer or without one.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    identify(&conn, path)?;
    if user_version(&conn)? == 0 {
        return Err(Error::Missing(path.to_owned()));
    }
    conn.execute_batch("PRAGMA query_only = 1; PRAGMA cache_size = -4096;")?;
    Ok(conn)
}

/// Opens the file to leave a request in it for its writer, within the same budget.
pub(crate) fn open_for_asking(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    identify(&conn, path)?;
    let page_bytes: u32 = conn.pragma_query_value(None, "page_size", |r| r.get(0))?;
    let pages_max = options.budget_bytes / u64::from(page_bytes.max(1));
    conn.execute_batch(&format!("PRAGMA max_page_count = {pages_max};"))?;
    Ok(conn)
}

fn user_version(conn: &Connection) -> Result<i32> {
    Ok(conn.pragma_query_value(None, "user_version", |r| r.get(0))?)
}

fn identify(conn: &Connection, path: &Path) -> Result<()> {
    let foreign = |reason: String| {
        Err(Error::Foreign {
            path: path.to_owned(),
            reason,
        })
    };
    let id: i32 = match conn.pragma_query_value(None, "application_id", |r| r.get(0)) {
        Ok(id) => id,
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return foreign("this is no vigie store (not an SQLite file)".to_owned());
        }
        Err(e) => return Err(e.into()),
    };
    let version = user_version(conn)?;
    if id != APPLICATION_ID && (id != 0 || version != 0) {
        return foreign("this SQLite file belongs to another program".to_owned());
    }
    if version > SCHEMA_VERSION {
        return foreign(format!(
            "made by a newer vigie (layout {version}; this one knows {SCHEMA_VERSION})"
        ));
    }
    Ok(())
}

fn create(conn: &Connection) -> Result<()> {
    let tables = [
        series::SCHEMA,
        events::SCHEMA,
        incidents::SCHEMA,
        sources::SCHEMA,
        state::SCHEMA,
    ];
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
        tables.concat()
    ))?;
    Ok(())
}
