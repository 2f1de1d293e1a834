//! Journal files that systemd's own programs write, beside what journalctl reads in them; and the same
//! files damaged.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use vigie_parsers::formats;
use vigie_parsers::journal::{Damage, Journal, LineWriter, ReadAt, State};
use vigie_parsers::{Record, Severity};
use vigie_testkit::{export, write_journal};

use crate::dump::context;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Entries of a busy machine: long, binary, repeated, empty and compressible values among them.
fn entries(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..n {
        let text = |s: String| s.into_bytes();
        let unit = format!("unit-{}.service", i % 7);
        let message = match i % 10 {
            0 => text(format!(
                "seq={i} {}",
                "long text ".repeat(100 + (i % 50) as usize)
            )),
            1 => text(format!("seq={i}\nTraceback:\n\tat line {i}")),
            2 => [
                format!("seq={i} \"quoted\\] ").as_bytes(),
                &[0, 0xff, 0x11, 7],
            ]
            .concat(),
            _ => text(format!("seq={i} GET /{} 200", i % 13)),
        };
        let time = text((1_795_238_000_000_000 + i * 997).to_string());
        let monotonic = text((1000 + i * 997).to_string());
        let (priority, pid) = (text((i % 8).to_string()), text((100 + i % 30).to_string()));
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("__REALTIME_TIMESTAMP", &time),
            ("__MONOTONIC_TIMESTAMP", &monotonic),
            ("_BOOT_ID", b"0123456789abcdef0123456789abcdef"),
            ("_HOSTNAME", b"web1"),
            ("PRIORITY", &priority),
            ("SYSLOG_FACILITY", b"3"),
            ("SYSLOG_IDENTIFIER", b"demo"),
            ("_COMM", b"demo"),
            ("_PID", &pid),
            ("_SYSTEMD_UNIT", unit.as_bytes()),
            ("MESSAGE", &message),
        ];
        if i % 4 == 0 {
            fields.push(("TAG", b"one"));
            fields.push(("TAG", b"two"));
        }
        if i % 6 == 0 {
            fields.push(("EMPTY", b""));
        }
        export(&mut out, &fields);
    }
    out
}

/// What journalctl reads: each entry's fields, sorted.
fn oracle(journalctl: &Path, file: &Path) -> Vec<Fields> {
    let output = Command::new(journalctl)
        .args(["-o", "export", "--no-pager", "--file"])
        .arg(file)
        .output()
        .unwrap();
    let (mut rest, mut all, mut fields) = (output.stdout.as_slice(), Vec::new(), Vec::new());
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            fields.sort();
            all.push(std::mem::take(&mut fields));
        } else if let Some(equals) = line.iter().position(|b| *b == b'=') {
            fields.push((line[..equals].to_vec(), line[equals + 1..].to_vec()));
        } else {
            let (len, value) = rest.split_first_chunk::<8>().unwrap();
            let len = usize::try_from(u64::from_le_bytes(*len)).unwrap();
            fields.push((line.to_vec(), value[..len].to_vec()));
            rest = &value[len + 1..];
        }
    }
    all
}

