//! How files are packed, told by their first bytes: names may lie, and a pipe has none.

use std::io::{self, Read};

/// The longest of the beginnings below.
pub const MAGIC_LEN_MAX: usize = 5;

const PACKINGS: [(&[u8], Packing); 5] = [
    (b"\x1f\x8b", Packing::Gzip),
    (b"\x28\xb5\x2f\xfd", Packing::Zstd),
    (b"\xfd7zXZ", Packing::Foreign("xz")),
    (b"BZh", Packing::Foreign("bzip2")),
    (b"\x04\x22\x4d\x18", Packing::Foreign("lz4")),
];

/// A way of packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip, also several members one behind the other.
    Gzip,
    /// zstd, also several frames.
    Zstd,
    /// Known by that name, and not read here.
    Foreign(&'static str),
}

impl Packing {
    /// What the first bytes of a file say; `None` if it is not packed.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let fits = |(magic, _): &&(&[u8], Self)| head.starts_with(magic);
        PACKINGS.iter().find(fits).map(|(_, packing)| *packing)
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Foreign(name) => name,
        }
    }

    /// Unpacks as it is read. Memory stays bounded whatever the file says: gzip looks back 32 KiB, zstd
    /// at most the 128 MiB that its library allows.
    ///
    /// # Errors
    /// A packing that is not read here, with a way out.
    pub fn unpack<R: Read + Send + 'static>(self, packed: R) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
            Self::Foreign(name) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "is packed with {name}, which is not read; unpack it first: {name} -dk"
                    ),
                ));
            }
        })
    }
}
