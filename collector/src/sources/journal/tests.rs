//! Folders of journals through restarts, rotation and vacuuming: every entry once, in the order of time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vigie_parsers::{Field, Name, Timestamp};
use vigie_store::{Batch, Options, Registry, Writer};
use vigie_testkit::{export, program, write_journal};

use super::super::watch::Follow;
use super::followed::Wanted;
use super::follower::{Follower, Plan};
use crate::counts::Counters;
use crate::outlet::Ended;
use crate::status::Status;

const START_US: u64 = 1_795_238_000_000_000;
const BOOT: &str = "0123456789abcdef0123456789abcdef";

/// Folders of journals, and what was committed of them.
struct World {
    remote: PathBuf,
    dir: TempDir,
    registry: Registry,
    wanted: fn() -> Wanted,
    backlog_ms: i64,
    follower: Option<Follower>,
    status: Status,
    /// Host and message.
    seen: Vec<(String, String)>,
    positions: BTreeMap<String, Vec<u8>>,
}

impl World {
    /// `None` where systemd-journal-remote is not installed.
    fn new() -> Option<Self> {
        let remote = program("systemd-journal-remote")?;
        let store = tempfile::tempdir().unwrap();
        let writer = Writer::open(store.path(), &Options::default(), Timestamp(0)).unwrap();
        Some(Self {
            remote,
            dir: tempfile::tempdir().unwrap(),
            registry: writer.registry().clone(),
            wanted: Wanted::default,
            backlog_ms: i64::MAX,
            follower: None,
            status: Status::default(),
            seen: Vec::new(),
            positions: BTreeMap::new(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Appends entries `seq=N` of these numbers, a second apart, to a journal.
    fn write(&self, name: &str, host: &str, numbers: impl IntoIterator<Item = u64>) {
        let mut entries = Vec::new();
        for n in numbers {
            let time = (START_US + n * 1_000_000).to_string();
            let monotonic = (n * 1_000_000).to_string();
            let (message, unit) = (format!("seq={n}"), format!("u{}.service", n % 3));
            let fields: [(&str, &[u8]); 7] = [
                ("__REALTIME_TIMESTAMP", time.as_bytes()),
                ("__MONOTONIC_TIMESTAMP", monotonic.as_bytes()),
                ("_BOOT_ID", BOOT.as_bytes()),
                ("_HOSTNAME", host.as_bytes()),
                ("SYSLOG_IDENTIFIER", b"demo"),
                ("_SYSTEMD_UNIT", unit.as_bytes()),
                ("MESSAGE", message.as_bytes()),
            ];
            export(&mut entries, &fields);
        }
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_journal(&self.remote, &path, &[], true, &entries);
    }

    /// What journald does with a file that is full: another name, and nobody writes to it again.
    fn rotate(&self, from: &str, to: &str) {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.path(from))
            .unwrap();
        file.write_all_at(&[2], 16).unwrap();
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn start(&self) -> Follower {
        let roots = ["var/log/journal", "run/log/journal"];
        let plan = Plan {
            dirs: roots.map(|r| self.path(r)).to_vec(),
            backlog_ms: self.backlog_ms,
            wanted: (self.wanted)(),
            host: "vm".to_owned(),
        };
        let positions: Vec<_> = self.positions.clone().into_iter().collect();
        let counters = Counters::new(&self.registry, &[]);
        Follower::new(plan, &positions, counters, self.status.clone())
    }

    /// Polls until there is no more; after so many commits the power goes.
    fn poll(&mut self, commits: usize) {
        let mut follower = self.follower.take().unwrap_or_else(|| self.start());
        let (mut left, seen, positions) = (commits, &mut self.seen, &mut self.positions);
        let mut sink = |batch: Batch| {
            left = left.checked_sub(1).ok_or(Ended)?;
            for head in batch.events.heads() {
                let line = batch.events.line(head);
                let spans = batch.events.spans(head).iter();
                let host = spans.clone().find(|s| s.name == Name::Known(Field::Host));
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                let message = &line[head.message.start as usize..head.message.end as usize];
                seen.push((text(host.unwrap().text(line)), text(message)));
            }
            for (key, value) in batch.positions {
                match value {
                    Some(value) => positions.insert(key, value),
                    None => positions.remove(&key),
                };
            }
            Ok(())
        };
        let now = Timestamp(i64::try_from(START_US / 1000).unwrap() + 1_000_000);
        loop {
            match follower.poll(now, true, &mut sink) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Ended) => return,
            }
        }
        self.follower = Some(follower);
    }

    fn crash(&mut self) {
        self.follower = None;
    }

    /// The numbers of a host's entries, as they came.
    fn numbers(&self, host: &str) -> Vec<u64> {
        let of_host = self.seen.iter().filter(|(h, _)| h == host);
        of_host
            .map(|(_, m)| m.strip_prefix("seq=").unwrap().parse().unwrap())
            .collect()
    }

    fn dropped(&self, why: &str) -> u64 {
        let reports = self.status.reports(Timestamp(0));
        let all = reports.iter().flat_map(|r| &r.dropped);
        all.filter(|(w, _)| w == why).map(|(_, n)| n).sum()
    }
}

const A: &str = "var/log/journal/aa";

#[test]
fn one_machine_is_merged_by_time_through_rotation_and_restarts() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (system, user) = (
        format!("{A}/system.journal"),
        format!("{A}/user-1000.journal"),
    );
    world.write(&system, "a", (0..100).filter(|n| n % 3 != 0));
    world.write(&user, "a", (0..100).filter(|n| n % 3 == 0));
    world.poll(9);
    assert_eq!(world.numbers("a"), (0..100).collect::<Vec<_>>());
    // Rotated while nobody looks, with entries behind what was read.
    world.crash();
    world.write(&system, "a", 100..150);
    world.rotate(&system, &format!("{A}/system@11-22-33.journal"));
    world.write(&system, "a", 150..200);
    world.poll(9);
    world.write(&system, "a", 200..250);
    world.write(&user, "a", 250..260);
    world.poll(9);
    // And while somebody looks.
    world.rotate(&system, &format!("{A}/system@44-55-66.journal"));
    world.write(&system, "a", 260..270);
    world.poll(9);
    world.crash();
    world.poll(9);
    assert_eq!(world.numbers("a"), (0..270).collect::<Vec<_>>());
    assert_eq!(
        world.status.reports(Timestamp(0)).len(),
        1,
        "one folder, one source"
    );
}

#[test]
fn a_folder_of_many_machines_with_the_power_going_at_every_commit() {
    let Some(mut world) = World::new() else {
        return;
    };
    for host in ["a", "b.example.org", "c"] {
        let name = format!("var/log/journal/remote/remote-{host}.journal");
        world.write(&name, host, 0..2000);
    }
    // A batch is a mebibyte: each life commits none, one or two.
    for commits in 0..12 {
        world.poll(commits % 3);
        world.crash();
        world.write(
            "var/log/journal/remote/remote-c.journal",
            "c",
            [3000 + commits as u64],
        );
    }
    world.poll(99);
    for host in ["a", "b.example.org"] {
        assert_eq!(world.numbers(host), (0..2000).collect::<Vec<_>>());
    }
    let c = world.numbers("c");
    assert_eq!(c, (0..2000).chain(3000..3012).collect::<Vec<_>>());
}

#[test]
fn what_was_in_memory_first_is_not_taken_again_from_the_disk() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (memory, disk) = (
        "run/log/journal/aa/system.journal",
        format!("{A}/system.journal"),
    );
    for restart in [false, true] {
        world.seen.clear();
        world.positions.clear();
        world.crash();
        world.write(memory, "a", 0..50);
        world.poll(9);
        if restart {
            world.crash();
        }
        // Entry 50 comes just before journald copies all of it and removes the file.
        world.write(memory, "a", 50..51);
        world.write(&disk, "a", 0..51);
        fs::remove_file(world.path(memory)).unwrap();
        world.write(&disk, "a", 51..60);
        world.poll(9);
        world.poll(9);
        assert_eq!(world.numbers("a"), (0..60).collect::<Vec<_>>(), "{restart}");
        fs::remove_dir_all(world.path(A)).unwrap();
    }
}

