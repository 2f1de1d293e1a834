//! systemd's journal files among those of an import: each entry once, by the marks that following them
//! leaves as well.

use std::path::PathBuf;

use anyhow::Result;
use vigie_collector::{JournalFile, read_journals};
use vigie_store::{Batch, Writer};

use super::work::Account;
use super::{Accounts, COMMIT_BYTES};
use crate::context::Context;

/// The beginning of the keys of what is known of journals.
const POSITIONS: &str = "journal";

/// Takes journal files in, one after the other.
pub(super) fn take(
    cx: &Context,
    host: &str,
    files: &[PathBuf],
    writer: &mut Writer,
) -> Result<Accounts> {
    let mut accounts = Vec::with_capacity(files.len());
    for path in files {
        let mut account = Account {
            lines: JournalFile::open(path).map_or(0, |j| j.header().entries),
            ..Account::default()
        };
        take_one(cx, host, path, writer, &mut account)?;
        account.known = account.lines.saturating_sub(account.taken);
        account.formats.insert("journal", account.lines);
        accounts.push((path.clone(), account));
    }
    Ok(accounts)
}

fn take_one(
    cx: &Context,
    host: &str,
    path: &PathBuf,
    writer: &mut Writer,
    account: &mut Account,
) -> Result<()> {
    let positions = writer.positions(POSITIONS)?;
    let registry = writer.registry().clone();
    let (mut bytes, mut failed) = (0, None);
    let paths = std::slice::from_ref(path);
    let read = read_journals(paths, host, &registry, cx.now, &positions, &mut |batch| {
        account.taken += batch.events.len() as u64;
        for head in batch.events.heads() {
            let span = account.span.get_or_insert((head.time, head.time));
            *span = (span.0.min(head.time), span.1.max(head.time));
        }
        bytes += batch.events.line_bytes();
        // Figures of old lines would lie behind those that are there.
        writer.apply(Batch {
            samples: Default::default(),
            ..batch
        });
        if bytes >= COMMIT_BYTES {
            bytes = 0;
            failed = writer.commit(cx.now).err();
        }
        failed.is_none()
    });
    if let Some(e) = failed {
        return Err(e.into());
    }
    if let Err(e) = read {
        account.trouble = Some(e.to_string());
    }
    writer.commit(cx.now)?;
    Ok(())
}
