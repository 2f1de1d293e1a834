//! systemd's journal files among the files of a search: each entry is an event.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use vigie_collector::JournalFile;
use vigie_parsers::journal::{Error, Journal, LineWriter};
use vigie_parsers::{Context, Event, Origin, Timestamp, formats};
use vigie_query::SourceError;
use vigie_query::log::Prefilter;

use super::lines::Each;

/// What reading a journal brought.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) flow: ControlFlow<()>,
    /// Entries that passed the prefilter.
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// What is damaged, if something is.
    pub(super) damage: Option<String>,
}

/// The file as a journal, if it is one.
///
/// # Errors
/// When it is one that cannot be read.
pub(super) fn open(path: &Path) -> Result<Option<Journal<JournalFile>>, SourceError> {
    if path.as_os_str() == "-" {
        return Ok(None);
    }
    match JournalFile::open(path) {
        Ok(journal) => Ok(Some(journal)),
        // Any other file says by itself what is wrong with it.
        Err(Error::NoJournal | Error::Empty | Error::Io(_)) => Ok(None),
        Err(e) => Err(SourceError::Store(format!("{}: {e}", path.display()))),
    }
}

/// Where the entries of a file come from.
pub(super) fn origin(path: &Path) -> Arc<Origin> {
    let name = path.display().to_string();
    Arc::new(Origin {
        source: format!("journal:{name}"),
        fields: vec![("file".to_owned(), name)],
    })
}

/// All entries that may pass the prefilter, numbered from `number` on.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn each_entry(
    journal: &mut Journal<JournalFile>,
    origin: &Arc<Origin>,
    number: &mut u64,
    prefilter: Option<&Prefilter>,
    each: &mut Each<'_>,
) -> io::Result<Read> {
    let format = formats::find("journal").expect("a format of ours");
    let mut writer = LineWriter::default();
    let mut context = Context::new(Timestamp(0), TimeZone::UTC);
    let mut event = Event {
        format: Arc::from(format.name),
        origin: Arc::clone(origin),
        ..Event::default()
    };
    let (mut entries, mut bytes) = (0, 0);
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue()
        && let Some(entry) = journal.next_entry()?
    {
        let line = writer.write(journal, &entry)?.bytes;
        *number += 1;
        bytes += line.len() as u64;
        if prefilter.is_some_and(|p| p.candidates(line).find(0).is_none()) {
            continue;
        }
        entries += 1;
        event.line.clear();
        event.line.extend_from_slice(line);
        event.record.clear();
        format.parse(&mut context, line, &mut event.record);
        event.id = *number;
        event.severity = event.record.severity;
        event.time = event.record.time.unwrap_or_default();
        event.recv = event.time;
        flow = each(&event);
    }
    let damage = journal.damage();
    let damaged = damage != vigie_parsers::journal::Damage::default();
    Ok(Read {
        flow,
        entries,
        bytes,
        damage: damaged.then(|| {
            format!(
                "{} entries and {} fields are damaged",
                damage.entries, damage.fields
            )
        }),
    })
}
