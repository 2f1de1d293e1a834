//! Any bytes as lines that may belong together.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("joining", data));
