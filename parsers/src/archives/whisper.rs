//! Graphite's whisper files: rings of (time, value), each archive with its own.
//!
//! ```text
//! aggregation u32 | longest retention u32 | xff f32 | archives u32        big endian
//! offset u32 | seconds per point u32 | points u32                         for each archive
//! time u32 | value f64                                                    for each point
//! ```
//! A point stands at the begin of its slot; its place in the ring follows from its time and that of
//! the first point. Points whose time is not the one that their place has are older turns of the
//! ring: unknown.

use super::{Archive, Damage, File, Series};

const HEADER: usize = 16;
const ARCHIVE: usize = 12;
const POINT: usize = 12;
/// Archives of a file at most; a header with more is none.
const ARCHIVES_MAX: u32 = 1000;
/// The ways of aggregating, from 1 on.
const METHODS: [&str; 8] = [
    "average", "sum", "last", "max", "min", "avg_zero", "absmax", "absmin",
];

/// One archive as the header describes it.
struct Head {
    offset: usize,
    step_s: u32,
    points: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*field))
}

/// Reads a file. Its one series has no name.
///
/// # Errors
/// When it is too short for what it says it holds, or its figures make no sense.
pub fn read(bytes: &[u8]) -> Result<File, Damage> {
    let short = || Damage::byte(bytes.len() as u64, "the file ends within its head");
    let method = word(bytes, 0).ok_or_else(short)?;
    let count = word(bytes, 12).ok_or_else(short)?;
    let name = usize::try_from(method)
        .ok()
        .and_then(|m| METHODS.get(m.checked_sub(1)?));
    let name = name.ok_or_else(|| {
        Damage::byte(
            0,
            format!("no file of whisper: aggregation {method}, 1 to 8 are known"),
        )
    })?;
    if !(1..=ARCHIVES_MAX).contains(&count) {
        return Err(Damage::byte(12, format!("{count} archives")));
    }
    let mut heads: Vec<Head> = Vec::new();
    for i in 0..count as usize {
        let at = HEADER + i * ARCHIVE;
        let head = head(bytes, at)?;
        let finer = heads.last().map_or(0, |h| h.step_s);
        if head.step_s <= finer || head.step_s > 366 * 86_400 {
            let what = format!("archive {i}: {} s a point after {finer} s", head.step_s);
            return Err(Damage::byte(at as u64, what));
        }
        heads.push(head);
    }
    let base = heads.first().map_or(1, |h| h.step_s);
    let mut file = File::default();
    let mut infinite = 0;
    let mut series = Series {
        kind: (*name).to_owned(),
        ..Series::default()
    };
    for head in &heads {
        let points = points(bytes, head, &mut infinite);
        let newest = points
            .iter()
            .map(|(time, _)| i64::from(*time))
            .max()
            .unwrap_or(0);
        file.last_update_s = file.last_update_s.max(newest);
        series
            .archives
            .extend(archive(&points, head, base, *name == "sum"));
    }
    if heads.len() > 1 && !matches!(*name, "average" | "sum") {
        file.notes.push(format!(
            "longer points are aggregated by `{name}`: it stands for their average, too"
        ));
    }
    if *name == "sum" {
        file.notes.push(
            "longer points are sums; what is read is their average over the shortest \
                         ones"
                .to_owned(),
        );
    }
    if infinite > 0 {
        file.left_out
            .push(format!("{infinite} values that are no numbers"));
    }
    file.series.push(series);
    Ok(file)
}

fn head(bytes: &[u8], at: usize) -> Result<Head, Damage> {
    let field = |i: usize| {
        word(bytes, at + 4 * i)
            .ok_or_else(|| Damage::byte(bytes.len() as u64, "the file ends within its head"))
    };
    let (offset, step_s, points) = (field(0)?, field(1)?, field(2)?);
    let end = u64::from(offset) + u64::from(points) * POINT as u64;
    if points == 0 || end > bytes.len() as u64 {
        let what = format!(
            "{points} points at byte {offset} in a file of {} bytes",
            bytes.len()
        );
        return Err(Damage::byte(at as u64, what));
    }
    Ok(Head {
        offset: offset as usize,
        step_s,
        points: points as usize,
    })
}

