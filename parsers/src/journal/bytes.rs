//! Reads at offsets through a few windows: an object is a slice of one of them.
//!
//! Not a memory map: journald cuts a file when it archives it, and whoever touches a page behind the new
//! end of a map is killed by a signal.

use std::io;

/// Something that can be read at an offset: a file, or bytes in memory.
pub trait ReadAt {
    /// Reads up to `into.len()` bytes that stand at `offset`; how many. 0 is the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let n = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(into, offset)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(into, offset)
    }
}

/// Windows kept at once: new objects at the end, an entry array, and what entries share further back.
const WINDOWS: usize = 8;
/// Bytes of a window: large enough to make system calls rare, small enough to waste little on a jump.
const WINDOW_BYTES: usize = 64 << 10;
/// No file reaches further; the system refuses larger offsets as an error.
const OFFSET_MAX: u64 = 1 << 62;
/// Windows begin at multiples of this.
const ALIGN: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Bytes<R> {
    source: R,
    windows: Vec<Window>,
    /// The one that was used last.
    last: usize,
    clock: u64,
}

#[derive(Debug, Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
    used: u64,
}

impl Window {
    fn get(&self, at: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(at.checked_sub(self.at)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.bytes.len()).then_some(start..end)
    }
}

impl<R: ReadAt> Bytes<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            windows: Vec::new(),
            last: 0,
            clock: 0,
        }
    }

    /// Forgets what was read: the file may have changed. `keep` leaves the memory for the next use.
    pub(super) fn forget(&mut self, keep: bool) {
        if keep {
            self.windows.iter_mut().for_each(|w| w.bytes.clear());
        } else {
            self.windows = Vec::new();
        }
    }

    /// The first bytes of the file, past the windows; how many there are.
    pub(super) fn first(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = into.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.source.read_at(room, filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n.min(room.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// `len` bytes at `at`; `None` if the file ends before. The caller bounds `len`.
    pub(super) fn get(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if let Some(range) = self.windows.get(self.last).and_then(|w| w.get(at, len)) {
            return Ok(self.windows.get(self.last).and_then(|w| w.bytes.get(range)));
        }
        if at > OFFSET_MAX {
            return Ok(None);
        }
        self.clock = self.clock.wrapping_add(1);
        let known = self.windows.iter().position(|w| w.get(at, len).is_some());
        self.last = match known {
            Some(index) => index,
            None => self.fill(at, len)?,
        };
        let clock = self.clock;
        let Some(window) = self.windows.get_mut(self.last) else {
            return Ok(None);
        };
        window.used = clock;
        Ok(window
            .get(at, len)
            .and_then(|range| window.bytes.get(range)))
    }

    /// Reads a window around the bytes, in place of the one unused for longest.
    fn fill(&mut self, at: u64, len: usize) -> io::Result<usize> {
        if self.windows.len() < WINDOWS {
            self.windows.push(Window::default());
        }
        let oldest = self.windows.iter().enumerate().min_by_key(|(_, w)| w.used);
        let index = oldest.map_or(0, |(index, _)| index);
        let start = at - at % ALIGN;
        let ahead = usize::try_from(at - start).unwrap_or_default();
        let want = len.saturating_add(ahead).max(WINDOW_BYTES);
        let Some(window) = self.windows.get_mut(index) else {
            return Ok(index);
        };
        window.at = start;
        window.bytes.resize(want, 0);
        // What was large for one object is given back with the next.
        window.bytes.shrink_to(WINDOW_BYTES.max(want));
        let mut filled = 0;
        while let Some(room) = window.bytes.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.source.read_at(room, start + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n.min(room.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    window.bytes.clear();
                    return Err(e);
                }
            }
        }
        window.bytes.truncate(filled);
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_once_through_the_windows() {
        let data: Vec<u8> = (0..1_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
        let mut bytes = Bytes::new(data.as_slice());
        let mut at = 7_usize;
        for step in 0..5000_usize {
            at = (at * 7919 + step) % (data.len() + 100);
            let len = step % 900 + 1;
            let got = bytes.get(at as u64, len).unwrap();
            assert_eq!(got, data.get(at..at + len), "{at} {len}");
        }
        assert!(bytes.windows.len() <= WINDOWS);
        let got = bytes.get(10, 300_000).unwrap();
        assert_eq!(got, data.get(10..300_010));
        assert_eq!(bytes.get(u64::MAX - 3, 10).unwrap(), None);
    }
}
