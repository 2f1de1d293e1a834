//! Any bytes as a line of `apache_error`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("apache_error", line));
