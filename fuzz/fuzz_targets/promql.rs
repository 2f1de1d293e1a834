//! Any text is read or refused; what is read is answered within its limits, at one time and over a
//! range.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        vigie_fuzz::promql(text);
    }
});