#[test]
fn a_long_history_begins_where_the_operator_wants() {
    let Some(mut world) = World::new() else {
        return;
    };
    // Now is 1000 s after the first entry.
    world.backlog_ms = 100_000;
    world.write(&format!("{A}/system@11-22-33.journal"), "a", 0..800);
    world.rotate(
        &format!("{A}/system@11-22-33.journal"),
        &format!("{A}/system@1-2-3.journal"),
    );
    world.write(&format!("{A}/system.journal"), "a", 800..950);
    world.poll(9);
    assert_eq!(world.numbers("a"), (900..950).collect::<Vec<_>>());
    // The old file stays unread, and a new one in a folder that is known is read from its beginning.
    world.crash();
    world.write(&format!("{A}/user-7.journal"), "a", 10..20);
    world.poll(9);
    assert_eq!(world.numbers("a")[50..], (10..20).collect::<Vec<_>>());
}

#[test]
fn vacuumed_files_are_read_to_their_end_or_counted() {
    let Some(mut world) = World::new() else {
        return;
    };
    let system = format!("{A}/system.journal");
    world.write(&system, "a", 0..10);
    world.poll(9);
    // While it is followed.
    world.write(&system, "a", 10..20);
    fs::remove_file(world.path(&system)).unwrap();
    world.poll(9);
    assert_eq!(world.numbers("a"), (0..20).collect::<Vec<_>>());
    assert!(world.positions.keys().all(|k| !k.starts_with("journal:")));
    assert_eq!(world.dropped("vacuumed"), 0);
    // While vigie was away: the next file of the sequence says how many are missing.
    world.write(&system, "a", 20..30);
    world.poll(9);
    world.crash();
    let old = fs::read(world.path(&system)).unwrap();
    fs::remove_file(world.path(&system)).unwrap();
    world.write(&system, "a", 50..60);
    let mut new = fs::read(world.path(&system)).unwrap();
    new[72..88].copy_from_slice(&old[72..88]);
    new[160..168].copy_from_slice(&40_u64.to_le_bytes());
    new[168..176].copy_from_slice(&31_u64.to_le_bytes());
    fs::write(world.path(&system), new).unwrap();
    world.poll(9);
    assert_eq!(world.numbers("a").len(), 40);
    assert_eq!(world.dropped("vacuumed"), 20);
}

