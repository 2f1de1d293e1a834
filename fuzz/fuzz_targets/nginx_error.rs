//! Any bytes as a line of `nginx_error`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("nginx_error", data));
