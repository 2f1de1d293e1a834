//! Space and inodes of the mounted file systems.
//!
//! `statvfs` on a network file system whose server is gone may hang for ever, so each of those is
//! asked on a thread of its own, and not again before that thread has come back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};
use vigie_store::series::Reason;

use super::emitter::{Emitter, Metric, metric};
use super::text::{gauge, lines, words};

macro_rules! filesystem {
    ($($id:ident $name:literal $help:literal)*) => {
        $(const $id: Metric =
            metric(concat!("node_filesystem_", $name), $help, &["device", "fstype", "mountpoint"]);)*
    };
}
filesystem! {
    SIZE "size_bytes" "Size of the file system."
    FREE "free_bytes" "Free space, the part for root included."
    AVAIL "avail_bytes" "Free space for everyone."
    FILES "files" "Inodes."
    FILES_FREE "files_free" "Free inodes."
    READONLY "readonly" "Whether it is mounted for reading only."
    ERROR "device_error" "Whether it could not be asked."
}

/// What an answer tells, in the order of [`emit`].
const ANSWERS: [&Metric; 6] = [&SIZE, &FREE, &AVAIL, &FILES, &FILES_FREE, &READONLY];

/// Not worth a curve: kernel interfaces, images that are always full, what a container mounts
/// (node_exporter's list).
const TYPES_IGNORED: &str = "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs \
    fusectl hugetlbfs iso9660 mqueue nsfs overlay proc procfs pstore rpc_pipefs securityfs selinuxfs \
    squashfs erofs sysfs tracefs fuse.lxcfs";
/// With everything below them.
const MOUNTS_IGNORED: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Only what lies below them.
const BELOW_IGNORED: [&str; 3] = [
    "/run/credentials",
    "/var/lib/docker",
    "/var/lib/containers/storage",
];
/// These go over a network, or to a process that may not answer.
const TYPES_REMOTE: [&str; 9] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
];
/// More mounts than this are left out: container hosts have thousands that mirror each other.
const MOUNTS_MAX: usize = 256;
/// Mounts that may hang at once; each costs a thread.
const HANGING_MAX: usize = 16;
/// A remote file system that answers at all answers in this time; else it counts as failed.
const REMOTE_WAIT: Duration = Duration::from_millis(500);

/// One line of /proc/self/mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: Vec<u8>,
    pub(super) point: Vec<u8>,
    pub(super) kind: Vec<u8>,
}