#[test]
fn entries_are_kept_or_left_out_by_their_fields() {
    let Some(mut world) = World::new() else {
        return;
    };
    let all = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
    world.wanted = || Wanted::default();
    world.write(&format!("{A}/system.journal"), "a", 0..9);
    for (keep, leave_out, numbers) in [
        (&["_SYSTEMD_UNIT=u1.service"][..], &[][..], &[1, 4, 7][..]),
        (
            &["_SYSTEMD_UNIT=u[12].*"],
            &["MESSAGE=seq=4"],
            &[1, 2, 5, 7, 8],
        ),
        (&[], &["SYSLOG_IDENTIFIER=d*"], &[]),
    ] {
        world.seen.clear();
        world.positions.clear();
        world.follower = Some(Follower::new(
            Plan {
                dirs: vec![world.path("var/log/journal")],
                backlog_ms: i64::MAX,
                wanted: Wanted {
                    keep: all(keep),
                    leave_out: all(leave_out),
                },
                host: "vm".to_owned(),
            },
            &[],
            Counters::new(&world.registry, &[]),
            world.status.clone(),
        ));
        world.poll(9);
        assert_eq!(world.numbers("a"), numbers);
    }
}

#[test]
fn the_copy_that_goes_on_is_read() {
    let Some(mut world) = World::new() else {
        return;
    };
    let live = format!("{A}/system.journal");
    let copy = world.path(&format!("{A}/a-copy.journal"));
    // The copy sorts first and has fewer entries, as many, or loses its name; the power may go between.
    for restart in [false, true] {
        let end = |world: &mut World| {
            if restart {
                world.crash();
            }
        };
        world.write(&live, "a", 0..10);
        fs::copy(world.path(&live), &copy).unwrap();
        world.poll(9);
        end(&mut world);
        world.write(&live, "a", 10..20);
        world.poll(9);
        assert_eq!(world.numbers("a"), (0..20).collect::<Vec<_>>(), "{restart}");
        // A copy takes the place of the file, and the file goes on under another name.
        end(&mut world);
        fs::copy(world.path(&live), &copy).unwrap();
        world.write(&live, "a", 20..30);
        world.poll(1);
        end(&mut world);
        let other = format!("{A}/other.journal");
        fs::rename(world.path(&live), world.path(&other)).unwrap();
        fs::rename(&copy, world.path(&live)).unwrap();
        world.write(&other, "a", 30..40);
        world.poll(9);
        assert_eq!(world.numbers("a"), (0..40).collect::<Vec<_>>(), "{restart}");
        // The file is gone, with entries that only it had; the copy that stays brings nothing.
        end(&mut world);
        fs::remove_file(world.path(&other)).unwrap();
        world.poll(9);
        world.poll(9);
        end(&mut world);
        world.poll(9);
        assert_eq!(world.numbers("a"), (0..40).collect::<Vec<_>>(), "{restart}");
        fs::remove_dir_all(world.path(A)).unwrap();
        world.crash();
        world.seen.clear();
        world.positions.clear();
    }
}

