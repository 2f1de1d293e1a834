//! Any bytes as a block of the store and a query on it: refused or answered, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("event_block", data));
