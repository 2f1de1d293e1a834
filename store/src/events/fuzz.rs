//! What the fuzz targets do: any bytes as a block's segments and a query on them.

use std::sync::Arc;

use vigie_query::log::Query;

use super::codec::{Bytes, Packer, unpack};
use super::rebuild::{self, Block, Places, StreamName};
use super::sealed::{SealedBlock, Segments};
use super::select::select;
use super::table::Table;
use super::{Fault, patterns, summary, words};

/// Segments in memory.
struct Packed(Vec<Vec<u8>>);

impl Segments for Packed {
    fn segment(&self, number: u32) -> Result<(Vec<u8>, usize), Fault> {
        let data = self.0.get(number as usize).ok_or(Fault::Damaged)?;
        Ok((unpack(data).ok_or(Fault::Damaged)?, data.len()))
    }
}

/// A line with a query, then segments, each two bytes of length and its raw bytes: whatever they are,
/// the block is refused or answers. The same bytes as a journal row, a segment, a summary and a row
/// of a filter.
pub fn block(data: &[u8]) {
    let _ = Table::default().apply(data, "s");
    let _ = (
        unpack(data),
        summary::is_whole(data),
        words::may_hold(data, data.len() as u64),
        patterns::fuzz_row(data),
    );
    let at = data.iter().position(|&b| b == b'\n').unwrap_or(data.len());
    let (text, rest) = data.split_at(at);
    let mut rest = Bytes(rest.get(1..).unwrap_or_default());
    let mut packer = Packer::new();
    let mut segments = Vec::new();
    while let Some(len) = rest.take(2) {
        let len = usize::from(len[0]) | usize::from(len[1]) << 8;
        let raw = rest.take(len.min(rest.0.len())).unwrap_or_default();
        segments.push(packer.pack(raw));
    }
    let place = Arc::new(StreamName {
        source: "s".to_owned(),
        format: "combined".into(),
    });
    let Ok(block) = SealedBlock::open(Packed(segments), place) else {
        return;
    };
    let query = std::str::from_utf8(text).ok().map(Query::parse);
    if let Some(Ok(query)) = query
        && let Ok(selection) = select(&block, &query.filter)
    {
        assert!(selection.iter().all(|row| row < block.rows().len()));
    }
    let places = Places::new(&block);
    let mut line = Vec::new();
    for row in 0..block.rows().len() {
        line.clear();
        let _ = rebuild::line(&block, &places, row, &mut line);
    }
    let _ = (block.recvs().is_ok(), block.seqs().is_ok());
}
