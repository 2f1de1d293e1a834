//! What people ask of the store from another process: written into the file, done by its one writer.
//!
//! Whoever may write the file may ask. The request is a row of `setting`; the writer looks once a
//! second, does it, and puts the answer in its place.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use vigie_parsers::Timestamp;

use crate::series::{NewName, Pattern};
use crate::{Error, Options, Result, Writer, file};

const REQUEST: &str = "request.";
/// What follows all keys that begin with [`REQUEST`].
const REQUEST_END: &str = "request/";
const ANSWER: &str = "answer.";
/// How long an answer is waited for: a writer whose disk is full does not answer.
const WAIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Requests that are done at one look; the others wait for the next.
const AT_ONCE_MAX: u32 = 16;

/// A change to what is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Series go, with everything that is kept of them.
    DeleteSeries(Pattern),
    /// Series get another name or other labels.
    RenameSeries(Pattern, NewName),
}

impl Request {
    fn encode(&self) -> String {
        match self {
            Self::DeleteSeries(pattern) => format!("delete\n{pattern}"),
            Self::RenameSeries(pattern, to) => format!("rename\n{pattern}\n{to}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('\n').collect();
        match parts[..] {
            ["delete", pattern] => Some(Self::DeleteSeries(pattern.parse().ok()?)),
            ["rename", pattern, to] => {
                Some(Self::RenameSeries(pattern.parse().ok()?, to.parse().ok()?))
            }
            _ => None,
        }
    }
}

/// Does what is asked: through the process that writes the store, or at once when there is none. How
/// many series it concerned.
///
/// # Errors
/// Why it was not done; [`Error::Limit`] also when the writer does not answer.
pub fn request(dir: &Path, options: &Options, request: &Request, now: Timestamp) -> Result<usize> {
    let path = dir.join(file::FILE_NAME);
    if !path.exists() {
        return Err(Error::Missing(path));
    }
    match Writer::open(dir, options, now) {
        Ok(mut writer) => writer.take_request(request, now),
        Err(Error::Locked { .. }) => ask(&path, request),
        Err(e) => Err(e),
    }
}

fn ask(path: &Path, request: &Request) -> Result<usize> {
    let conn = file::open_for_asking(path)?;
    let number = format!("{}.{}", std::process::id(), nonce());
    conn.execute(
        "INSERT INTO setting VALUES (?1, ?2)",
        params![format!("{REQUEST}{number}"), request.encode()],
    )?;
    let (key, since) = (format!("{ANSWER}{number}"), Instant::now());
    while since.elapsed() < WAIT {
        let answer: Option<String> = conn
            .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
            .query_row([&key], |r| r.get(0))
            .optional()?;
        let Some(answer) = answer else {
            std::thread::sleep(LOOK_AGAIN);
            continue;
        };
        conn.execute("DELETE FROM setting WHERE key = ?1", [&key])?;
        return answer.parse().map_err(|_| Error::Limit(answer));
    }
    conn.execute(
        "DELETE FROM setting WHERE key = ?1",
        [format!("{REQUEST}{number}")],
    )?;
    Err(Error::Limit(
        "the daemon that writes this store does not answer; `vigie status` says how it is".into(),
    ))
}

/// Tells one request of a process from the next.
fn nonce() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Requests and answers that nobody waits for any more.
pub(crate) fn clear(conn: &Connection) -> Result<()> {
    for prefix in [REQUEST, ANSWER] {
        conn.execute(
            "DELETE FROM setting WHERE substr(key, 1, length(?1)) = ?1",
            [prefix],
        )?;
    }
    Ok(())
}

/// The requests that wait: their numbers, and what is asked, if it can be understood.
pub(crate) fn waiting(conn: &Connection) -> Result<Vec<(String, Option<Request>)>> {
    let mut stmt =
        conn.prepare_cached("SELECT key, value FROM setting WHERE key > ?1 AND key < ?2 LIMIT ?3")?;
    let rows = stmt.query_map(params![REQUEST, REQUEST_END, AT_ONCE_MAX], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (key, text) = row?;
        let number = key.strip_prefix(REQUEST).unwrap_or_default().to_owned();
        found.push((number, Request::decode(&text)));
    }
    Ok(found)
}

/// Puts an answer in the place of a request.
pub(crate) fn answer(conn: &Connection, number: &str, done: &Result<usize>) -> Result<()> {
    let text = match done {
        Ok(count) => count.to_string(),
        Err(e) => e.to_string(),
    };
    let tx = conn.unchecked_transaction()?;
    tx.execute(
        "DELETE FROM setting WHERE key = ?1",
        [format!("{REQUEST}{number}")],
    )?;
    tx.execute(
        "INSERT OR REPLACE INTO setting VALUES (?1, ?2)",
        params![format!("{ANSWER}{number}"), text],
    )?;
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        let pattern: Pattern = "up{job=\"a\"}".parse().unwrap();
        for request in [
            Request::DeleteSeries(pattern.clone()),
            Request::RenameSeries(pattern, "{job=\"b\"}".parse().unwrap()),
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for text in ["", "delete", "delete\n(", "rename\nup", "drop\nup"] {
            assert_eq!(Request::decode(text), None, "{text}");
        }
    }
}
