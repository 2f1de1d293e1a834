//! Containers followed through the folder in which the engine keeps them, `ID/…` each: which there are, and the
//! files of each ([`super::files`]). No threads, no clock: the caller polls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vigie_parsers::Timestamp;
use vigie_store::{Batch, SourceState};

use super::super::watch::{Follow, Sink};
use super::Wanted;
use super::container::{Container, is_id};
use super::files::{BUFFER_BYTES, Followed, describe};
use super::intake::{Intake, Shared};
use super::pieces::Stamp;
use super::position::{MET_KEY, PREFIX, Position};
use crate::counts::Counters;
use crate::outlet::Ended;
use crate::status::{Source, Status};

/// Containers followed at once, each with an open file.
const CONTAINERS_MAX: usize = 1000;
/// Of a container.
const REMOVED: &str = "the container was removed";
/// The name in the account of the sources.
const SOURCE: &str = "docker";

/// See the module.
pub(super) struct Disk {
    dir: PathBuf,
    wanted: Wanted,
    counters: Counters,
    status: Status,
    /// Positions of containers that are not followed yet.
    positions: BTreeMap<String, Position>,
    met: bool,
    followed: BTreeMap<String, Followed>,
    /// Containers whose lines are not in files that are read here.
    elsewhere: BTreeMap<String, Arc<Source>>,
    /// What the next batch says besides.
    changes: Vec<(String, Option<Vec<u8>>)>,
    /// Batches of containers that are gone.
    last: VecDeque<Batch>,
    buffer: Vec<u8>,
}

impl Follow for Disk {
    fn poll(&mut self, now: Timestamp, scan: bool, sink: &mut Sink<'_>) -> Result<bool, Ended> {
        if scan {
            self.scan(now);
        }
        self.flush(sink)?;
        let mut more = false;
        for followed in self.followed.values_mut() {
            match followed.read(now, &mut self.buffer, sink)? {
                Ok(unfinished) => more |= unfinished,
                Err(e) => followed.fail(&e),
            }
        }
        Ok(more)
    }

    fn wants_scan(&self) -> bool {
        false
    }

    fn directories(&self) -> BTreeSet<PathBuf> {
        let own = self.followed.values().map(|f| f.dir.clone());
        own.chain([self.dir.clone()]).collect()
    }
}

