//! Deleting and renaming old series, as living ones are.

use foldhash::{HashSet, HashSetExt};
use rusqlite::{Transaction, params};
use vigie_query::Labels;

use super::write::drop_pages;
use super::{ARCHIVES_MAX, read_rows};
use crate::series::Registry;
use crate::series::rename::NewName;
use crate::series::retention::Pattern;
use crate::series::rows::put_labels;
use crate::{Error, Result};

/// Erases the series that a pattern means; which.
pub(crate) fn delete(
    tx: &Transaction<'_>,
    registry: &Registry,
    pattern: &Pattern,
) -> Result<Vec<Labels>> {
    let mut gone = Vec::new();
    for row in read_rows(tx)? {
        if pattern.matches(&row.labels) {
            drop_pages(tx, row.id, 0..ARCHIVES_MAX)?;
            tx.execute("DELETE FROM ts_old WHERE id = ?1", [row.id])?;
            registry.reserve(row.spec.bytes(), 0)?;
            gone.push(row.labels);
        }
    }
    Ok(gone)
}

/// Renames the series that a pattern means, all or none; which, by their former names.
pub(crate) fn rename(
    tx: &Transaction<'_>,
    registry: &Registry,
    pattern: &Pattern,
    to: &NewName,
) -> Result<Vec<Labels>> {
    let (mut taken, mut renamed) = (HashSet::new(), Vec::new());
    for row in read_rows(tx)? {
        let new = if pattern.matches(&row.labels) {
            to.of(&row.labels)
        } else {
            row.labels.clone()
        };
        if new != row.labels {
            registry.check_kind(&new, row.spec.rates)?;
            renamed.push((row.id, row.labels, new.clone(), row.spec.rates));
        }
        if !taken.insert(new.clone()) {
            return Err(Error::Limit(format!(
                "two imported series would be called {new}; nothing was renamed"
            )));
        }
    }
    // Two may change places: no name is left to be in the way of another.
    for (id, ..) in &renamed {
        tx.prepare_cached("UPDATE ts_old SET labels = 'moving ' || id WHERE id = ?1")?
            .execute([id])?;
    }
    for (id, _, new, rates) in &renamed {
        let mut labels = Vec::new();
        put_labels(&mut labels, new);
        tx.prepare_cached("UPDATE ts_old SET labels = ?2 WHERE id = ?1")?
            .execute(params![id, labels])?;
        tx.prepare_cached("INSERT OR IGNORE INTO ts_metric VALUES (?1, ?2, '')")?
            .execute(params![new.name(), rates])?;
    }
    Ok(renamed.into_iter().map(|(_, old, ..)| old).collect())
}
