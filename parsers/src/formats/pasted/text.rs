//! The text of a definition while it is taken apart, each byte with the place where it was written.

use super::Fault;

/// Bytes and their places in what the user gave, for errors that point there.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    places: Vec<usize>,
    /// One past the last byte, in the original.
    end: usize,
}

impl Text {
    /// All of `given`, byte for byte.
    pub(super) fn of(given: &str) -> Self {
        Self {
            bytes: given.as_bytes().to_vec(),
            places: (0..given.len()).collect(),
            end: given.len(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(super) fn range(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// The part from `from` to `to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.bytes.len());
        Self {
            bytes: self.range(from, to).to_vec(),
            places: self.places.get(from..to).unwrap_or_default().to_vec(),
            end: self.place(to),
        }
    }

    /// Without blanks around.
    pub(super) fn trim(&self) -> Self {
        let front = self.bytes.len() - self.bytes.trim_ascii_start().len();
        self.slice(front, front + self.bytes.trim_ascii().len())
    }

    /// Where the byte at `at` was written.
    pub(super) fn place(&self, at: usize) -> usize {
        self.places.get(at).copied().unwrap_or(self.end)
    }

    /// Adds a byte that stands for what was written at `place`.
    pub(super) fn push(&mut self, byte: u8, place: usize) {
        self.bytes.push(byte);
        self.places.push(place);
        self.end = place + 1;
    }

    /// An error at `at`.
    pub(super) fn fault(&self, at: usize, what: impl Into<String>) -> Fault {
        Fault {
            at: self.place(at),
            what: what.into(),
        }
    }

    pub(super) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What follows the name of a directive of a server's configuration.
pub(super) fn header(text: &Text, name: &str) -> Option<Text> {
    let rest = text.bytes().strip_prefix(name.as_bytes())?;
    let blank = rest.first().is_some_and(u8::is_ascii_whitespace);
    blank.then(|| text.slice(name.len(), text.len()).trim())
}
