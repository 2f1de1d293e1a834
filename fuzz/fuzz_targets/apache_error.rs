//! Any bytes as a line of `apache_error`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("apache_error", data));
