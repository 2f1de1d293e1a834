//! Any bytes as a syslog stream, cut into chunks anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("framing", data));
