//! Any bytes as a line of `nginx_error`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("nginx_error", line));
