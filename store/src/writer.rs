//! The one writer: takes batches, commits them once a second, then acknowledges.
//!
//! Taking a batch only changes memory. What has to reach the disk waits in the ingest parts until a
//! commit succeeds, so a full disk delays batches and never loses or doubles one: the same pending
//! bytes are offered again a second later, and nothing is acknowledged meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use vigie_parsers::Timestamp;

use crate::file;
use crate::lock::WriteLock;
use crate::request::{self, Asked};
use crate::{
    Batch, Done, Error, Health, Options, PastTrouble, Registry, Result, SourceReport, State,
};
use crate::{Request, events, series, sources, state, usage};

/// How long the writer leaves a reader alone that did not end: waiting for it holds up batches.
const WAL_RETRY: Duration = Duration::from_secs(10);
/// Answers that wait to be fetched. Those whose askers were killed would stay until the next start.
const ANSWERS_MAX: usize = 64;

/// The store, open for writing.
#[derive(Debug)]
pub struct Writer {
    conn: Connection,
    path: PathBuf,
    registry: Registry,
    events: events::Ingest,
    series: series::Ingest,
    pending: Pending,
    answered: VecDeque<String>,
    /// What it last wrote down of figures.
    told: String,
    wal: Wal,
    health: Health,
    lock: WriteLock,
}

/// What the writer did about a write-ahead log that grew long.
#[derive(Debug, Default)]
struct Wal {
    /// Until when it does not try again, because some reader did not end.
    tried: Option<Instant>,
    /// Whether it has said so.
    told: bool,
}

/// What the next commit writes besides events and samples, and whom it tells.
#[derive(Default)]
struct Pending {
    positions: Vec<(String, Option<Vec<u8>>)>,
    reports: Vec<SourceReport>,
    done: Vec<Done>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({} to acknowledge)", self.done.len())
    }
}

impl Writer {
    /// Opens the store in a data directory for writing, making both when they are not there. What a
    /// killed writer left in the journals is taken up again.
    ///
    /// # Errors
    /// When another process writes to it, when it is not a store, when the disk says no:
    /// [`Error::NoSpace`] when it is full.
    pub fn open(dir: &Path, options: &Options, now: Timestamp) -> Result<Self> {
        Self::take_up(dir, options, now).map_err(|e| e.in_dir(dir))
    }

    fn take_up(dir: &Path, options: &Options, now: Timestamp) -> Result<Self> {
        let path = dir.join(file::FILE_NAME);
        std::fs::create_dir_all(dir).map_err(|source| Error::Io {
            path: dir.to_owned(),
            source,
        })?;
        let lock = WriteLock::take(&path)?;
        let conn = file::open_for_writing(&path, options)?;
        let registry = Registry::load(&conn, options)?;
        let told = usage::tell(&registry.population());
        conn.execute(
            "INSERT OR REPLACE INTO setting VALUES (?1, ?2), (?3, ?4)",
            rusqlite::params![
                usage::BUDGET_KEY,
                options.budget_bytes.to_string(),
                usage::FIGURES_KEY,
                told
            ],
        )?;
        request::clear(&conn)?;
        sources::stop_all(&conn)?;
        let series = series::Ingest::open(&conn, &registry, options, now)?;
        let events = events::Ingest::open(&conn, options, now)?;
        Ok(Self {
            conn,
            path,
            registry,
            events,
            series,
            pending: Pending::default(),
            answered: VecDeque::new(),
            told,
            wal: Wal::default(),
            health: Health::default(),
            lock,
        })
    }