/// What we read, in the same words.
fn ours<R: ReadAt>(journal: &mut Journal<R>) -> Vec<Fields> {
    let mut all = Vec::new();
    while let Some(entry) = journal.next_entry().unwrap() {
        let named = |name: &str, value: String| (name.as_bytes().to_vec(), value.into_bytes());
        let mut fields = vec![
            named("__CURSOR", entry.cursor(journal.header())),
            named("__REALTIME_TIMESTAMP", entry.realtime.to_string()),
            named("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string()),
            named(
                "_BOOT_ID",
                format!("{:032x}", u128::from_be_bytes(entry.boot_id)),
            ),
        ];
        for index in 0..journal.fields() {
            if let Some(datum) = journal.datum(index).unwrap()
                && datum.name != b"_BOOT_ID"
            {
                fields.push((datum.name.to_vec(), datum.value.to_vec()));
            }
        }
        fields.sort();
        all.push(fields);
    }
    all
}

fn programs() -> Option<(PathBuf, PathBuf)> {
    let remote = vigie_testkit::program("systemd-journal-remote")?;
    Some((remote, vigie_testkit::program("journalctl")?))
}

/// Its name, the environment of its writer, compression.
type Kind = (&'static str, &'static [(&'static str, &'static str)], bool);

/// One journal of each kind that this systemd can write.
const KINDS: [Kind; 5] = [
    ("compact", &[], true),
    ("regular", &[("SYSTEMD_JOURNAL_COMPACT", "0")], true),
    ("jenkins", &[("SYSTEMD_JOURNAL_KEYED_HASH", "0")], true),
    (
        "old",
        &[
            ("SYSTEMD_JOURNAL_COMPACT", "0"),
            ("SYSTEMD_JOURNAL_KEYED_HASH", "0"),
        ],
        false,
    ),
    ("plain", &[], false),
];

#[test]
fn every_kind_of_file_reads_as_journalctl_reads_it() {
    let Some((remote, journalctl)) = programs() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let input = entries(3000);
    for (name, env, compress) in KINDS {
        let path = dir.path().join(format!("{name}.journal"));
        write_journal(&remote, &path, env, compress, &input);
        let bytes = std::fs::read(&path).unwrap();
        let mut journal = Journal::open(bytes.as_slice()).unwrap();
        let header = journal.header().clone();
        assert_eq!(
            header.compact,
            !env.contains(&("SYSTEMD_JOURNAL_COMPACT", "0"))
        );
        assert_eq!(
            header.keyed_hash,
            !env.contains(&("SYSTEMD_JOURNAL_KEYED_HASH", "0"))
        );
        assert_eq!((header.state, header.entries), (State::Offline, 3000));
        let got = ours(&mut journal);
        let want = oracle(&journalctl, &path);
        assert_eq!(got.len(), want.len(), "{name}");
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "{name}");
        }
        assert_eq!(journal.damage(), Damage::default(), "{name}");
        assert_eq!(journal.entries_left(), 0);
    }
}

/// A small journal, if its writer is here.
fn small(n: u64) -> Option<Vec<u8>> {
    let (remote, _) = programs()?;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    write_journal(&remote, &path, &[], true, &entries(n));
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the last object there are only zeros, 8 MiB of them.
    let end = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes.truncate(end + 64);
    Some(bytes)
}

#[test]
fn seeking_finds_every_number_and_time() {
    let Some(bytes) = small(500) else { return };
    let mut journal = Journal::open(bytes.as_slice()).unwrap();
    let (first, last) = journal.header().seqnums;
    for wanted in first..=last + 1 {
        journal.seek(|e| e.seqnum < wanted).unwrap();
        let found = journal.next_entry().unwrap().map(|e| e.seqnum);
        assert_eq!(found, (wanted <= last).then_some(wanted));
        let rest = std::iter::from_fn(|| journal.next_entry().unwrap()).count() as u64;
        assert_eq!(
            rest,
            last.saturating_sub(wanted),
            "the rest follows {wanted}"
        );
    }
}

/// What a reader of a growing file sees: the header first, then what it speaks of.
#[test]
fn a_reader_goes_on_where_it_was() {
    let Some((remote, _)) = programs() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let mut journal: Option<Journal<Whole>> = None;
    let mut seen = 0;
    for round in 1..=9_u64 {
        write_journal(&remote, &path, &[], true, &entries(round * 7));
        let journal = journal.get_or_insert_with(|| Journal::open(Whole(path.clone())).unwrap());
        journal.refresh().unwrap();
        while let Some(entry) = journal.next_entry().unwrap() {
            seen += 1;
            assert_eq!(entry.seqnum, seen);
            assert!(journal.fields() > 8);
        }
        assert_eq!(seen, (1..=round).map(|r| r * 7).sum::<u64>());
    }
}

/// A file by its path.
struct Whole(PathBuf);

impl ReadAt for Whole {
    fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
        std::fs::read(&self.0)?.read_at(into, offset)
    }
}

