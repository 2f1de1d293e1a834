//! Any bytes behind a head of rrdtool are read or refused, by whichever machine they would be of.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("rrd", data));
