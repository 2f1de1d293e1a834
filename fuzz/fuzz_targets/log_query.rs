//! Any text is read or refused; what is read is shown so that it reads back as the same query, and
//! decides about an event made of the text itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("log_query", data));
