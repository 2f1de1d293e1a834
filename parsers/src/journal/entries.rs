//! From entry to entry: along the chain of entry arrays, and, where that is damaged, object by object.

use std::io;

use super::header::{u32_at, u64_at};
use super::object::{self, ARRAY_ITEMS, DATA, ENTRY, ENTRY_ARRAY, ENTRY_ITEMS, HEAD, Head};
use super::{Entry, Journal, ReadAt};

/// Fields of an entry that are read; systemd refuses to write more.
const ITEMS_MAX: usize = 1024;
/// Offsets taken from an entry array at once.
const CHUNK: u64 = 512;
/// Arrays in the chain of a file that are looked at when seeking; each is twice its predecessor.
const ARRAYS_MAX: usize = 4096;
/// Read at once in search of the next entry.
const SEARCH_BYTES: usize = 32 << 10;

/// Where we are.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The array we are in; none before the first entry of the file.
    array: Option<Array>,
    /// The next place in it.
    index: u64,
    /// Entries behind us.
    passed: u64,
    /// Offsets read ahead, the next one last.
    chunk: Vec<u64>,
    /// The last entry's offset: the next is behind it.
    last: u64,
    /// The last entry's number.
    seqnum: u64,
    /// An array was damaged: from here on objects are looked at one by one.
    search: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Array {
    offset: u64,
    next: u64,
    /// Places.
    len: u64,
}

impl Walk {
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }
}

/// What stands at a place.
enum Found<T> {
    Here(T),
    /// Not what should be there.
    Damaged,
}