#[test]
fn lines_say_what_the_entries_say() {
    let Some(bytes) = small(300) else { return };
    let mut journal = Journal::open(bytes.as_slice()).unwrap();
    let mut writer = LineWriter::default();
    let mut i = 0;
    while let Some(entry) = journal.next_entry().unwrap() {
        let line = writer.write(&mut journal, &entry).unwrap();
        assert_eq!(line.cut, 0);
        let (line, mut record) = (line.bytes.to_vec(), Record::default());
        let format = formats::Detector::default().parse(&mut context(), &line, &mut record);
        assert_eq!(format.name, "journal");
        let again = formats::Detector::default().received(&mut context(), &line, &mut record);
        assert_eq!(again.name, "journal");
        let mut fields: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for span in &record.fields {
            fields.insert(record.name(span.name), span.value(&line).into_owned());
        }
        assert_eq!(fields["host"], b"web1");
        assert_eq!(fields["app"], b"demo");
        assert_eq!(fields["pid"], (100 + i % 30).to_string().as_bytes());
        assert_eq!(
            fields["_SYSTEMD_UNIT"],
            format!("unit-{}.service", i % 7).as_bytes()
        );
        assert_eq!(fields["_BOOT_ID"], b"0123456789abcdef0123456789abcdef");
        assert_eq!(fields.contains_key("TAG"), i % 4 == 0);
        assert_eq!(
            record.severity,
            Severity::from_number(u8::try_from(i % 8).unwrap())
        );
        assert_eq!(
            record.time.unwrap().0,
            (1_795_238_000_000_000 + i * 997) / 1000
        );
        let message = &line[record.message.start as usize..record.message.end as usize];
        for index in 0..journal.fields() {
            if let Some(datum) = journal
                .datum(index)
                .unwrap()
                .filter(|d| d.name == b"MESSAGE")
            {
                assert_eq!(message, datum.value, "byte for byte");
            }
        }
        i += 1;
    }
    assert_eq!(i, 300);
}

/// Reads all there is, in every way; what matters is that it ends.
fn exercise(bytes: &[u8]) -> (u64, Damage) {
    let Ok(mut journal) = Journal::open(bytes) else {
        return (0, Damage::default());
    };
    let mut writer = LineWriter::default();
    let mut n = 0;
    while let Some(entry) = journal.next_entry().unwrap() {
        writer.write(&mut journal, &entry).unwrap();
        n += 1;
    }
    let damage = journal.damage();
    journal.refresh().unwrap();
    journal.seek(|e| e.seqnum < n / 2).unwrap();
    while journal.next_entry().unwrap().is_some() {}
    (n, damage)
}

/// A payload in the ways of older systemd, which nothing here can write: `MESSAGE=` and a text of a
/// hundred times ten letters.
fn old_payloads() -> [(u8, Vec<u8>); 2] {
    const XZ: &str = "fd377a585a000000ff12d9410200210116000000742fe5a3e003ef001e5d00269146c0d19457e49449\
                      af24a5d9cd4629e64f8343a63f1d286f8bf7ef00000000000132f0070000009f1a045fa8000afc02\
                      0000000000595a";
    let byte = |at| u8::from_str_radix(&XZ[at..at + 2], 16).unwrap();
    let xz = (0..XZ.len()).step_by(2).map(byte).collect();
    // Eighteen letters, a match of 985 ten letters back, five letters.
    let mut lz4 = 1008_u64.to_le_bytes().to_vec();
    lz4.extend_from_slice(b"\xff\x03MESSAGE=long text \x0a\x00\xff\xff\xff\xc9\x50text ");
    [(1, xz), (2, lz4)]
}

