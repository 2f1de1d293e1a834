//! How far the log of a container was read, as it stands in the store beside its lines.
//!
//! Key `docker:ID`; value `1 OUT_STAMP OUT_COUNT ERR_STAMP ERR_COUNT INODE OFFSET NAME`, numbers in
//! hexadecimal. A stamp is that of the last record taken from a stream, and the count how many records
//! with this stamp were: several may have the same. Both ways to a log, the socket and the files, go on
//! from it; inode and offset only save the latter reading from the beginning.

use super::pieces::Stamp;

/// The beginning of the keys of containers.
pub(super) const PREFIX: &str = "docker:";
/// Stands in the store once an engine's containers were looked at: others are new since then.
pub(super) const MET_KEY: &str = "docker-met";

/// The last record taken of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) stamp: Stamp,
    pub(super) count: u32,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) inode: u64,
    pub(super) offset: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Of stdout and of stderr.
    pub(super) marks: [Mark; 2],
    pub(super) place: Place,
    /// For people who look into the store.
    pub(super) name: String,
}

impl Position {
    /// Nothing before this time is wanted.
    pub(super) fn from(stamp: Stamp) -> Self {
        Self {
            marks: [Mark { stamp, count: 0 }; 2],
            ..Self::default()
        }
    }

    pub(super) fn key(id: &str) -> String {
        format!("{PREFIX}{id}")
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let [out, err] = self.marks;
        format!(
            "1 {:x} {:x} {:x} {:x} {:x} {:x} {}",
            out.stamp.0,
            out.count,
            err.stamp.0,
            err.count,
            self.place.inode,
            self.place.offset,
            self.name
        )
        .into_bytes()
    }

    /// `None` for what another vigie may have written.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.splitn(8, ' ');
        if parts.next()? != "1" {
            return None;
        }
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let mut mark = || {
            Some(Mark {
                stamp: Stamp(i64::try_from(number()?).ok()?),
                count: u32::try_from(number()?).ok()?,
            })
        };
        let marks = [mark()?, mark()?];
        let place = Place {
            inode: number()?,
            offset: number()?,
        };
        Some(Self {
            marks,
            place,
            name: parts.next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mark = |stamp, count| Mark {
            stamp: Stamp(stamp),
            count,
        };
        let position = Position {
            marks: [mark(1_795_267_393_628_881_758, 3), mark(0, 0)],
            place: Place {
                inode: 99,
                offset: 1 << 40,
            },
            name: "shop-web-1".to_owned(),
        };
        let value = position.encode();
        assert_eq!(Position::decode(&value), Some(position));
        for cut in 0..value.len() - "shop-web-1".len() {
            assert_eq!(Position::decode(&value[..cut]), None, "{cut}");
        }
        assert_eq!(Position::decode(b"2 0 0 0 0 0 0 x"), None);
    }
}
