//! Any bytes as a line of `rfc5424`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("rfc5424", data));
