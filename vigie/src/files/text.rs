//! The text of a file: UTF-8, whatever encoding its bytes have.

use std::io;

use vigie_parsers::Encoding;

use super::input::Input;

/// Turns bytes into text as they are read.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// What the characters are if the file does not say.
    given: Option<Encoding>,
    encoding: Option<Encoding>,
    /// Bytes that are no whole character yet, or too few to tell their encoding.
    raw: Vec<u8>,
}

impl Text {
    /// The encoding of a file without a byte order mark, where the caller knows.
    pub(crate) fn new(given: Option<Encoding>) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    /// What the characters are, once that is known.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// The same file is read again from its beginning.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.given)
    }

    /// Looks at the beginning of a file that is not read from there.
    pub(super) fn heed(&mut self, head: &[u8]) {
        self.encoding = Encoding::of(head, self.given);
    }

    /// Appends some of the next text of an input; `false` at the end.
    ///
    /// # Errors
    /// What could be read before stands.
    pub(crate) fn read(&mut self, input: &mut Input, out: &mut Vec<u8>) -> io::Result<bool> {
        self.read_with(out, |bytes| input.read(bytes))
    }

    /// The same from elsewhere: `read` appends bytes and says whether there may be more.
    pub(super) fn read_with(
        &mut self,
        out: &mut Vec<u8>,
        read: impl FnOnce(&mut Vec<u8>) -> io::Result<bool>,
    ) -> io::Result<bool> {
        // Without a copy where nothing is to be done.
        if self.encoding == Some(Encoding::Utf8) && self.raw.is_empty() {
            return read(out);
        }
        let read = read(&mut self.raw);
        let ends = !*read.as_ref().unwrap_or(&false);
        self.decode(ends, out);
        read
    }

    fn decode(&mut self, ends: bool, out: &mut Vec<u8>) {
        self.encoding = self
            .encoding
            .or_else(|| Encoding::of(&self.raw, self.given))
            .or(ends.then_some(Encoding::Utf8));
        let Some(encoding) = self.encoding else {
            return;
        };
        if ends {
            encoding.decode_last(&self.raw, out);
            self.raw.clear();
        } else {
            let used = encoding.decode(&self.raw, out);
            self.raw.drain(..used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a file that is read in chunks of a size.
    fn text(bytes: &[u8], given: Option<Encoding>, size: usize) -> String {
        let (mut text, mut out) = (Text::new(given), Vec::new());
        let mut chunks = bytes.chunks(size);
        let mut more = true;
        while more {
            let read = |raw: &mut Vec<u8>| {
                let chunk = chunks.next();
                raw.extend_from_slice(chunk.unwrap_or_default());
                Ok(chunk.is_some())
            };
            more = text.read_with(&mut out, read).unwrap();
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn chunks_do_not_matter() {
        let utf16: Vec<_> = "\u{feff}é 😀\n"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        for size in 1..12 {
            assert_eq!(text(&utf16, None, size), "\u{feff}é 😀\n", "{size}");
            assert_eq!(
                text(&utf16[..9], None, size),
                "\u{feff}é \u{fffd}",
                "{size}"
            );
            assert_eq!(text(b"caf\xe9", Some(Encoding::Latin1), size), "café");
            assert_eq!(text("café".as_bytes(), None, size), "café");
            assert_eq!(text(b"x", None, size), "x");
            assert_eq!(text(b"", None, size), "");
        }
    }
}