impl Disk {
    pub(super) fn new(
        dir: &Path,
        wanted: Wanted,
        positions: &[(String, Vec<u8>)],
        counters: Counters,
        status: Status,
    ) -> Self {
        let known = positions.iter().filter_map(|(key, value)| {
            Some((
                key.strip_prefix(PREFIX)?.to_owned(),
                Position::decode(value)?,
            ))
        });
        Self {
            dir: dir.to_owned(),
            wanted,
            counters,
            status,
            positions: known.collect(),
            met: positions.iter().any(|(key, _)| key == MET_KEY),
            followed: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            changes: Vec::new(),
            last: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Looks which containers there are.
    fn scan(&mut self, now: Timestamp) {
        let source = self.status.source(SOURCE);
        let listed = match std::fs::read_dir(&self.dir) {
            Ok(listed) => listed,
            Err(e) => return source.fail(&format!("{}: {e}", self.dir.display())),
        };
        let names = listed.flatten().map(|e| e.file_name().into_string());
        let present: BTreeSet<String> = names.flatten().filter(|n| is_id(n)).collect();
        let mut beyond = 0;
        for id in &present {
            if let Some(followed) = self.followed.get_mut(id) {
                followed.look(now, id);
            } else if self.followed.len() >= CONTAINERS_MAX {
                beyond += 1;
            } else {
                self.meet(now, id);
            }
        }
        self.forget_gone(now, &present);
        if !self.met {
            self.met = true;
            self.changes.push((MET_KEY.to_owned(), Some(b"1".to_vec())));
        }
        match beyond {
            0 => source.work(&format!("{} containers", self.followed.len())),
            n => source.fail(&format!(
                "more than {CONTAINERS_MAX} containers: {n} are not followed"
            )),
        }
    }

    /// A container that is not followed.
    fn meet(&mut self, now: Timestamp, id: &str) {
        let dir = self.dir.join(id);
        let log = format!("{id}-json.log");
        let Ok(container) = describe(&dir, id) else {
            return;
        };
        let wanted = &self.wanted;
        if !container.is_wanted(&wanted.keep, &wanted.leave_out) {
            return;
        }
        if !dir.join(&log).exists() {
            return self.tell_elsewhere(id, &container);
        }
        self.elsewhere.remove(id);
        let from = now.0.saturating_sub(wanted.backlog_ms).max(0);
        let position = self.positions.remove(id).unwrap_or_else(|| match self.met {
            true => Position::default(),
            false => Position::from(Stamp::of(Timestamp(from))),
        });
        let shared = Shared {
            counters: &self.counters,
            host: &wanted.host,
            joining: &wanted.joining,
        };
        let source = self.status.source(&format!("docker:{}", container.name));
        self.changes
            .push((Position::key(id), Some(position.encode())));
        let intake = Intake::new(&shared, (id, &container), source, &position);
        let followed = Followed::new(dir, log, intake, container.running);
        self.followed.insert(id.to_owned(), followed);
    }

    /// Says why nothing comes of a container.
    fn tell_elsewhere(&mut self, id: &str, container: &Container) {
        let why = match container.driver.as_str() {
            // Its file comes with its first line.
            "" | "json-file" => return,
            "journald" => "its lines go to the journal".to_owned(),
            driver => format!("its log driver, {driver}, writes no file that can be read here"),
        };
        let source = self.status.source(&format!("docker:{}", container.name));
        source.work(&why);
        self.elsewhere.insert(id.to_owned(), source);
    }

    fn forget_gone(&mut self, now: Timestamp, present: &BTreeSet<String>) {
        self.elsewhere.retain(|id, source| {
            let stays = present.contains(id);
            if !stays {
                source.set(SourceState::Stopped, REMOVED);
            }
            stays
        });
        self.positions.retain(|id, _| {
            let stays = present.contains(id);
            if !stays {
                self.changes.push((Position::key(id), None));
            }
            stays
        });
        let gone = self.followed.keys().filter(|id| !present.contains(*id));
        for id in gone.cloned().collect::<Vec<_>>() {
            let Some(mut gone) = self.followed.remove(&id) else {
                continue;
            };
            gone.intake.finish(now);
            self.last.extend(gone.intake.batch());
            let source = gone.intake.source();
            source.set(SourceState::Stopped, REMOVED);
            self.changes.push((Position::key(&id), None));
        }
    }

    /// Hands over what is not of one container.
    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Ended> {
        while let Some(batch) = self.last.pop_front() {
            sink(batch)?;
        }
        let positions = std::mem::take(&mut self.changes);
        if positions.is_empty() {
            return Ok(());
        }
        sink(Batch {
            positions,
            ..Batch::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use vigie_parsers::joining::Joining;
    use vigie_store::{Options, Writer};

    use super::super::position::Place;
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_267_400_000);
    const ID: &str = "6ec3a7568e5dfbeef80561fe0fe4cacb6edc4cd138910e3544f5c849c86d917c";

    struct House {
        dir: tempfile::TempDir,
        writer: Writer,
        status: Status,
        positions: Vec<(String, Vec<u8>)>,
        lines: Vec<String>,
    }

    impl House {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("containers").join(ID)).unwrap();
            let house = Self {
                writer: Writer::open(dir.path(), &Options::default(), NOW).unwrap(),
                dir,
                status: Status::default(),
                positions: Vec::new(),
                lines: Vec::new(),
            };
            house.describe(true);
            house
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("containers").join(ID).join(name)
        }

        fn log(&self) -> PathBuf {
            self.path(&format!("{ID}-json.log"))
        }

        fn describe(&self, running: bool) {
            let json = format!(
                "{{\"Name\":\"/web\",\"State\":{{\"Running\":{running}}},\"Config\":{{\"Labels\":{{\"com.docker.compose.service\":\"w\"}}}}}}"
            );
            std::fs::write(self.path("config.v2.json"), json).unwrap();
        }

        fn write(&self, log: &str, ns: u32) {
            let json = serde_json::json!({
                "log": log, "stream": "stdout", "time": format!("2026-11-21T13:23:13.{ns:09}Z"),
            });
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(self.log())
                .unwrap();
            writeln!(file, "{json}").unwrap();
        }

        fn rotate(&self) {
            for n in (1..5).rev() {
                let name = |n| self.path(&format!("{ID}-json.log.{n}"));
                let _ = std::fs::rename(name(n), name(n + 1));
            }
            for n in (1..5).rev() {
                let name = |n| self.path(&format!("{ID}-json.log.{n}.gz"));
                let _ = std::fs::rename(name(n), name(n + 1));
            }
            std::fs::rename(self.log(), self.path(&format!("{ID}-json.log.1"))).unwrap();
        }

        /// As the engine does it with `compress`; only so many bytes of it arrive.
        fn pack(&self, n: u32, most: usize) {
            let plain = self.path(&format!("{ID}-json.log.{n}"));
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packed.write_all(&std::fs::read(&plain).unwrap()).unwrap();
            let packed = packed.finish().unwrap();
            let packed = packed.get(..most).unwrap_or(&packed);
            std::fs::write(self.path(&format!("{ID}-json.log.{n}.gz")), packed).unwrap();
            std::fs::remove_file(plain).unwrap();
        }

        fn disk(&self) -> Disk {
            let wanted = Wanted {
                keep: Vec::new(),
                leave_out: Vec::new(),
                backlog_ms: 3_600_000,
                joining: Joining::Auto,
                host: "vm".to_owned(),
            };
            let counters = Counters::new(self.writer.registry(), &[]);
            let dir = self.dir.path().join("containers");
            Disk::new(&dir, wanted, &self.positions, counters, self.status.clone())
        }

        fn poll(&mut self, disk: &mut Disk) {
            let (positions, lines) = (&mut self.positions, &mut self.lines);
            let mut sink = |batch: Batch| {
                super::super::tests::commit(batch, positions, lines);
                Ok(())
            };
            while disk.poll(NOW, true, &mut sink).unwrap() {}
        }
    }

    #[test]
    fn packed_pieces_are_read() {
        let mut house = House::new();
        let mut ns = 0;
        let mut write = |house: &House, text: &str| {
            ns += 1;
            house.write(&format!("{text}\n"), ns);
        };
        write(&house, "one");
        let mut disk = house.disk();
        house.poll(&mut disk);
        assert_eq!(house.lines.split_off(0), ["web stdout one"]);
        drop(disk);
        // Three rotations while nobody looks.
        write(&house, "two");
        house.rotate();
        house.pack(1, usize::MAX);
        write(&house, "three");
        house.rotate();
        house.pack(1, usize::MAX);
        write(&house, "four");
        house.rotate();
        write(&house, "five");
        let mut disk = house.disk();
        house.poll(&mut disk);
        let all = ["two", "three", "four", "five"].map(|text| format!("web stdout {text}"));
        assert_eq!(house.lines.split_off(0), all);
        // While it is read, and twice between two looks.
        write(&house, "six");
        house.rotate();
        house.pack(1, usize::MAX);
        house.pack(2, usize::MAX);
        write(&house, "seven");
        house.poll(&mut disk);
        write(&house, "eight");
        house.rotate();
        house.pack(1, usize::MAX);
        write(&house, "nine");
        house.rotate();
        house.pack(1, usize::MAX);
        write(&house, "ten");
        house.poll(&mut disk);
        let all = ["six", "seven", "eight", "nine", "ten"].map(|text| format!("web stdout {text}"));
        assert_eq!(house.lines.split_off(0), all);
    }

    /// With one file only the engine empties it; here it has become longer before the next look.
    #[test]
    fn an_emptied_file_that_has_outgrown_its_past_is_read() {
        let mut house = House::new();
        house.write("one\n", 1);
        let mut disk = house.disk();
        house.poll(&mut disk);
        File::create(house.log()).unwrap();
        house.write("two, and longer than the one before\n", 2);
        house.poll(&mut disk);
        let all = [
            "web stdout one",
            "web stdout two, and longer than the one before",
        ];
        assert_eq!(house.lines, all);
    }

    #[test]
    fn a_damaged_piece_is_counted_and_what_is_behind_it_read() {
        let mut house = House::new();
        house.write("one\n", 1);
        house.rotate();
        house.pack(1, 40);
        house.write("two\n", 2);
        let mut disk = house.disk();
        house.poll(&mut disk);
        assert_eq!(house.lines, ["web stdout two"]);
        let reports = house.status.reports(NOW);
        let dropped = reports.into_iter().flat_map(|report| report.dropped);
        assert_eq!(
            dropped.collect::<Vec<_>>(),
            [("damaged_archive".to_owned(), 1)]
        );
    }

    #[test]
    fn rotation_restarts_and_removal() {
        let mut house = House::new();
        house.write("one\n", 1);
        let mut disk = house.disk();
        house.poll(&mut disk);
        house.write("two \"quoted\"\\\n", 2);
        house.write("lo", 3);
        house.rotate();
        house.write("ng\n", 3);
        house.poll(&mut disk);
        assert_eq!(
            house.lines.split_off(0),
            [
                "web stdout one",
                "web stdout two \"quoted\"\\",
                "web stdout long"
            ]
        );
        // Two rotations while nobody looks, the second within a line.
        drop(disk);
        house.write("three\n", 4);
        house.rotate();
        house.write("four\n", 4);
        house.rotate();
        house.write("five\n", 4);
        let mut disk = house.disk();
        house.poll(&mut disk);
        assert_eq!(
            house.lines.split_off(0),
            ["web stdout three", "web stdout four", "web stdout five"]
        );
        // Where we were is gone.
        for n in 1..5 {
            let _ = std::fs::remove_file(house.path(&format!("{ID}-json.log.{n}")));
        }
        house.rotate();
        house.write("six\n", 5);
        house.poll(&mut disk);
        // The position without its place: the stamps tell.
        for (_, value) in &mut house.positions {
            if let Some(mut position) = Position::decode(value) {
                position.place = Place::default();
                *value = position.encode();
            }
        }
        house.write("no end", 6);
        let mut disk = house.disk();
        house.poll(&mut disk);
        assert_eq!(house.lines.split_off(0), ["web stdout six"]);
        house.describe(false);
        house.poll(&mut disk);
        house.poll(&mut disk);
        assert_eq!(house.lines.split_off(0), ["web stdout no end"]);
        std::fs::remove_dir_all(house.path("")).unwrap();
        house.poll(&mut disk);
        assert_eq!(house.positions, [(MET_KEY.to_owned(), b"1".to_vec())]);
        assert!(house.lines.is_empty());
    }

    #[test]
    fn a_container_that_logs_elsewhere_is_told_of() {
        let mut house = House::new();
        let mut disk = house.disk();
        for (driver, part) in [
            ("local", "its log driver, local, writes no file"),
            ("journald", "the journal"),
        ] {
            let json = format!(
                "{{\"Name\":\"/web\",\"State\":{{\"Running\":true}},\"HostConfig\":{{\"LogConfig\":{{\"Type\":\"{driver}\"}}}}}}"
            );
            std::fs::write(house.path("config.v2.json"), json).unwrap();
            house.poll(&mut disk);
            let reports = house.status.reports(NOW);
            let report = reports.iter().find(|r| r.source == "docker:web").unwrap();
            assert_eq!(report.state, SourceState::Active);
            assert!(report.detail.contains(part), "{report:?}");
        }
        // Made anew under another driver.
        house.describe(true);
        house.write("one\n", 1);
        house.poll(&mut disk);
        assert_eq!(house.lines, ["web stdout one"]);
        assert!(disk.elsewhere.is_empty());
        std::fs::remove_file(house.log()).unwrap();
        let mut disk = house.disk();
        std::fs::write(
            house.path("config.v2.json"),
            "{\"Name\":\"/db\",\"HostConfig\":{\"LogConfig\":{\"Type\":\"local\"}}}",
        )
        .unwrap();
        house.poll(&mut disk);
        std::fs::remove_dir_all(house.path("")).unwrap();
        house.poll(&mut disk);
        let reports = house.status.reports(NOW);
        let report = reports.iter().find(|r| r.source == "docker:db").unwrap();
        assert_eq!(
            (report.state, report.detail.as_str()),
            (SourceState::Stopped, REMOVED)
        );
    }

    #[test]
    fn a_file_that_is_emptied_and_lines_that_are_no_records() {
        let mut house = House::new();
        let mut disk = house.disk();
        for n in 0..50 {
            house.write(&format!("{n}\n"), n);
        }
        house.poll(&mut disk);
        assert_eq!(house.lines.split_off(0).len(), 50);
        std::fs::write(house.log(), "{\"log\":\"torn\n\u{0}\u{0}\n").unwrap();
        house.write("anew\n", 60);
        house.poll(&mut disk);
        let mut long = vec![b'x'; 3 * BUFFER_BYTES];
        long.push(b'\n');
        let mut file = File::options().append(true).open(house.log()).unwrap();
        file.write_all(&long).unwrap();
        house.write("behind\n", 61);
        house.poll(&mut disk);
        assert_eq!(house.lines, ["web stdout anew", "web stdout behind"]);
        let reports = house.status.reports(NOW);
        let report = reports.iter().find(|r| r.source == "docker:web").unwrap();
        let want = [
            ("damaged_records".to_owned(), 3),
            ("truncated".to_owned(), 1),
        ];
        assert_eq!(report.dropped, want);
    }
}
