//! A layer under SQLite that writes down what SQLite asks of the file system, in order.
//!
//! It stands in front of the system's own layer and hands everything through; writes, truncations,
//! syncs and deletions of files in watched directories are noted. From the notes and the files as they
//! were, [`Cut`] makes what a disk may hold after a power cut.

#![expect(
    unsafe_code,
    reason = "SQLite's file system layer is a C interface; there is no safe way to stand in it"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use rusqlite::ffi;

/// Disks write sectors whole or not at all, and leave their neighbours alone.
const SECTOR: usize = 512;

/// What was asked of the file system.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        len: u64,
    },
    /// Everything asked of this file before is on the disk.
    Sync {
        file: String,
    },
    Delete {
        file: String,
    },
    /// The store said that so much is durable.
    Ack(u64),
}

/// Watched directories with what happened in them.
static WATCHED: Mutex<Vec<(PathBuf, Vec<Op>)>> = Mutex::new(Vec::new());

/// A file: SQLite's view of ours, which the system's own follows in memory.
#[repr(C)]
struct Shim {
    base: ffi::sqlite3_file,
    /// Its name, leaked; null when nobody watches.
    path: *const PathBuf,
}

/// Every connection that this process opens from now on is noted where it is watched.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default layer lives as long as the process and so does ours, which is leaked.
        // All its entries that we do not replace are the system's own; they look at nothing of the
        // `sqlite3_vfs` but its `mxPathname`, which is copied.
        unsafe {
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!system.is_null(), "SQLite has a file system");
            let mut ours = *system;
            ours.pNext = std::ptr::null_mut();
            ours.zName = c"noted".as_ptr();
            ours.pAppData = system.cast();
            ours.szOsFile += c_int::try_from(size_of::<Shim>()).expect("it is small");
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            let ours = Box::leak(Box::new(ours));
            assert_eq!(ffi::sqlite3_vfs_register(ours, 1), ffi::SQLITE_OK);
        }
    });
}

/// Notes what happens in a directory from now on.
pub(crate) fn watch(dir: &Path) {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.push((dir.to_owned(), Vec::new()));
}

/// Notes that a promise was made.
pub(crate) fn acknowledged(dir: &Path, what: u64) {
    note(&dir.join("-"), |_| Op::Ack(what));
}

/// Ends it; what happened.
pub(crate) fn notes(dir: &Path) -> Vec<Op> {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let at = watched
        .iter()
        .position(|(d, _)| d == dir)
        .expect("it is watched");
    watched.swap_remove(at).1
}

fn note(path: &Path, op: impl FnOnce(String) -> Op) {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = path.parent();
    if let Some((_, ops)) = watched.iter_mut().find(|(d, _)| Some(d.as_path()) == dir) {
        let name = path.file_name().unwrap_or_default();
        ops.push(op(name.to_string_lossy().into_owned()));
    }
}

/// The system's own layer.
///
/// # Safety
/// `vfs` is the one that [`install`] made.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `install` put it there.
    unsafe { (*vfs).pAppData.cast() }
}

/// The system's own file behind ours.
///
/// # Safety
/// `file` has room for both, as `szOsFile` asks.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: within the same allocation; `Shim` is a multiple of eight bytes long, which is the
    // alignment that SQLite gives.
    unsafe { file.cast::<Shim>().add(1).cast() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a zero-terminated name or none, and `szOsFile` bytes for the file.
    unsafe {
        let system = system(vfs);
        let done =
            (*system).xOpen.expect("every layer has it")(system, name, inner(file), flags, out);
        let opened = !(*inner(file)).pMethods.is_null();
        (*file).pMethods = if opened {
            &raw const METHODS
        } else {
            std::ptr::null()
        };
        let shim = file.cast::<Shim>();
        (*shim).path = std::ptr::null();
        if !name.is_null() {
            let name = std::ffi::OsStr::from_bytes(CStr::from_ptr(name).to_bytes());
            (*shim).path = Box::leak(Box::new(PathBuf::from(name)));
        }
        done
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let path = std::ffi::OsStr::from_bytes(CStr::from_ptr(name).to_bytes());
        note(Path::new(path), |file| Op::Delete { file });
        let system = system(vfs);
        (*system).xDelete.expect("every layer has it")(system, name, sync)
    }
}

