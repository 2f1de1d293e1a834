//! Old series as bytes, on their way from the process that read the files to the one that writes.
//!
//! `version u8 | zstd(parcel)`; the parcel: number of series, then for each: labels, help, last update,
//! flags (bit 0: values are rates of a counter), number of archives, and for each: step, slots of the base
//! step, first slot, number of slots, flags (bits 0-2: minima, maxima, last values follow), columns of
//! 8-byte floats.

use vigie_parsers::archives::Archive;
use vigie_query::Labels;

use super::{ARCHIVES_MAX, OldSeries, SLOTS_MAX};
use crate::series::codec::{Input, put_text, put_varint, put_zigzag};
use crate::series::rows::{put_labels, read_labels};

const VERSION: u8 = 1;
/// Speed counts: the bytes live for a second.
const ZSTD_LEVEL: i32 = 1;
/// Values that travel together: what the writer does with them takes some tens of milliseconds, in
/// which lines and readings wait. Fewer in tests, which run unoptimised.
pub(crate) const PARCEL_VALUES: usize = if cfg!(test) { 1 << 12 } else { 1 << 18 };
/// Values of one archive at most, all columns together: forty years of five minutes. The writer holds
/// them in memory twice.
pub(crate) const ARCHIVE_VALUES_MAX: usize = 1 << 24;
/// What a parcel unpacks to at most: the largest archive, and some for names.
const BYTES_MAX: usize = 8 * ARCHIVE_VALUES_MAX + (1 << 20);

/// A series of a parcel.
#[derive(Debug, PartialEq)]
pub(crate) struct Parcelled {
    labels: Labels,
    help: String,
    archives: Vec<Archive>,
    last_update_s: i64,
    rates: bool,
}

impl Parcelled {
    pub(crate) fn series(&self) -> OldSeries<'_> {
        OldSeries {
            labels: &self.labels,
            help: &self.help,
            archives: &self.archives,
            last_update_s: self.last_update_s,
            rates: self.rates,
        }
    }
}

/// Values of an archive, all columns together.
pub(crate) fn values(archive: &Archive) -> usize {
    columns(archive).map(<[f64]>::len).sum()
}

fn columns(a: &Archive) -> impl Iterator<Item = &[f64]> {
    let own = [&a.min, &a.max, &a.last];
    let own = own.into_iter().filter_map(Option::as_deref);
    std::iter::once(a.average.as_slice()).chain(own)
}

/// Packs series.
///
/// # Errors
/// What the compressor says.
pub(crate) fn encode(series: &[OldSeries<'_>]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    put_varint(&mut out, series.len() as u64);
    for one in series {
        put_labels(&mut out, one.labels);
        put_text(&mut out, one.help);
        put_zigzag(&mut out, one.last_update_s);
        out.push(u8::from(one.rates));
        put_varint(&mut out, one.archives.len() as u64);
        for a in one.archives {
            put_zigzag(&mut out, a.step_s);
            put_varint(&mut out, u64::from(a.per_slot));
            put_zigzag(&mut out, a.first);
            put_varint(&mut out, a.average.len() as u64);
            let own = [&a.min, &a.max, &a.last].map(|c| u8::from(c.is_some()));
            out.push(own[0] | own[1] << 1 | own[2] << 2);
            for value in columns(a).flatten() {
                out.extend(value.to_le_bytes());
            }
        }
    }
    let mut packed = vec![VERSION];
    packed.extend(zstd::bulk::compress(&out, ZSTD_LEVEL)?);
    Ok(packed)
}

/// Unpacks what another process left; `None` when it makes no sense, or is of another version.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Parcelled>> {
    let (&VERSION, packed) = bytes.split_first()? else {
        return None;
    };
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let size = usize::try_from(size).ok().filter(|&n| n <= BYTES_MAX)?;
    let raw = zstd::bulk::decompress(packed, size).ok()?;
    let mut input = Input(&raw);
    let count = input.usize()?;
    let mut all = Vec::new();
    for _ in 0..count {
        let labels = read_labels(&mut input)?;
        let help = input.text()?.to_owned();
        let last_update_s = input.zigzag()?;
        let rates = match input.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let n = input.usize().filter(|&n| n <= ARCHIVES_MAX)?;
        let archives = (0..n).map(|_| archive(&mut input)).collect::<Option<_>>()?;
        all.push(Parcelled {
            labels,
            help,
            archives,
            last_update_s,
            rates,
        });
    }
    input.is_empty().then_some(all)
}

fn archive(input: &mut Input<'_>) -> Option<Archive> {
    let step_s = input.zigzag()?;
    let per_slot = u32::try_from(input.varint()?).ok()?;
    let first = input.zigzag()?;
    let slots_max = usize::try_from(SLOTS_MAX).ok()?;
    let slots = input.usize().filter(|&n| n <= slots_max)?;
    let own = input.u8()?;
    let mut column = |there: bool| -> Option<Option<Vec<f64>>> {
        if !there {
            return Some(None);
        }
        let (values, _) = input.bytes(slots.checked_mul(8)?)?.as_chunks::<8>();
        Some(Some(
            values.iter().map(|v| f64::from_le_bytes(*v)).collect(),
        ))
    };
    Some(Archive {
        step_s,
        per_slot,
        first,
        average: column(true)??,
        min: column(own & 1 != 0)?,
        max: column(own & 2 != 0)?,
        last: column(own & 4 != 0)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> (Labels, Vec<Archive>) {
        let labels = Labels::metric("traffic", &[("port", "1")]);
        let fine = Archive {
            step_s: 300,
            per_slot: 1,
            first: 7,
            average: vec![1.5, f64::NAN, -0.0],
            max: Some(vec![2.0, f64::INFINITY, 0.1]),
            ..Archive::default()
        };
        let coarse = Archive {
            step_s: 7200,
            per_slot: 24,
            ..Archive::default()
        };
        (labels, vec![fine, coarse])
    }

    #[test]
    fn series_come_out_as_they_went_in() {
        let (labels, archives) = example();
        let one = OldSeries {
            labels: &labels,
            help: "what it is",
            archives: &archives,
            last_update_s: -5,
            rates: true,
        };
        let bytes = encode(&[one, one]).unwrap();
        let back = decode(&bytes).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(format!("{:?}", back[1].series()), format!("{one:?}"));
        assert_eq!(values(&archives[0]), 6);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn what_would_unpack_to_too_much_is_not_unpacked() {
        let mut bytes = vec![VERSION];
        bytes.extend(zstd::bulk::compress(&vec![0; BYTES_MAX + 1], 1).unwrap());
        assert!(bytes.len() < 1 << 20 && decode(&bytes).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION];
            bytes.extend(zstd::bulk::compress(&raw, 1).unwrap());
            if let Some(all) = decode(&bytes) {
                prop_assert!(all.len() <= raw.len());
            }
            decode(&raw);
        }
    }
}
