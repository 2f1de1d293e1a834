//! Any bytes as a page, a checkpoint, a journal record of figures: refused or taken, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("series_page", data));
