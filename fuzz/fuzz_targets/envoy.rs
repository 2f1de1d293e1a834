//! Any bytes as a line of `envoy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("envoy", data));
