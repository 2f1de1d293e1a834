//! Any text as a dump of rrdtool.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("rrd_xml", data));