/// Notes something of an open file.
///
/// # Safety
/// `file` was opened by [`open`].
unsafe fn note_of(file: *mut ffi::sqlite3_file, op: impl FnOnce(String) -> Op) {
    // SAFETY: `open` has set the name, which is never freed.
    if let Some(path) = unsafe { (*file.cast::<Shim>()).path.as_ref() } {
        note(path, op);
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes `len` readable bytes.
    unsafe {
        let len_of = usize::try_from(len).unwrap_or(0);
        let copy = std::slice::from_raw_parts(bytes.cast::<u8>(), len_of).to_vec();
        let at_of = at.unsigned_abs();
        note_of(file, |file| Op::Write {
            file,
            at: at_of,
            bytes: copy,
        });
        let inner = inner(file);
        (*(*inner).pMethods).xWrite.expect("every file has it")(inner, bytes, len, at)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: `file` is an open one.
    unsafe {
        note_of(file, |file| Op::Truncate {
            file,
            len: len.unsigned_abs(),
        });
        let inner = inner(file);
        (*(*inner).pMethods).xTruncate.expect("every file has it")(inner, len)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: `file` is an open one.
    unsafe {
        note_of(file, |file| Op::Sync { file });
        let inner = inner(file);
        (*(*inner).pMethods).xSync.expect("every file has it")(inner, flags)
    }
}

/// Methods that hand through.
macro_rules! through {
    ($($name:ident / $method:ident ( $($arg:ident : $kind:ty),* ) $(-> $answer:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $kind)*) $(-> $answer)? {
            // SAFETY: `file` is an open one, and the rest is as SQLite passed it.
            unsafe {
                let inner = inner(file);
                (*(*inner).pMethods).$method.expect("every file has it")(inner $(, $arg)*)
            }
        }
    )*};
}

through! {
    close / xClose() -> c_int;
    read / xRead(to: *mut c_void, len: c_int, at: ffi::sqlite3_int64) -> c_int;
    file_size / xFileSize(len: *mut ffi::sqlite3_int64) -> c_int;
    lock / xLock(level: c_int) -> c_int;
    unlock / xUnlock(level: c_int) -> c_int;
    check_lock / xCheckReservedLock(out: *mut c_int) -> c_int;
    control / xFileControl(op: c_int, arg: *mut c_void) -> c_int;
    sector_size / xSectorSize() -> c_int;
    device / xDeviceCharacteristics() -> c_int;
    shm_map / xShmMap(page: c_int, size: c_int, extend: c_int, to: *mut *mut c_void) -> c_int;
    shm_lock / xShmLock(at: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier / xShmBarrier();
    shm_unmap / xShmUnmap(delete: c_int) -> c_int;
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// How a disk dies: what becomes of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// All of it is lost.
    Lost,
    /// All of it had just reached the disk.
    Kept,
    /// The older part reached the disk.
    Older,
    /// Each sector on its own, later ones without earlier ones too.
    Any,
}

/// Files after a power cut.
pub(crate) struct Cut<'a> {
    /// The files before the first operation.
    pub(crate) before: &'a [(String, Vec<u8>)],
    /// All that was asked until the cut.
    pub(crate) ops: &'a [Op],
    pub(crate) fate: Fate,
}

impl Cut<'_> {
    /// What the disk holds. `chance(n)` draws below `n`.
    pub(crate) fn files(&self, mut chance: impl FnMut(u64) -> u64) -> Vec<(String, Vec<u8>)> {
        let mut files = self.before.to_vec();
        let synced = |name: &str| {
            let is = |op: &Op| matches!(op, Op::Sync { file } if file == name);
            self.ops.iter().rposition(is).unwrap_or(0)
        };
        let last = chance(self.ops.len() as u64 + 1);
        for (i, op) in self.ops.iter().enumerate() {
            let (Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Delete { file }) = op
            else {
                continue;
            };
            let safe = i < synced(file);
            let mut holds = || match self.fate {
                _ if safe => true,
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Older => (i as u64) < last,
                Fate::Any => chance(2) == 0,
            };
            match op {
                Op::Write { file, at, bytes } => {
                    let at = usize::try_from(*at).expect("a small file");
                    let content = content(&mut files, file);
                    let mut from = 0;
                    while from < bytes.len() {
                        let end = ((at + from) / SECTOR + 1) * SECTOR - at;
                        let piece = &bytes[from..end.min(bytes.len())];
                        if holds() {
                            let until = at + from + piece.len();
                            content.resize(content.len().max(until), 0);
                            content[at + from..until].copy_from_slice(piece);
                        }
                        from += piece.len();
                    }
                }
                Op::Truncate { file, len } if holds() => {
                    let len = usize::try_from(*len).expect("a small file");
                    content(&mut files, file).resize(len, 0);
                }
                Op::Delete { file } if holds() => files.retain(|(name, _)| name != file),
                _ => {}
            }
        }
        files
    }
}

fn content<'f>(files: &'f mut Vec<(String, Vec<u8>)>, name: &str) -> &'f mut Vec<u8> {
    let at = files
        .iter()
        .position(|(n, _)| n == name)
        .unwrap_or_else(|| {
            files.push((name.to_owned(), Vec::new()));
            files.len() - 1
        });
    &mut files[at].1
}
