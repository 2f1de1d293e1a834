//! How old figures get into the store from another process, whether a daemon writes it or nobody does.
//!
//! With nobody writing, the importing process writes itself. Else it leaves parcels in the file, one at a
//! time; the daemon takes each in one transaction and answers. Taking a parcel twice changes nothing, so
//! that whoever was killed, and whenever, the import is simply run again.

use std::path::Path;

use vigie_parsers::Timestamp;

use crate::request::{Asker, Question};
use crate::series::{self, OldSeries, Taken, parcel};
use crate::{Error, Options, Result, Writer, file};

/// Takes old series into the store of a data directory.
#[derive(Debug)]
pub struct Importer(Way);

#[derive(Debug)]
enum Way {
    Own(Box<Writer>),
    Asked(Asker),
}

impl Importer {
    /// Opens the store, or finds the daemon that writes it.
    ///
    /// # Errors
    /// When it is no store, when we may not write it, when the disk says no.
    pub fn open(dir: &Path, options: &Options, now: Timestamp) -> Result<Self> {
        match Writer::open(dir, options, now) {
            Ok(writer) => Ok(Self(Way::Own(Box::new(writer)))),
            Err(Error::Locked { .. }) => {
                let asker = Asker::open(&dir.join(file::FILE_NAME), options)?;
                Ok(Self(Way::Asked(asker)))
            }
            Err(e) => Err(e),
        }
    }

    /// Whether a daemon does the writing.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        matches!(self.0, Way::Asked(_))
    }

    /// Values that are best handed over together.
    #[must_use]
    pub fn batch_values(&self) -> usize {
        match self.0 {
            // Enough to make a transaction's cost small, little enough to hold.
            Way::Own(_) => 1 << 20,
            Way::Asked(_) => parcel::PARCEL_VALUES,
        }
    }

    /// Takes series in; what became of each. See [`Writer::import`]. Through a daemon this is one
    /// transaction for each parcel, a parcel more for what is large.
    ///
    /// # Errors
    /// Those of [`Writer::import`]; [`Error::Unanswered`] when the daemon does not answer.
    pub fn take(&mut self, series: &[OldSeries<'_>], now: Timestamp) -> Result<Vec<Taken>> {
        match &mut self.0 {
            Way::Own(writer) => writer.import(series, now),
            Way::Asked(asker) => ask(asker, series),
        }
    }
}

fn ask(asker: &Asker, series: &[OldSeries<'_>]) -> Result<Vec<Taken>> {
    let mut taken = vec![Taken::Same; series.len()];
    for parcel in parcels(series)? {
        let (places, contents): (Vec<usize>, Vec<OldSeries<'_>>) = parcel.into_iter().unzip();
        let bytes = parcel::encode(&contents).map_err(|source| Error::Io {
            path: asker.path().to_owned(),
            source,
        })?;
        let answer = asker.ask(&Question::Parcel(&bytes))?;
        let parts = series::read_taken(&answer)
            .filter(|parts| parts.len() == places.len())
            .ok_or(Error::Limit(answer))?;
        for (at, part) in places.into_iter().zip(parts) {
            taken[at] = taken[at].and(part);
        }
    }
    Ok(taken)
}

/// Series by their places, and as many of their archives as travel together.
type Parcel<'a> = Vec<(usize, OldSeries<'a>)>;

fn parcels<'a>(series: &[OldSeries<'a>]) -> Result<Vec<Parcel<'a>>> {
    let (mut parcels, mut open, mut held) = (Vec::new(), Parcel::new(), 0);
    for (at, one) in series.iter().enumerate() {
        let mut from = 0;
        for (i, archive) in one.archives.iter().enumerate() {
            let values = parcel::values(archive);
            if values > parcel::ARCHIVE_VALUES_MAX {
                return Err(Error::Limit(format!(
                    "{}: an archive of {values} values; through a running daemon {} can be taken. \
                     Stop it for this one",
                    one.labels,
                    parcel::ARCHIVE_VALUES_MAX
                )));
            }
            if held > 0 && held + values > parcel::PARCEL_VALUES {
                push(&mut open, at, one, from..i);
                parcels.push(std::mem::take(&mut open));
                (from, held) = (i, 0);
            }
            held += values;
        }
        push(&mut open, at, one, from..one.archives.len());
    }
    if !open.is_empty() {
        parcels.push(open);
    }
    Ok(parcels)
}