/// The points of an archive that are where their time belongs, by time.
fn points(bytes: &[u8], head: &Head, infinite: &mut usize) -> Vec<(u32, f64)> {
    let ring = bytes.get(head.offset..).unwrap_or_default();
    let all = ring
        .chunks_exact(POINT)
        .take(head.points)
        .filter_map(|point| {
            let (time, value) = point.split_first_chunk::<4>()?;
            Some((
                u32::from_be_bytes(*time),
                f64::from_be_bytes(*value.first_chunk()?),
            ))
        });
    let base = all.clone().next().map_or(0, |(time, _)| time);
    let ring_s = i64::from(head.step_s) * i64::try_from(head.points).unwrap_or(1);
    let newest = all
        .clone()
        .map(|(time, _)| i64::from(time))
        .max()
        .unwrap_or(0);
    let belongs = |place: usize, time: u32| {
        let due = i64::from(base) + i64::from(head.step_s) * i64::try_from(place).unwrap_or(0);
        time != 0
            && time.is_multiple_of(head.step_s)
            && (i64::from(time) - due).rem_euclid(ring_s) == 0
            && newest - i64::from(time) < ring_s
    };
    let mut points: Vec<(u32, f64)> = Vec::new();
    for (place, (time, value)) in all.enumerate() {
        if base != 0 && belongs(place, time) {
            if value.is_finite() {
                points.push((time, value));
            } else if value.is_infinite() {
                *infinite += 1;
            }
        }
    }
    points.sort_unstable_by_key(|p| p.0);
    points
}