    /// The series known to the store; shared with all senders.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How its commits go.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What became of readings since the start.
    #[must_use]
    pub fn series_counts(&self) -> series::Counts {
        self.series.counts()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Positions of sources whose key begins with `prefix`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn positions(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        state::positions(&self.conn, prefix)
    }

    /// Takes a batch into memory; [`Writer::commit`] makes it durable.
    pub fn apply(&mut self, batch: Batch) {
        self.events.append(&batch.events);
        self.series.append(batch.samples);
        self.pending.positions.extend(batch.positions);
        self.pending.reports.extend(batch.reports);
        self.pending.done.extend(batch.done);
    }

    /// Repairs the blocks of log lines that are damaged: the lines that can still be put together
    /// are written anew, with their filter; what cannot be read goes.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn repair_events(&mut self) -> Result<events::EventRepair> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let repair = self.events.repair(&tx)?;
        tx.commit()?;
        Ok(repair)
    }

    /// Strikes out the damaged pages of figures, has the open chunks that could not be read begin anew,
    /// and corrects what is written down of the space that pages occupy: for `vigie verify --repair`.
    /// The writer ends with it; the next one counts anew.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn repair_series(mut self, now: Timestamp) -> Result<series::SeriesRepair> {
        self.commit(now)?;
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let repair = series::repair(&tx)?;
        tx.commit()?;
        Ok(repair)
    }

    /// Seals the open blocks of events at the next commit, however small they are.
    pub fn seal_events(&mut self) {
        self.events.seal_all();
    }

    /// Takes old figures in bulk, in one transaction and without the journal; how many were taken.
    ///
    /// Rows are in time order for each series; in time order altogether they are taken fastest. Each
    /// lies where its series has nothing yet: there is no way to tell a repetition. `spacing_ms` is
    /// how far apart readings may normally be; counters leave a gap beyond three times that. Rows
    /// after `until`, which is when live readings begin, are left out.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing was taken then.
    pub fn backfill(
        &mut self,
        rows: impl Iterator<Item = crate::SampleRow>,
        spacing_ms: i64,
        until: Timestamp,
    ) -> Result<u64> {
        self.commit(until)?;
        let filled = (|| {
            let tx = self
                .conn
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let taken = self.series.backfill(&tx, rows, spacing_ms, until)?;
            tx.commit()?;
            Ok(taken)
        })();
        match &filled {
            Ok(_) => self.series.committed(),
            Err(_) => self.series.reload(&self.conn)?,
        }
        filled.map_err(|e| self.in_dir(e))
    }

    /// Deletes the series that a pattern means and erases what is kept of them; how many.
    ///
    /// A series that is still read is not taken any more until it is announced again, which senders do
    /// when they start.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing was deleted then.
    pub fn delete_series(&mut self, pattern: &series::Pattern, now: Timestamp) -> Result<usize> {
        self.commit(now)?;
        let found = self.registry.find(pattern);
        let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
        self.change_series(|series, tx| series.delete(tx, &ids, now.0))?;
        let mut names: BTreeSet<_> = found.into_iter().map(|(_, labels)| labels).collect();
        self.change_series(|series, tx| {
            names.extend(series.delete_old(tx, pattern, now.0)?);
            Ok(())
        })?;
        Ok(names.len())
    }

    /// Renames the series that a pattern means: name and labels that `to` gives replace those that
    /// they have, an empty label goes. How many.
    ///
    /// # Errors
    /// [`Error::Limit`] when two series would have one name; nothing was renamed then. When the disk
    /// is full or fails.
    pub fn rename_series(
        &mut self,
        pattern: &series::Pattern,
        to: &series::NewName,
        now: Timestamp,
    ) -> Result<usize> {
        self.commit(now)?;
        let found = self.registry.find(pattern);
        let renamed = series::rename(&self.registry, found, to)?;
        let rows: Vec<_> = renamed.iter().map(|r| (r.id, r.new.clone())).collect();
        let mut names: BTreeSet<_> = renamed.iter().map(|r| r.old.clone()).collect();
        self.change_series(|series, tx| {
            names.extend(series.rename_old(tx, (pattern, to), now.0)?);
            Ok(())
        })?;
        if !rows.is_empty() {
            self.change_series(|series, tx| series.rename(tx, &rows, now.0))?;
            self.registry.rename(renamed);
        }
        Ok(names.len())
    }

    /// Does what was asked; how many series it concerned.
    ///
    /// # Errors
    /// Those of what was asked.
    pub fn take_request(&mut self, request: &Request, now: Timestamp) -> Result<usize> {
        match request {
            Request::DeleteSeries(pattern) => self.delete_series(pattern, now),
            Request::RenameSeries(pattern, to) => self.rename_series(pattern, to, now),
        }
    }

    /// Does what other processes ask, and answers them; how many requests there were.
    ///
    /// # Errors
    /// When requests cannot be read or answers not be written.
    pub fn take_requests(&mut self, now: Timestamp) -> Result<usize> {
        let waiting = request::waiting(&self.conn)?;
        let count = waiting.len();
        for (number, asked) in waiting {
            let done = match asked {
                Asked::Change(asked) => {
                    tracing::info!("asked by another process: {asked:?}");
                    self.take_request(&asked, now).map(|n| n.to_string())
                }
                Asked::Parcel(parcel) => {
                    let series: Vec<_> = parcel.iter().map(|p| p.series()).collect();
                    let taken = self.import(&series, now);
                    taken.map(|taken| series::write_taken(&taken))
                }
                Asked::Unknown => request::not_understood(),
            };
            request::answer(&self.conn, &number, done)?;
            self.answered.push_back(number);
            if self.answered.len() > ANSWERS_MAX
                && let Some(oldest) = self.answered.pop_front()
            {
                request::forget(&self.conn, &oldest)?;
            }
        }
        Ok(count)
    }

    /// A transaction that changes what is kept of series. Afterwards memory and disk agree.
    fn change_series(
        &mut self,
        change: impl FnOnce(&mut series::Ingest, &rusqlite::Transaction<'_>) -> Result<()>,
    ) -> Result<()> {
        let changed = (|| {
            let tx = self
                .conn
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            change(&mut self.series, &tx)?;
            Ok(tx.commit()?)
        })();
        match &changed {
            Ok(()) => self.series.committed(),
            Err(_) => self.series.reload(&self.conn)?,
        }
        changed.map_err(|e| self.in_dir(e))
    }

    /// Takes old series in as they are, with all their archives, in one transaction; what became of
    /// each. Taking the same in again changes nothing; a newer state of the same file adds to it.
    /// Readers see old figures up to the first live reading of the same name and labels.
    ///
    /// # Errors
    /// [`Error::Limit`] when they would not fit, or when a counter lives under the same name; when the
    /// disk is full or fails. Nothing was taken then.
    pub fn import(
        &mut self,
        series: &[series::OldSeries<'_>],
        now: Timestamp,
    ) -> Result<Vec<series::Taken>> {
        self.commit(now)?;
        let old_bytes = self.series.old_bytes();
        let imported = (|| {
            let tx = self
                .conn
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let taken = self.series.import(&tx, series, now)?;
            tx.commit()?;
            Ok(taken)
        })();
        match &imported {
            Ok(_) => self.series.committed(),
            Err(_) => self.series.undo_import(&self.conn, old_bytes)?,
        }
        imported.map_err(|e| self.in_dir(e))
    }

    /// Makes everything taken so far durable, in one transaction, and acknowledges it. After an
    /// error everything waits for the next call.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn commit(&mut self, now: Timestamp) -> Result<()> {
        self.commit_with(now, |_| Ok(Ok(())))
    }

    /// Commits what is pending and a state change with it. Only the change can fail on its own: it
    /// is then undone, and the rest is committed all the same.
    ///
    /// # Errors
    /// The change's own error, or that of the disk.
    pub fn update<T>(
        &mut self,
        now: Timestamp,
        change: impl FnOnce(&mut State<'_>) -> Result<T>,
    ) -> Result<T> {
        self.commit_with(now, |tx| {
            let savepoint = tx.savepoint()?;
            let changed = change(&mut State { tx: &savepoint });
            match changed {
                Ok(_) => savepoint.commit()?,
                Err(_) => drop(savepoint),
            }
            Ok(changed)
        })
    }

    fn in_dir(&self, e: Error) -> Error {
        e.in_dir(self.path.parent().unwrap_or(&self.path))
    }

    /// Everything that waits in one transaction, and what `more` does. Its outer error is the transaction's,
    /// the inner one its own.
    fn commit_with<T>(
        &mut self,
        now: Timestamp,
        more: impl FnOnce(&mut Transaction<'_>) -> Result<Result<T>>,
    ) -> Result<T> {
        let done = self.transact(now, more).map_err(|e| self.in_dir(e));
        let before = self.health.trouble.is_some();
        match &done {
            Ok(_) => self.health.succeeded(now),
            Err(e) => self.health.failed(e, now),
        }
        if before || done.is_err() {
            self.lock.tell(self.health.trouble.as_ref());
        }
        done?
    }

    fn transact<T>(
        &mut self,
        now: Timestamp,
        more: impl FnOnce(&mut Transaction<'_>) -> Result<Result<T>>,
    ) -> Result<Result<T>> {
        let mut tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.registry.write(&tx)?;
        self.events.write(&tx, now)?;
        self.series.write(&tx, now)?;
        for (key, value) in &self.pending.positions {
            state::write_position(&tx, key, value.as_deref())?;
        }
        for report in &self.pending.reports {
            sources::write(&tx, report)?;
        }
        let told = usage::tell(&self.registry.population());
        if told != self.told {
            State { tx: &tx }.set(usage::FIGURES_KEY, Some(&told))?;
        }
        if let Some(trouble) = &self.health.trouble {
            // Also so that not even a transaction without anything to write succeeds on a full disk.
            let text = PastTrouble::tell(trouble, now);
            State { tx: &tx }.set(PastTrouble::KEY, Some(&text))?;
        }
        let changed = more(&mut tx)?;
        tx.commit()?;
        self.told = told;
        self.registry.committed();
        self.events.committed();
        self.series.committed();
        let pending = std::mem::take(&mut self.pending);
        for done in pending.done {
            done(Ok(()));
        }
        self.keep_wal_short();
        Ok(changed)
    }

    /// Everything is durable already: what goes wrong here is only told.
    fn keep_wal_short(&mut self) {
        if self.wal.tried.is_some_and(|at| at.elapsed() < WAL_RETRY) {
            return;
        }
        match file::keep_wal_short(&self.conn, &self.path) {
            Ok(false) => self.wal = Wal::default(),
            Ok(true) => {
                if !self.wal.told {
                    let mib = file::wal_bytes(&self.path) >> 20;
                    tracing::warn!(
                        "the store's write-ahead log has grown to {mib} MiB, because something reads the file \
                         without an end: look for programs that have {} open",
                        self.path.display()
                    );
                }
                self.wal = Wal {
                    tried: Some(Instant::now()),
                    told: true,
                };
            }
            Err(e) => tracing::warn!("the store's write-ahead log stays as it is: {e}"),
        }
    }

    /// Bytes of events that wait for a commit.
    pub(crate) fn events_pending(&self) -> usize {
        self.events.pending_bytes()
    }

    /// Tells those whose batches could not be committed before the end; how many batches there are.
    pub(crate) fn refuse_pending(&mut self) -> usize {
        let pending = std::mem::take(&mut self.pending.done);
        let count = pending.len();
        for done in pending {
            done(Err(Error::Closed));
        }
        count
    }

    /// Nothing waits for a commit.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.done.is_empty()
            && self.pending.positions.is_empty()
            && self.pending.reports.is_empty()
            && self.events.pending_bytes() == 0
            && self.series.pending_bytes() == 0
    }
}