fn push<'a>(
    open: &mut Parcel<'a>,
    at: usize,
    one: &OldSeries<'a>,
    archives: std::ops::Range<usize>,
) {
    let archives = one.archives.get(archives).unwrap_or_default();
    if !archives.is_empty() {
        open.push((at, OldSeries { archives, ..*one }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use vigie_parsers::archives::Archive;
    use vigie_query::{Labels, SeriesSource};

    use super::*;
    use crate::{Reader, spawn};

    const NOW: Timestamp = Timestamp(2_000_000_000_000);

    fn archive(step_s: i64, slots: usize) -> Archive {
        let per_slot = u32::try_from(step_s / 300).unwrap();
        let first = 2_000_000_000 / step_s - i64::try_from(slots).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let average: Vec<f64> = (0..slots).map(|i| (i as f64).sqrt()).collect();
        let (min, max) = (Some(average.clone()), Some(average.clone()));
        Archive {
            step_s,
            per_slot,
            first,
            average,
            min,
            max,
            last: None,
        }
    }

    #[test]
    fn series_are_divided_by_archives() {
        let labels = Labels::metric("a", &[]);
        let slots = parcel::PARCEL_VALUES / 10;
        let archives = [archive(300, slots), archive(600, slots)];
        let one = OldSeries {
            labels: &labels,
            help: "",
            archives: &archives,
            last_update_s: 0,
            rates: false,
        };
        let found = parcels(&[one, one, one]).unwrap();
        let shape: Vec<Vec<(usize, usize)>> = found
            .iter()
            .map(|p| p.iter().map(|(at, s)| (*at, s.archives.len())).collect())
            .collect();
        // Three tenths each: three of them in a parcel.
        assert_eq!(shape, [vec![(0, 2), (1, 1)], vec![(1, 1), (2, 2)]]);
        let most = [archive(300, parcel::ARCHIVE_VALUES_MAX / 3 + 1)];
        let one = OldSeries {
            archives: &most,
            ..one
        };
        let said = parcels(&[one]).unwrap_err().to_string();
        assert!(said.contains("Stop it for this one"), "{said}");
    }

    #[test]
    fn what_a_daemon_is_asked_to_take_is_as_if_taken_by_oneself() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::default();
        let writer = Writer::open(dir.path(), &options, NOW).unwrap();
        let (handle, thread) = spawn(writer, Arc::new(|| NOW));
        let mut importer = Importer::open(dir.path(), &options, NOW).unwrap();
        assert!(importer.is_asked());
        let names = ["a", "b"].map(|name| Labels::metric(name, &[("x", "1")]));
        let archives = [
            archive(300, parcel::PARCEL_VALUES / 5),
            archive(3600, parcel::PARCEL_VALUES / 5),
        ];
        let both = names.each_ref().map(|labels| OldSeries {
            labels,
            help: "",
            archives: &archives,
            last_update_s: 2_000_000_000,
            rates: false,
        });
        let taken = importer.take(&both, NOW).unwrap();
        // The first value of each column is 0, which is as much a value as others.
        let values = archives.iter().map(|a| 3 * a.average.len() as u64).sum();
        assert_eq!(taken, [Taken::New(values); 2]);
        assert_eq!(importer.take(&both, NOW).unwrap(), [Taken::Same; 2]);
        let bad = [Archive {
            step_s: 0,
            ..archive(300, 1)
        }];
        let bad = [
            both[0],
            OldSeries {
                archives: &bad,
                ..both[1]
            },
        ];
        let said = importer.take(&bad, NOW).unwrap_err();
        assert!(matches!(said, Error::Limit(_)), "{said}");
        handle.close();
        thread.join().unwrap();
        let reader = Reader::open(dir.path()).unwrap();
        let all = reader
            .series(&[], Timestamp(i64::MIN), Timestamp(i64::MAX))
            .unwrap();
        assert_eq!(all, names);
        assert_eq!(reader.verify_series().unwrap().damaged, 0);
        let conn = rusqlite::Connection::open(dir.path().join(file::FILE_NAME)).unwrap();
        let left: i64 = conn
            .query_row(
                "SELECT (SELECT count(*) FROM ts_inbox) + \
                 (SELECT count(*) FROM setting WHERE key GLOB 'answer.*')",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_parcel_that_a_new_writer_threw_away_is_left_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::default();
        let dead = Writer::open(dir.path(), &options, NOW).unwrap();
        let mut importer = Importer::open(dir.path(), &options, NOW).unwrap();
        let labels = Labels::metric("a", &[]);
        let archives = [archive(300, 10)];
        let asked = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let import = scope.spawn(|| {
                asked.store(true, Ordering::SeqCst);
                let one = OldSeries {
                    labels: &labels,
                    help: "",
                    archives: &archives,
                    last_update_s: 2_000_000_000,
                    rates: false,
                };
                importer.take(&[one], NOW)
            });
            // The parcel lies there; the writer goes without having looked, another comes.
            let conn = rusqlite::Connection::open(dir.path().join(file::FILE_NAME)).unwrap();
            loop {
                let waiting: i64 = conn
                    .query_row("SELECT count(*) FROM ts_inbox", [], |r| r.get(0))
                    .unwrap();
                if waiting == 1 {
                    break;
                }
                std::thread::yield_now();
            }
            drop(dead);
            let (handle, thread) = spawn(
                Writer::open(dir.path(), &options, NOW).unwrap(),
                Arc::new(|| NOW),
            );
            assert_eq!(import.join().unwrap().unwrap(), [Taken::New(30)]);
            handle.close();
            thread.join().unwrap();
        });
    }
}
