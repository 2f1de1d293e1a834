//! Any bytes as a line of `fail2ban`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("fail2ban", data));