impl<R: ReadAt> Journal<R> {
    /// The next entry; its fields are read with [`Self::datum`]. `None` at the end of what the header
    /// knows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.walk.search.is_some() {
                return self.search();
            }
            let Some(offset) = self.next_offset()? else {
                if self.walk.search.is_some() {
                    continue;
                }
                return Ok(None);
            };
            self.walk.passed += 1;
            if offset > self.walk.last
                && let Found::Here(entry) = self.read_entry(offset)?
            {
                self.step(&entry);
                return Ok(Some(entry));
            }
            self.damage.entries += 1;
        }
    }

    fn step(&mut self, entry: &Entry) {
        self.walk.last = entry.offset;
        self.walk.seqnum = entry.seqnum;
    }

    /// The number of the entry before the next one; 0 at the beginning.
    #[must_use]
    pub fn last_seqnum(&self) -> u64 {
        self.walk.seqnum
    }

    /// How many fields the last entry has.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.items.len()
    }

    /// The place of a field of the last entry.
    pub(super) fn item(&self, index: usize) -> Option<u64> {
        self.items.get(index).copied()
    }

    /// Goes to the first entry for which `before` does not hold, which must hold for entries at the
    /// beginning and for none behind one for which it does not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seek(&mut self, mut before: impl FnMut(&Entry) -> bool) -> io::Result<()> {
        self.walk = Walk::default();
        for _ in 0..ARRAYS_MAX {
            if !self.enter_array()? {
                break;
            }
            let Some(array) = self.walk.array else { break };
            let used = array
                .len
                .min(self.header.entries.saturating_sub(self.walk.passed));
            if used == 0 {
                break;
            }
            let mut low = 0;
            // Mostly all of an array lies before.
            if self.is_before(array, used - 1, &mut before)? {
                low = used;
            }
            let mut high = used.saturating_sub(1);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.is_before(array, middle, &mut before)? {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            self.walk.index = low;
            self.walk.passed += low;
            if let Some(entry) = self.peek(array, low.wrapping_sub(1))? {
                self.step(&entry);
            }
            if low < used {
                break;
            }
        }
        self.skip_rest(before)
    }

    /// Where the chain is damaged the halving may have ended too early.
    fn skip_rest(&mut self, mut before: impl FnMut(&Entry) -> bool) -> io::Result<()> {
        if self.walk.search.is_none() {
            return Ok(());
        }
        while let Some(entry) = self.search()? {
            if !before(&entry) {
                self.walk.search = Some(entry.offset);
                self.walk.passed = self.walk.passed.saturating_sub(1);
                self.walk.seqnum = entry.seqnum.saturating_sub(1);
                self.walk.last = entry.offset.saturating_sub(1);
                break;
            }
        }
        Ok(())
    }

    /// Damaged entries count as before: what follows decides.
    fn is_before(
        &mut self,
        array: Array,
        index: u64,
        before: &mut impl FnMut(&Entry) -> bool,
    ) -> io::Result<bool> {
        Ok(self.peek(array, index)?.is_none_or(|e| before(&e)))
    }

    /// The entry of a place of an array, without its fields.
    fn peek(&mut self, array: Array, index: u64) -> io::Result<Option<Entry>> {
        if index >= array.len {
            return Ok(None);
        }
        let Some(offset) = self.offset_at(array, index)? else {
            return Ok(None);
        };
        let Some(bytes) = self.bytes.get(offset, ENTRY_ITEMS)? else {
            return Ok(None);
        };
        let is_entry = Head::read(bytes).is_some_and(|h| h.kind == ENTRY);
        Ok(object::entry(bytes, offset).filter(|_| is_entry))
    }

    fn item_bytes(&self) -> u64 {
        if self.header.compact { 4 } else { 8 }
    }

    fn offset_at(&mut self, array: Array, index: u64) -> io::Result<Option<u64>> {
        let width = self.item_bytes();
        let place = array.offset + ARRAY_ITEMS as u64 + index * width;
        let bytes = self.bytes.get(place, if width == 4 { 4 } else { 8 })?;
        Ok(bytes.and_then(|b| match width {
            4 => u32_at(b, 0).map(u64::from),
            _ => u64_at(b, 0),
        }))
    }

    /// The offset of the next entry by its array; `None` at the end or when the chain is damaged.
    fn next_offset(&mut self) -> io::Result<Option<u64>> {
        if let Some(offset) = self.walk.chunk.pop() {
            return Ok(Some(offset));
        }
        if self.walk.passed >= self.header.entries {
            return Ok(None);
        }
        if self.walk.array.is_none_or(|a| self.walk.index >= a.len) && !self.enter_array()? {
            return Ok(None);
        }
        let Some(array) = self.walk.array else {
            return Ok(None);
        };
        self.fill_chunk(array)?;
        Ok(self.walk.chunk.pop())
    }

    /// Reads offsets ahead, as far as the array and the header's count go.
    fn fill_chunk(&mut self, array: Array) -> io::Result<()> {
        let left = self.header.entries - self.walk.passed;
        let n = (array.len - self.walk.index).min(left).min(CHUNK);
        let width = self.item_bytes();
        let place = array.offset + ARRAY_ITEMS as u64 + self.walk.index * width;
        let len = usize::try_from(n * width).unwrap_or_default();
        let Some(bytes) = self.bytes.get(place, len)? else {
            self.give_up_array();
            return Ok(());
        };
        let chunk = &mut self.walk.chunk;
        if width == 4 {
            chunk.extend(
                bytes
                    .chunks_exact(4)
                    .filter_map(|b| u32_at(b, 0))
                    .map(u64::from),
            );
        } else {
            chunk.extend(bytes.chunks_exact(8).filter_map(|b| u64_at(b, 0)));
        }
        chunk.reverse();
        self.walk.index += n;
        Ok(())
    }

    /// Goes to the next array of the chain; `false` if there is none, or none that can be used.
    fn enter_array(&mut self) -> io::Result<bool> {
        let (offset, least) = match self.walk.array {
            // The link is written when the array is full: it was not there when we came.
            Some(array) => {
                let link = self.bytes.get(array.offset, ARRAY_ITEMS)?;
                let next = link.and_then(|b| u64_at(b, HEAD)).unwrap_or(array.next);
                (next, array.offset + ARRAY_ITEMS as u64)
            }
            None => (self.header.entry_array, self.header.start),
        };
        if offset == 0 {
            // Fewer places than entries: the rest must be somewhere.
            if self.walk.passed < self.header.entries {
                self.give_up_array();
            }
            return Ok(false);
        }
        match self.read_array(offset, least)? {
            Found::Here(array) => {
                self.walk.array = Some(array);
                self.walk.index = 0;
                Ok(true)
            }
            Found::Damaged => {
                self.give_up_array();
                Ok(false)
            }
        }
    }

    fn read_array(&mut self, offset: u64, least: u64) -> io::Result<Found<Array>> {
        let end = self.header.end;
        if !offset.is_multiple_of(8) || offset < least || offset >= end {
            return Ok(Found::Damaged);
        }
        let width = self.item_bytes();
        let array = self.bytes.get(offset, ARRAY_ITEMS)?.and_then(|bytes| {
            let head = Head::read(bytes).filter(|h| h.kind == ENTRY_ARRAY)?;
            let items = head.size.checked_sub(ARRAY_ITEMS as u64)?;
            let inside = head.size <= end - offset && items >= width;
            inside.then_some(Array {
                offset,
                next: u64_at(bytes, HEAD)?,
                len: items / width,
            })
        });
        Ok(array.map_or(Found::Damaged, Found::Here))
    }

    fn give_up_array(&mut self) {
        self.damage.arrays += 1;
        let from = if self.walk.last == 0 {
            self.header.start
        } else {
            self.walk.last
        };
        self.walk.search = Some(from);
    }

    /// Reads an entry and the places of its fields.
    fn read_entry(&mut self, offset: u64) -> io::Result<Found<Entry>> {
        self.items.clear();
        let compact = self.header.compact;
        let width = if compact { 4 } else { 16 };
        if !offset.is_multiple_of(8) || offset < self.header.start {
            return Ok(Found::Damaged);
        }
        let head = self.bytes.get(offset, ENTRY_ITEMS)?.and_then(|bytes| {
            let head = Head::read(bytes).filter(|h| h.kind == ENTRY && h.flags == 0)?;
            let items = usize::try_from(head.size).ok()?.checked_sub(ENTRY_ITEMS)? / width;
            Some((object::entry(bytes, offset)?, items))
        });
        let Some((entry, items)) = head else {
            return Ok(Found::Damaged);
        };
        if items > ITEMS_MAX {
            self.damage.fields += 1;
        }
        let items = items.min(ITEMS_MAX);
        let Some(bytes) = self.bytes.get(offset, ENTRY_ITEMS + items * width)? else {
            return Ok(Found::Damaged);
        };
        let bytes = bytes.get(ENTRY_ITEMS..).unwrap_or_default();
        let places = bytes.chunks_exact(width);
        if compact {
            self.items
                .extend(places.filter_map(|b| u32_at(b, 0)).map(u64::from));
        } else {
            self.items.extend(places.filter_map(|b| u64_at(b, 0)));
        }
        Ok(Found::Here(entry))
    }

    /// The next entry without the help of an array: the next object if it is one, else the next bytes
    /// that look like an entry with a higher number.
    fn search(&mut self) -> io::Result<Option<Entry>> {
        while let Some(at) = self.walk.search {
            let done = at > self.header.tail_object || self.walk.passed >= self.header.entries;
            if done {
                return Ok(None);
            }
            let Some(head) = self.bytes.get(at, HEAD)? else {
                return Ok(None);
            };
            let object = Head::read(head).filter(|h| h.size <= self.header.end.saturating_sub(at));
            let Some(object) = object else {
                self.walk.search = Some(self.look_further(at)?);
                continue;
            };
            if object.kind == ENTRY
                && at > self.walk.last
                && self.is_plausible(at)?
                && let Found::Here(entry) = self.read_entry(at)?
            {
                self.walk.passed += 1;
                self.step(&entry);
                self.walk.search = Some(after(at, object.size));
                return Ok(Some(entry));
            }
            self.walk.search = Some(if at <= self.walk.last || object.kind != ENTRY {
                after(at, object.size)
            } else {
                at + 8
            });
        }
        Ok(None)
    }

    /// The next place that may begin an entry.
    fn look_further(&mut self, at: u64) -> io::Result<u64> {
        let from = at + 8;
        let Some(bytes) = self.bytes.get(from, SEARCH_BYTES)? else {
            return Ok(from);
        };
        let entry = bytes
            .chunks_exact(8)
            .position(|b| b == [ENTRY, 0, 0, 0, 0, 0, 0, 0]);
        let skip = entry.map_or(SEARCH_BYTES, |index| index * 8);
        Ok(from + skip as u64)
    }

    /// Whether an entry that no array vouches for may be one.
    fn is_plausible(&mut self, at: u64) -> io::Result<bool> {
        let (known, (first, last)) = (self.walk.seqnum, self.header.seqnums);
        let number = self.bytes.get(at, ENTRY_ITEMS)?.and_then(|b| u64_at(b, 16));
        let Some(number) = number else {
            return Ok(false);
        };
        if number <= known || number < first || number > last {
            return Ok(false);
        }
        if let Found::Damaged = self.read_entry(at)? {
            return Ok(false);
        }
        let Some(item) = self.item(0) else {
            return Ok(true);
        };
        let head = self.bytes.get(item, HEAD)?.and_then(Head::read);
        Ok(head.is_some_and(|h| h.kind == DATA))
    }
}

/// Where the object behind one begins.
fn after(at: u64, size: u64) -> u64 {
    at.saturating_add(size).div_ceil(8).saturating_mul(8)
}
