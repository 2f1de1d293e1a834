//! Any text as a dump of rrdtool.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_fuzz::archives;
use vigie_parsers::archives::rrd;

fuzz_target!(|data: &[u8]| {
    let mut dump = b"<rrd>".to_vec();
    dump.extend_from_slice(data);
    archives(rrd::read, &dump);
    archives(rrd::read, data);
});
