//! Any text is read or refused; what is read is answered within its limits, at one time and over a
//! range.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("promql", data));
