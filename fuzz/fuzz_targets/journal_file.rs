//! Journal files of any bytes: reading them ends, and what is read fits into them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_parsers::journal::{Journal, LineWriter};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut journal) = Journal::open(bytes) else {
        return;
    };
    let mut writer = LineWriter::default();
    let mut n = 0;
    while let Ok(Some(entry)) = journal.next_entry() {
        writer.write(&mut journal, &entry).expect("memory can be read");
        n += 1;
        assert!(n <= bytes.len() / 64);
    }
    journal.seek(|e| e.seqnum < 5).expect("memory can be read");
    while let Ok(Some(_)) = journal.next_entry() {}
});
