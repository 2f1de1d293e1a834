//! Any text as a configuration of MRTG.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_parsers::archives::mrtg_cfg;

fuzz_target!(|data: &[u8]| {
    let _ = mrtg_cfg::read(data);
});
