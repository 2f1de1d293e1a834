//! Opening the file: its pragmas, its schema and its identity.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{Error, Options, Result, Synchronous};
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
/// How long any connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The store's file in a data directory.
pub(crate) const FILE_NAME: &str = "vigie.db";

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