#[test]
fn payloads_of_older_systemd() {
    let Some((remote, _)) = programs() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let mut input = Vec::new();
    let message = "long text ".repeat(100);
    let boot = b"0123456789abcdef0123456789abcdef";
    let fields: [(&str, &[u8]); 4] = [
        ("__REALTIME_TIMESTAMP", b"1795238000000000"),
        ("__MONOTONIC_TIMESTAMP", b"1000"),
        ("_BOOT_ID", boot),
        ("MESSAGE", message.as_bytes()),
    ];
    export(&mut input, &fields);
    write_journal(&remote, &path, &[], false, &input);
    let bytes = std::fs::read(&path).unwrap();
    let payload = bytes
        .windows(18)
        .position(|w| w == b"MESSAGE=long text ")
        .unwrap();
    for (flag, packed) in old_payloads() {
        let mut bytes = bytes.clone();
        let head = payload - 72;
        bytes[head + 1] = flag;
        bytes[head + 8..head + 16].copy_from_slice(&(72 + packed.len() as u64).to_le_bytes());
        bytes[payload..payload + packed.len()].copy_from_slice(&packed);
        let read = |bytes: &[u8]| {
            let mut journal = Journal::open(bytes).unwrap();
            let fields = ours(&mut journal).remove(0);
            let found = fields.into_iter().find(|f| f.0 == b"MESSAGE");
            (found.map(|f| f.1), journal.damage().fields)
        };
        assert_eq!(
            read(&bytes),
            (Some(message.clone().into_bytes()), 0),
            "{flag}"
        );
        for at in payload..payload + packed.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            let (value, fields) = read(&damaged);
            // Some bytes of the container say nothing of the content.
            assert!(
                value.as_deref() == Some(message.as_bytes()) || fields == 1,
                "{flag} {at}"
            );
        }
    }
}

#[test]
fn a_cut_file_gives_what_is_left() {
    let Some(bytes) = small(200) else { return };
    let (whole, _) = exercise(&bytes);
    assert_eq!(whole, 200);
    let mut before = 0;
    for tenth in 1..=10 {
        let (n, _) = exercise(&bytes[..bytes.len() * tenth / 10]);
        assert!(n >= before, "{n} after {before}");
        before = n;
    }
    assert!(before >= 199);
}

#[test]
fn a_damaged_entry_or_array_costs_little() {
    let Some(bytes) = small(200) else { return };
    let mut journal = Journal::open(bytes.as_slice()).unwrap();
    let places: Vec<u64> = std::iter::from_fn(|| journal.next_entry().unwrap())
        .map(|e| e.offset)
        .collect();
    // An entry's own type.
    let mut damaged = bytes.clone();
    damaged[usize::try_from(places[50]).unwrap()] = 9;
    let (n, damage) = exercise(&damaged);
    assert_eq!((n, damage.entries, damage.fields), (199, 1, 0));
    // The chain of arrays, from its head on.
    let mut damaged = bytes.clone();
    damaged[176..184].copy_from_slice(&0xffff_fff8_u64.to_le_bytes());
    let (n, damage) = exercise(&damaged);
    assert_eq!((n, damage.arrays), (200, 1));
    // One letter of a message that is in one entry.
    let at = bytes.windows(8).position(|w| w == b"seq=123 ").unwrap();
    let mut damaged = bytes;
    damaged[at] ^= 1;
    let (n, damage) = exercise(&damaged);
    assert_eq!((n, damage.fields), (200, 1));
}

proptest! {
    /// Any bytes anywhere: no panic, no endless loop, never more entries than there is room for.
    #[test]
    fn damage_never_does_harm(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 8]>(), 1usize..=8), 1..12),
        header in prop::collection::vec((0usize..272, any::<u8>()), 0..3),
    ) {
        static BYTES: std::sync::LazyLock<Option<Vec<u8>>> = std::sync::LazyLock::new(|| small(60));
        let Some(bytes) = BYTES.as_ref() else { return Ok(()) };
        let mut bytes = bytes.clone();
        for (place, with, len) in hits {
            // Objects are where numbers are: hit those more often than text.
            let at = 264 + place.index(bytes.len() - 300) / 8 * 8;
            bytes[at..at + len].copy_from_slice(&with[..len]);
        }
        for (at, with) in header {
            bytes[at] = with;
        }
        let (n, _) = exercise(&bytes);
        prop_assert!(n <= bytes.len() as u64 / 64);
    }
}
