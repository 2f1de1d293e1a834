//! Any bytes behind a head of rrdtool are read or refused, by whichever machine they would be of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_fuzz::archives;
use vigie_parsers::archives::rrd;

/// A head as 64-bit machines, i386 and ARM write it; the rest is the input's.
const HEADS: [&[u8]; 4] = [
    b"RRD\x000003\0\0\0\0\0\0\0\x2f\x25\xc0\xc7\x43\x2b\x1f\x5b",
    b"RRD\x000003\0\0\0\x2f\x25\xc0\xc7\x43\x2b\x1f\x5b",
    b"RRD\x000001\0\0\0\0\0\0\0\x5b\x1f\x2b\x43\xc7\xc0\x25\x2f",
    b"",
];

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else {
        return;
    };
    let mut file = HEADS[usize::from(which) % HEADS.len()].to_vec();
    file.extend_from_slice(rest);
    archives(rrd::read, &file);
});