#[test]
fn a_file_that_is_gone_is_read_to_its_end_though_a_copy_stays() {
    let Some(mut world) = World::new() else {
        return;
    };
    let live = format!("{A}/system.journal");
    world.write(&live, "a", 0..10);
    world.poll(9);
    fs::copy(world.path(&live), world.path(&format!("{A}/b.journal"))).unwrap();
    world.write(&live, "a", 10..20);
    fs::remove_file(world.path(&live)).unwrap();
    for _ in 0..3 {
        world.poll(9);
    }
    assert_eq!(world.numbers("a"), (0..20).collect::<Vec<_>>());
    world.crash();
    world.poll(9);
    assert_eq!(world.numbers("a"), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_copy_that_was_put_aside_does_not_end_the_file_it_was_made_of() {
    let Some(mut world) = World::new() else {
        return;
    };
    let live = format!("{A}/system.journal");
    world.write(&live, "a", 0..10);
    let aside = world.path(&format!("{A}/a.journal~"));
    fs::rename(world.path(&live), &aside).unwrap();
    world.poll(9);
    world.crash();
    world.poll(9);
    fs::copy(&aside, world.path(&live)).unwrap();
    world.poll(9);
    world.write(&live, "a", 10..20);
    world.poll(9);
    assert_eq!(world.numbers("a"), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_no_journal_is_said_and_does_no_harm() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.write(&format!("{A}/system.journal"), "a", 0..3);
    for (name, bytes) in [
        (
            "text.journal",
            b"not a journal at all, whatever its name".as_slice(),
        ),
        ("new.journal", &[0; 4096]),
        ("cut.journal", b"LPKSHHRH\0\0\0\0"),
    ] {
        fs::write(world.path(A).join(name), bytes).unwrap();
    }
    fs::create_dir(world.path(A).join("dir.journal")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path(A).join("fifo.journal"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    world.poll(9);
    assert_eq!(world.numbers("a"), [0, 1, 2]);
    let read = super::read_journals(
        &[world.path(A).join("text.journal")],
        "vm",
        &world.registry,
        Timestamp(0),
        &[],
        &mut |_| true,
    );
    assert_eq!(read.unwrap_err().to_string(), "not a journal file");
    let mut n = 0;
    let path: &Path = &world.path(A).join("system.journal");
    super::read_journals(
        &[path.to_owned()],
        "vm",
        &world.registry,
        Timestamp(0),
        &[],
        &mut |b| {
            n += b.events.len();
            true
        },
    )
    .unwrap();
    assert_eq!(n, 3);
}
