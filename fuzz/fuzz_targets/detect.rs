//! Any bytes as lines of a file of unknown format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("detect", data));
