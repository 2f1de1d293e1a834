//! What the fuzz target does: any bytes as a page, a checkpoint, a record of the journal, a layout.

use std::sync::Arc;

use super::codec::{Input, get_ints, put_ints};
use super::group::Group;
use super::layout::{LANES, Layout};
use super::page::{self, Page, Scratch};
use super::{Archives, journal};

/// Any bytes as each of the things that the store decodes: refused or taken, never a panic. Checksums
/// are put right first, since otherwise nothing would get behind them.
pub fn page(data: &[u8]) {
    let _ = Layout::decode(0, data);
    columns(data);
    as_page(data);
    as_checkpoint(data);
    as_record(data);
}

fn group() -> Group {
    let layout = Arc::new(Layout::new(0, &Archives::default().for_step(10_000)));
    let mut group = Group::new(0, layout);
    for lane in 0..LANES {
        group.add_lane(lane, 30_000);
    }
    group
}

/// Integers come back as they were; other bytes are no column, or one.
fn columns(data: &[u8]) {
    let mut ints = Vec::new();
    let _ = get_ints(&mut Input(data), data.len() % 200, &mut ints);
    let (words, _) = data.as_chunks::<8>();
    let values: Vec<i64> = words.iter().map(|w| i64::from_le_bytes(*w)).collect();
    let mut bytes = Vec::new();
    put_ints(&mut bytes, &values);
    let mut input = Input(&bytes);
    let whole = get_ints(&mut input, values.len(), &mut ints);
    assert!(whole.is_some() && ints == values && input.is_empty());
}

fn as_page(data: &[u8]) {
    let Some(bytes) = page::sealed(data) else {
        return;
    };
    let Some(page) = Page::open(&bytes) else {
        return;
    };
    let mut scratch = Scratch::default();
    for lane in 0..LANES + 1 {
        let mut last = None;
        page.read(lane, &mut scratch, |slot, _| {
            assert!(slot < page.slots() && last.is_none_or(|l| l < slot));
            last = Some(slot);
        });
        page.read_by(lane, (0, 6), &mut scratch, |_, _| {});
        page.raw(lane, &mut scratch);
        page.total(lane);
        page.unknown(lane, |from, until, _| {
            assert!(from < until && until <= page.slots());
        });
    }
    page.known(&mut scratch);
    if let Some(rest) = page::without(&bytes, &[0, 3]) {
        let rest = Page::open(&rest).expect("it was made by us");
        assert!(!rest.has(0) && !rest.has(3));
    }
}

/// What is taken as a group is written and read again as the same.
fn as_checkpoint(data: &[u8]) {
    let mut scratch = Scratch::default();
    let mut bytes = data.to_vec();
    bytes.extend(crc32c::crc32c(data).to_le_bytes());
    let mut first = group();
    if first.restore(&bytes, &mut scratch).is_none() {
        return;
    }
    let sealed = first.sealed.clone();
    let again = first.checkpoint(first.checkpoint, &sealed, false, &mut scratch);
    let mut second = group();
    let whole = second.restore(&again, &mut scratch);
    assert!(whole.is_some(), "what was written can be read");
    assert_eq!(first.sealed, second.sealed);
    assert_eq!(first.late.len(), second.late.len());
}

fn as_record(data: &[u8]) {
    let mut groups = vec![group()];
    let _ = journal::replay(1, data, &mut groups, |_, _| Ok(()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_taken(data in prop::collection::vec(any::<u8>(), 0..600)) {
            super::page(&data);
        }
    }
}
