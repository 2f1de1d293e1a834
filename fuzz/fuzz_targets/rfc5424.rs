//! Any bytes as a line of `rfc5424`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("rfc5424", line));
