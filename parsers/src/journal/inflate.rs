//! Payloads as systemd compresses them: zstd since 246, LZ4 since 216, XZ before.

use std::io::{self, Read};

/// What an LZMA decoder may take: a payload's dictionary is never larger than systemd's own preset.
const XZ_MEMORY_KIB: u32 = 64 << 10;

/// How a payload is compressed: the flags of its object.
pub(super) const XZ: u8 = 1;
/// See [`XZ`].
pub(super) const LZ4: u8 = 2;
/// See [`XZ`].
pub(super) const ZSTD: u8 = 4;

/// Unpacks payloads; keeps the state of zstd, which is large, between them.
#[derive(Default)]
pub(super) struct Inflater {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    out: Vec<u8>,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// The payload, or its first `max` bytes, and whether that is all of it. `None` if it is damaged or
    /// compressed in a way we do not know.
    pub(super) fn unpack(&mut self, flags: u8, packed: &[u8], max: usize) -> Option<(&[u8], bool)> {
        self.out.clear();
        let whole = match flags {
            ZSTD => self.zstd(packed, max)?,
            LZ4 => self.lz4(packed, max)?,
            XZ => {
                let reader = lzma_rust2::XzReader::new_mem_limit(packed, false, XZ_MEMORY_KIB);
                take(reader, max, &mut self.out)?
            }
            _ => return None,
        };
        Some((&self.out, whole))
    }

    fn zstd(&mut self, packed: &[u8], max: usize) -> Option<bool> {
        let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
        let Some(size) = usize::try_from(size).ok().filter(|n| *n <= max) else {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
            return take(decoder, max, &mut self.out);
        };
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Decompressor::new().ok();
        }
        self.out.reserve(size);
        let written = self
            .zstd
            .as_mut()?
            .decompress_to_buffer(packed, &mut self.out);
        (written.ok()? == size).then_some(true)
    }

    /// A length, then one raw block. A block cannot be unpacked in part, so one that is too long is
    /// as good as damaged.
    fn lz4(&mut self, packed: &[u8], max: usize) -> Option<bool> {
        let (size, block) = packed.split_first_chunk::<8>()?;
        let size = usize::try_from(u64::from_le_bytes(*size)).ok()?;
        if size > max {
            return None;
        }
        self.out.resize(size, 0);
        let written = lz4_flex::block::decompress_into(block, &mut self.out).ok()?;
        (written == size).then_some(true)
    }
}

/// Takes at most `max` bytes; whether that was all.
fn take(mut reader: impl Read, max: usize, out: &mut Vec<u8>) -> Option<bool> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    reader.by_ref().take(limit).read_to_end(out).ok()?;
    let mut more = [0];
    loop {
        match reader.read(&mut more) {
            Ok(n) => return Some(n == 0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // What we have was good.
            Err(_) => return (out.len() == max).then_some(false),
        }
    }
}
