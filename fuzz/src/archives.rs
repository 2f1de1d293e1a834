//! Files of old figures.

use vigie_parsers::archives::{Damage, File, mrtg, rrd, whisper};

/// A head as 64-bit machines, i386 and ARM write it; the rest is the input's.
const HEADS: [&[u8]; 4] = [
    b"RRD\x000003\0\0\0\0\0\0\0\x2f\x25\xc0\xc7\x43\x2b\x1f\x5b",
    b"RRD\x000003\0\0\0\x2f\x25\xc0\xc7\x43\x2b\x1f\x5b",
    b"RRD\x000001\0\0\0\0\0\0\0\x5b\x1f\x2b\x43\xc7\xc0\x25\x2f",
    b"",
];

/// The first byte says which head stands before the others.
pub(crate) fn rrd(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else {
        return;
    };
    let mut file = HEADS[usize::from(which) % HEADS.len()].to_vec();
    file.extend_from_slice(rest);
    sound(rrd::read, &file);
}

pub(crate) fn rrd_xml(data: &[u8]) {
    let mut dump = b"<rrd>".to_vec();
    dump.extend_from_slice(data);
    sound(rrd::read, &dump);
    sound(rrd::read, data);
}

pub(crate) fn mrtg(data: &[u8]) {
    sound(mrtg::read, data);
}

pub(crate) fn whisper(data: &[u8]) {
    sound(whisper::read, data);
}

/// A file of old figures: read or refused, and what is read has a sound form and is no larger than
/// the file justifies.
fn sound(read: fn(&[u8]) -> Result<File, Damage>, data: &[u8]) {
    let Ok(file) = read(data) else { return };
    let mut slots = 0;
    for series in &file.series {
        assert!(series.archives.is_sorted_by(|a, b| a.step_s < b.step_s));
        for archive in &series.archives {
            assert!(archive.step_s > 0 && archive.per_slot > 0);
            assert!(archive.average.iter().all(|v| !v.is_infinite()));
            for column in [&archive.min, &archive.max, &archive.last]
                .into_iter()
                .flatten()
            {
                assert_eq!(column.len(), archive.average.len());
            }
            slots += archive.average.len();
        }
    }
    assert!(
        slots <= 64 * data.len() + 64,
        "{slots} slots of {} bytes",
        data.len()
    );
}
