//! What people ask of the store from another process: written into the file, done by its one writer.
//!
//! Whoever may write the file may ask. The request is a row of `setting`, or of `ts_inbox` for old figures;
//! the writer looks once a second, does it, and puts the answer in its place. For a while after it had
//! something to do it looks more often.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use vigie_parsers::Timestamp;

use crate::series::parcel::{self, Parcelled};
use crate::series::{NewName, Pattern};
use crate::{Error, Options, Result, Writer, file};

const REQUEST: &str = "request.";
/// What follows all keys that begin with [`REQUEST`].
const REQUEST_END: &str = "request/";
const ANSWER: &str = "answer.";
/// How long an answer is waited for: a writer whose disk is full does not answer.
const WAIT: Duration = Duration::from_secs(30);
/// The same for a parcel: a slow machine works a while at the largest.
const WAIT_PARCEL: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
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
/// Why it was not done; [`Error::Unanswered`] when the writer does not answer.
pub fn request(dir: &Path, options: &Options, request: &Request, now: Timestamp) -> Result<usize> {
    let path = dir.join(file::FILE_NAME);
    if !path.exists() {
        return Err(Error::Missing(path));
    }
    match Writer::open(dir, options, now) {
        Ok(mut writer) => writer.take_request(request, now),
        Err(Error::Locked { .. }) => {
            let asker = Asker::open(&path, options)?;
            let answer = asker.ask(&Question::Change(request))?;
            answer.parse().map_err(|_| Error::Limit(answer))
        }
        Err(e) => Err(e),
    }
}

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Question<'a> {
    Change(&'a Request),
    /// Old series to be taken in, packed. It may be asked twice.
    Parcel(&'a [u8]),
}

/// A process that asks the writer of a store.
#[derive(Debug)]
pub(crate) struct Asker {
    conn: Connection,
    path: PathBuf,
}

impl Asker {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self> {
        let conn = file::open_for_asking(path, options)?;
        let path = path.to_owned();
        Ok(Self { conn, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks, and waits for the answer. A writer that starts throws away what was asked before: a
    /// parcel is left again then.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<String> {
        let dir = self.path.parent().unwrap_or(&self.path);
        self.wait_for(question).map_err(|e| e.in_dir(dir))
    }

    fn wait_for(&self, question: &Question<'_>) -> Result<String> {
        let number = format!("{}.{}", std::process::id(), nonce());
        self.leave(question, &number)?;
        let since = Instant::now();
        let wait = match question {
            Question::Change(_) => WAIT,
            Question::Parcel(_) => WAIT_PARCEL,
        };
        while since.elapsed() < wait {
            let (answer, waits) = self.look(&number)?;
            if let Some(answer) = answer {
                let key = format!("{ANSWER}{number}");
                self.conn
                    .execute("DELETE FROM setting WHERE key = ?1", [&key])?;
                return Ok(answer);
            }
            if !waits && matches!(question, Question::Parcel(_)) {
                self.leave(question, &number)?;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        take_back(&self.conn, &number)?;
        Err(Error::Unanswered)
    }

    fn leave(&self, question: &Question<'_>, number: &str) -> Result<()> {
        let left = match question {
            Question::Change(request) => self.conn.execute(
                "INSERT INTO setting VALUES (?1, ?2)",
                params![format!("{REQUEST}{number}"), request.encode()],
            ),
            Question::Parcel(bytes) => self.conn.execute(
                "INSERT INTO ts_inbox(number, data) VALUES (?1, ?2)",
                params![number, bytes],
            ),
        };
        match left {
            Ok(_) => Ok(()),
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) => {
                Err(Error::Io {
                    path: self.path.clone(),
                    source: std::io::ErrorKind::PermissionDenied.into(),
                })
            }
            Err(e) if e.to_string().contains("no such table") => Err(older()),
            Err(e) => Err(e.into()),
        }
    }

    /// The answer, and whether the question still waits, as of one moment.
    fn look(&self, number: &str) -> Result<(Option<String>, bool)> {
        let mut stmt = self.conn.prepare_cached(
            "SELECT (SELECT value FROM setting WHERE key = ?1), \
             EXISTS(SELECT 1 FROM setting WHERE key = ?2) \
             OR EXISTS(SELECT 1 FROM ts_inbox WHERE number = ?3)",
        )?;
        let (answer, request) = (format!("{ANSWER}{number}"), format!("{REQUEST}{number}"));
        Ok(stmt.query_row([&answer, &request, number], |r| Ok((r.get(0)?, r.get(1)?)))?)
    }
}

fn older() -> Error {
    Error::Limit("the daemon is of another version and does not know this request".into())
}

fn take_back(conn: &Connection, number: &str) -> Result<()> {
    conn.execute(
        "DELETE FROM setting WHERE key = ?1",
        [format!("{REQUEST}{number}")],
    )?;
    conn.execute("DELETE FROM ts_inbox WHERE number = ?1", [number])?;
    Ok(())
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
    conn.execute("DELETE FROM ts_inbox", [])?;
    Ok(())
}

/// Something that was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Change(Request),
    Parcel(Vec<Parcelled>),
    /// It cannot be understood.
    Unknown,
}

/// What waits, by number.
pub(crate) fn waiting(conn: &Connection) -> Result<Vec<(String, Asked)>> {
    let mut stmt =
        conn.prepare_cached("SELECT key, value FROM setting WHERE key > ?1 AND key < ?2 LIMIT ?3")?;
    let rows = stmt.query_map(params![REQUEST, REQUEST_END, AT_ONCE_MAX], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (key, text) = row?;
        let number = key.strip_prefix(REQUEST).unwrap_or_default().to_owned();
        found.push((
            number,
            Request::decode(&text).map_or(Asked::Unknown, Asked::Change),
        ));
    }
    // One parcel at a look: others who send something have their turn in between.
    let parcel = conn
        .prepare_cached("SELECT number, data FROM ts_inbox ORDER BY id LIMIT 1")?
        .query_row([], |r| {
            let bytes = r.get_ref(1)?.as_blob().unwrap_or_default();
            Ok((r.get(0)?, parcel::decode(bytes)))
        })
        .optional()?;
    found.extend(
        parcel.map(|(number, parcel)| (number, parcel.map_or(Asked::Unknown, Asked::Parcel))),
    );
    Ok(found)
}

/// What a question that cannot be understood is answered.
pub(crate) fn not_understood<T>() -> Result<T> {
    Err(older())
}

/// Puts an answer in the place of a request.
pub(crate) fn answer(conn: &Connection, number: &str, done: Result<String>) -> Result<()> {
    let text = done.unwrap_or_else(|e| e.to_string());
    let tx = conn.unchecked_transaction()?;
    take_back(&tx, number)?;
    tx.execute(
        "INSERT OR REPLACE INTO setting VALUES (?1, ?2)",
        params![format!("{ANSWER}{number}"), text],
    )?;
    Ok(tx.commit()?)
}

/// Forgets an answer that nobody fetched.
pub(crate) fn forget(conn: &Connection, number: &str) -> Result<()> {
    let key = format!("{ANSWER}{number}");
    conn.execute("DELETE FROM setting WHERE key = ?1", [key])?;
    Ok(())
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