/// `None` when nothing is known.
fn archive(points: &[(u32, f64)], head: &Head, base: u32, sums: bool) -> Option<Archive> {
    let slot = |time: u32| i64::from(time / head.step_s);
    let until = slot(points.last()?.0) + 1;
    let first = slot(points.first()?.0);
    let per_slot = (head.step_s / base).max(1);
    // All lie within one turn of the ring: no more slots than points.
    let len = usize::try_from(until - first).ok()?;
    let mut values = vec![f64::NAN; len];
    for &(time, value) in points {
        let at = usize::try_from(slot(time) - first).ok()?;
        if let Some(cell) = values.get_mut(at) {
            *cell = if sums {
                value / f64::from(per_slot)
            } else {
                value
            };
        }
    }
    Some(Archive {
        step_s: i64::from(head.step_s),
        per_slot,
        first,
        average: values,
        ..Archive::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file with one ring for each `(step, points)`, its points where their times belong.
    fn write(method: u32, archives: &[(u32, u32)], values: &[Vec<(u32, f64)>]) -> Vec<u8> {
        let mut out = Vec::new();
        let count = u32::try_from(archives.len()).unwrap();
        for word in [method, 0, 0.5f32.to_bits(), count] {
            out.extend(word.to_be_bytes());
        }
        let mut offset = 16 + 12 * count;
        for (step, points) in archives {
            for word in [offset, *step, *points] {
                out.extend(word.to_be_bytes());
            }
            offset += 12 * points;
        }
        for ((step, points), values) in archives.iter().zip(values) {
            let mut ring = vec![(0u32, 0.0f64); *points as usize];
            let base = values.first().map_or(0, |v| v.0);
            for &(time, value) in values {
                let place = (i64::from(time) - i64::from(base)) / i64::from(*step);
                ring[usize::try_from(place.rem_euclid(i64::from(*points))).unwrap()] =
                    (time, value);
            }
            for (time, value) in ring {
                out.extend(time.to_be_bytes());
                out.extend(value.to_be_bytes());
            }
        }
        out
    }

    #[test]
    fn a_point_is_the_slot_that_begins_with_it() {
        let fine = vec![(600, 1.0), (660, f64::NAN), (720, 3.5)];
        let bytes = write(
            1,
            &[(60, 5), (300, 4)],
            &[fine, vec![(300, 2.0), (600, 2.25)]],
        );
        let file = read(&bytes).unwrap();
        let [fine, coarse] = &file.series[0].archives[..] else {
            panic!("{file:?}")
        };
        assert_eq!(
            (fine.step_s, fine.first, fine.average.len(), fine.known()),
            (60, 10, 3, 2)
        );
        assert_eq!(
            (coarse.per_slot, coarse.first, &coarse.average[..]),
            (5, 1, &[2.0, 2.25][..])
        );
        assert_eq!(file.last_update_s, 720);
    }

    #[test]
    fn what_the_library_wrote_is_read_as_it_reads_it() {
        let file = read(include_bytes!("../../../samples/whisper/average.wsp")).unwrap();
        let golden = include_str!("../../../samples/whisper/average.golden");
        let archives = &file.series[0].archives;
        for (line, archive) in golden.lines().filter(|l| !l.starts_with('#')).zip(archives) {
            let mut words = line.split(' ');
            let mut number = || words.next().unwrap().parse::<i64>().unwrap();
            let (step_s, from_s) = (number(), number());
            assert_eq!(archive.step_s, step_s);
            for (slot, word) in (from_s / step_s..).zip(words) {
                let at = usize::try_from(slot - archive.first).ok();
                let value = at
                    .and_then(|at| archive.average.get(at))
                    .filter(|v| !v.is_nan());
                assert_eq!(value.copied(), word.parse().ok(), "{step_s} {slot}");
            }
        }
        assert_eq!(file.last_update_s, 1_700_000_400);
    }

    #[test]
    fn former_turns_of_the_ring_are_unknown() {
        // The ring has gone round: 900 stands where 600 stood, and 660 of the turn before is left.
        let bytes = write(
            1,
            &[(60, 5)],
            &[vec![
                (600, 1.0),
                (660, 2.0),
                (720, 3.0),
                (900, 4.0),
                (1020, 5.0),
            ]],
        );
        let file = read(&bytes).unwrap();
        let a = &file.series[0].archives[0];
        assert_eq!((a.first, a.known()), (15, 2));
    }

    #[test]
    fn sums_keep_their_rate() {
        let bytes = write(2, &[(60, 5), (300, 4)], &[vec![], vec![(300, 50.0)]]);
        let file = read(&bytes).unwrap();
        assert_eq!(
            (
                file.series[0].archives.len(),
                file.series[0].archives[0].average[0]
            ),
            (1, 10.0)
        );
        assert!(file.notes[0].contains("sums"));
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let good = write(1, &[(60, 5), (300, 4)], &[vec![(600, 1.0)], vec![]]);
        let with = |at: usize, word: u32| {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&word.to_be_bytes());
            bad
        };
        let rows = [
            (Vec::new(), "byte 0: the file ends within its head"),
            (with(0, 9), "byte 0: no file of whisper: aggregation 9"),
            (with(12, u32::MAX), "byte 12: 4294967295 archives"),
            (
                with(24, u32::MAX),
                "byte 16: 4294967295 points at byte 40 in a file of 148 bytes",
            ),
            (with(28, u32::MAX), "byte 28: 4 points at byte 4294967295"),
            (with(32, 60), "byte 28: archive 1: 60 s a point after 60 s"),
            (with(20, 0), "byte 16: archive 0: 0 s a point after 0 s"),
            (
                good[..100].to_vec(),
                "byte 28: 4 points at byte 100 in a file of 100 bytes",
            ),
        ];
        for (bytes, want) in rows {
            let said = read(&bytes).unwrap_err().to_string();
            assert!(said.starts_with(want), "{said}\n{want}");
        }
    }

    proptest! {
        #[test]
        fn any_change_of_a_file_is_read_or_refused(at in 0..200usize, bytes in prop::collection::vec(any::<u8>(), 1..9), cut in 0..200usize) {
            let mut file = write(1, &[(60, 5), (300, 4)], &[vec![(600, 1.0), (840, 2.0)], vec![(600, 1.5)]]);
            for (i, byte) in bytes.iter().enumerate() {
                if let Some(b) = file.get_mut(at + i) {
                    *b = *byte;
                }
            }
            if let Ok(read) = read(&file) {
                let slots: usize = read.series.iter().flat_map(|s| &s.archives).map(|a| a.average.len()).sum();
                prop_assert!(slots <= file.len());
            }
            file.truncate(cut);
            let _ = read(&file);
        }
    }
}