/// The mounts that are worth asking, the last one where several lie on one place.
pub(super) fn parse_mounts(text: &[u8]) -> Vec<Mount> {
    let mut mounts: BTreeMap<Vec<u8>, Mount> = BTreeMap::new();
    for line in lines(text) {
        let mut words = words(line);
        let (Some(device), Some(point), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let point = unescape(point);
        let mount = Mount {
            device: unescape(device),
            point: point.clone(),
            kind: kind.to_vec(),
        };
        mounts.insert(point, mount);
    }
    mounts
        .into_values()
        .filter(wanted)
        .take(MOUNTS_MAX)
        .collect()
}

fn wanted(mount: &Mount) -> bool {
    let kind = String::from_utf8_lossy(&mount.kind);
    let point = String::from_utf8_lossy(&mount.point);
    // In a container the root is an overlay, and the only one there is.
    if kind == "overlay" && point == "/" {
        return true;
    }
    let below = |dir: &str| {
        point
            .strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let ignored = TYPES_IGNORED.split_ascii_whitespace().any(|t| t == kind)
        || MOUNTS_IGNORED.iter().any(|dir| point == *dir || below(dir))
        || BELOW_IGNORED.iter().any(|dir| below(dir));
    !ignored
}

/// Blanks and backslashes in paths are written as `\040`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b == b'\\'
            && let Some((&[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'], tail)) =
                tail.split_first_chunk::<3>()
        {
            out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            out.push(b);
        }
    }
    out
}

type Answer = std::io::Result<StatVfs>;

/// Asks file systems; remembers those that have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Asker {
    hanging: BTreeMap<Vec<u8>, Receiver<Answer>>,
}

impl Asker {
    pub(super) fn read(&mut self, mounts: &[Mount], out: &mut Emitter) {
        for mount in mounts {
            let labels: &[&[u8]] = &[&mount.device, &mount.kind, &mount.point];
            let answer = self.ask(mount);
            out.gauge(&ERROR, labels, if answer.is_ok() { 0.0 } else { 1.0 });
            match answer {
                Ok(answer) => emit(labels, &answer, out),
                Err(why) => ANSWERS.iter().for_each(|m| out.unknown(m, labels, why)),
            }
        }
        self.hanging
            .retain(|point, _| mounts.iter().any(|m| m.point == *point));
    }

    /// The answer, or why there is none.
    fn ask(&mut self, mount: &Mount) -> Result<StatVfs, Reason> {
        let path = path(&mount.point);
        if !is_remote(&mount.kind) {
            return statvfs(&path).map_err(|_| Reason::Unreadable);
        }
        if let Some(pending) = self.hanging.get(&mount.point) {
            match pending.try_recv() {
                Err(TryRecvError::Empty) => return Err(Reason::Timeout),
                // An answer to an old question; ask anew.
                Ok(_) | Err(TryRecvError::Disconnected) => {}
            }
            self.hanging.remove(&mount.point);
        }
        if self.hanging.len() >= HANGING_MAX {
            return Err(Reason::Budget);
        }
        let (reply, answer) = sync_channel(1);
        std::thread::Builder::new()
            .name("statvfs".to_owned())
            .spawn(move || {
                // Nobody may wait for it any more.
                let _ = reply.send(statvfs(&path).map_err(std::io::Error::from));
            })
            .map_err(|_| Reason::Budget)?;
        match answer.recv_timeout(REMOTE_WAIT) {
            Ok(answer) => answer.map_err(|_| Reason::Unreadable),
            Err(_) => {
                self.hanging.insert(mount.point.clone(), answer);
                Err(Reason::Timeout)
            }
        }
    }
}

fn is_remote(kind: &[u8]) -> bool {
    kind.starts_with(b"fuse") || TYPES_REMOTE.iter().any(|t| t.as_bytes() == kind)
}

fn path(point: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(point)).to_owned()
}

fn emit(labels: &[&[u8]], fs: &StatVfs, out: &mut Emitter) {
    let bytes = |blocks: u64| gauge(blocks.saturating_mul(fs.f_frsize));
    let readonly = fs.f_flag.contains(StatVfsMountFlags::RDONLY);
    out.gauge(&SIZE, labels, bytes(fs.f_blocks));
    out.gauge(&FREE, labels, bytes(fs.f_bfree));
    out.gauge(&AVAIL, labels, bytes(fs.f_bavail));
    out.gauge(&FILES, labels, gauge(fs.f_files));
    out.gauge(&FILES_FREE, labels, gauge(fs.f_ffree));
    out.gauge(&READONLY, labels, if readonly { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use vigie_parsers::Timestamp;

    use super::super::emitter::tests::Fake;
    use super::*;

    #[test]
    fn mounts_worth_asking() {
        let text = b"proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
            devtmpfs /dev devtmpfs rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n\
            /dev/sdb1 /mnt/my\\040disk\\134x xfs rw 0 0\nnas:/vol /srv nfs4 rw 0 0\n\
            overlay /var/lib/docker/overlay2/1/merged overlay rw 0 0\nbroken\n\
            /dev/loop1 /snap/core/1 squashfs ro 0 0\n/dev/vdb / ext4 rw 0 0\n/devices /devices ext4 rw 0 0\n";
        let found: Vec<_> = parse_mounts(text)
            .into_iter()
            .map(|m| {
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                (text(&m.device), text(&m.point), is_remote(&m.kind))
            })
            .collect();
        let expected = [
            ("/dev/vdb", "/", false),
            ("/devices", "/devices", false),
            ("/dev/sdb1", "/mnt/my disk\\x", false),
            ("tmpfs", "/run", false),
            ("nas:/vol", "/srv", true),
        ];
        let expected = expected.map(|(d, p, r)| (d.to_owned(), p.to_owned(), r));
        assert_eq!(found, expected);
    }

    /// A mount whose server never answers, one that cannot be asked, one that is gone.
    #[test]
    fn what_does_not_answer_says_why() {
        let mount = |point: &str, kind: &str| Mount {
            device: b"d".to_vec(),
            point: point.as_bytes().to_vec(),
            kind: kind.as_bytes().to_vec(),
        };
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().to_str().unwrap().to_owned();
        let (remote, local) = (mount(&point, "nfs4"), mount(&point, "ext4"));
        let mut fake = Fake::new();
        let mut asker = Asker::default();
        let mut tick = |asker: &mut Asker, mounts: &[Mount]| {
            fake.out.begin(Timestamp(0));
            asker.read(mounts, &mut fake.out);
            fake.text()
        };
        let both = [local, remote];
        let first = tick(&mut asker, &both);
        assert_eq!(first.matches("node_filesystem_size_bytes").count(), 2);
        assert!(!first.contains("unknown"), "{first}");
        let (_keep, never) = sync_channel(1);
        asker.hanging.insert(both[1].point.clone(), never);
        let hangs = tick(&mut asker, &both);
        assert_eq!(hangs.matches("unknown: timeout").count(), 6, "{hangs}");
        assert_eq!(hangs.matches("device_error").count(), 2);
        assert!(!hangs.contains("no such object"), "{hangs}");
        drop(dir);
        let unreadable = tick(&mut asker, &both[..1]);
        assert_eq!(unreadable.matches("unknown: unreadable").count(), 6);
        assert_eq!(
            unreadable.matches("unknown: no such object").count(),
            7,
            "the other is not mounted any more: {unreadable}"
        );
        let never_seen = tick(&mut asker, &[mount("/nowhere/at/all", "ext4")]);
        assert!(!never_seen.contains("unreadable"), "{never_seen}");
    }

    #[test]
    fn the_root_of_a_container_is_an_overlay() {
        assert_eq!(parse_mounts(b"overlay / overlay rw 0 0\n").len(), 1);
    }
}
