//! What the bytes of a text file stand for: UTF-16 and Latin-1 become UTF-8.
//!
//! Places in a file are told in its own bytes while its lines are found in what they become, so
//! [`Encoding::len_of`] says how many bytes of the file a piece of the text was. That needs no notes: each
//! character is as long in the file as it is, and half a surrogate pair, which becomes U+FFFD, is as long
//! there as U+FFFD itself.

use std::fmt::Write as _;

/// How a file writes characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is, whatever it is: bytes that are no UTF-8 stay.
    #[default]
    Utf8,
    /// A byte a character: ISO 8859-1, with Windows-1252's quotes and dashes where that has control
    /// characters which no log uses.
    Latin1,
    /// Two or four bytes a character, the low byte first, as Windows writes them.
    Utf16Le,
    /// The same with the high byte first.
    Utf16Be,
}

/// The names in configuration.
const NAMES: [(&str, Encoding); 4] = [
    ("utf-8", Encoding::Utf8),
    ("latin-1", Encoding::Latin1),
    ("utf-16le", Encoding::Utf16Le),
    ("utf-16be", Encoding::Utf16Be),
];

/// What 0x80 to 0x9f are in Windows-1252; the five that are nothing there stay what they are in Latin-1.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl std::str::FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, encoding)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*encoding);
        }
        let mut why = format!("unknown encoding `{text}`; known: ");
        for (at, (name, _)) in NAMES.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            // Writing to a string does not fail.
            let _ = write!(why, "{comma}{name}");
        }
        Err(why)
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = NAMES.iter().find(|(_, encoding)| encoding == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl Encoding {
    /// Bytes of the beginning of a file that [`Self::of`] looks at.
    pub const HEAD_LEN: usize = 4;

    /// The encoding of a file that begins so: a byte order mark tells; without one it is what is `given`,
    /// else UTF-16 where every other byte is NUL, else UTF-8. `None` while there are too few bytes to tell.
    #[must_use]
    pub fn of(head: &[u8], given: Option<Self>) -> Option<Self> {
        match *head {
            [0xff, 0xfe, ..] => return Some(Self::Utf16Le),
            [0xfe, 0xff, ..] => return Some(Self::Utf16Be),
            [0xef, 0xbb, 0xbf, ..] => return Some(Self::Utf8),
            [] | [0xff | 0xfe | 0xef] | [0xef, 0xbb] => return None,
            _ => {}
        }
        if let Some(given) = given {
            return Some(given);
        }
        match *head {
            [a, 0, b, 0, ..] if a != 0 && b != 0 => Some(Self::Utf16Le),
            [0, a, 0, b, ..] if a != 0 && b != 0 => Some(Self::Utf16Be),
            // These may become one of the two.
            [_] => None,
            [a, 0] | [0, a] | [a, 0, _] | [0, a, 0] if a != 0 => None,
            _ => Some(Self::Utf8),
        }
    }

    /// Characters begin at multiples of so many bytes.
    #[must_use]
    pub fn unit(self) -> usize {
        match self {
            Self::Utf8 | Self::Latin1 => 1,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    /// Appends what the characters at the beginning of the bytes become that are whole; how many of the
    /// bytes those are: the rest waits for what follows. What is no character becomes U+FFFD.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        match self {
            Self::Utf8 => {
                out.extend_from_slice(bytes);
                bytes.len()
            }
            Self::Latin1 => {
                latin1(bytes, out);
                bytes.len()
            }
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes, out),
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes, out),
        }
    }

    /// As [`Self::decode`] for bytes that nothing will follow.
    pub fn decode_last(self, bytes: &[u8], out: &mut Vec<u8>) {
        let used = self.decode(bytes, out);
        if used < bytes.len() {
            push(char::REPLACEMENT_CHARACTER, out);
        }
    }

    /// How many bytes of the file became this text, which ends with a whole character.
    #[must_use]
    pub fn len_of(self, text: &[u8]) -> usize {
        // All bytes but those that go on a character.
        let characters = || text.iter().filter(|&&b| b & 0xc0 != 0x80).count();
        match self {
            Self::Utf8 => text.len(),
            Self::Latin1 => characters(),
            Self::Utf16Le | Self::Utf16Be => {
                let pairs = text.iter().filter(|&&b| b >= 0xf0).count();
                2 * (characters() + pairs)
            }
        }
    }
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn latin1(mut bytes: &[u8], out: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let plain = bytes.iter().take_while(|b| b.is_ascii()).count();
        let (ascii, rest) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
        out.extend_from_slice(ascii);
        let Some((&b, rest)) = rest.split_first() else {
            return;
        };
        let windows = WINDOWS.get(usize::from(b.wrapping_sub(0x80)));
        push(windows.copied().unwrap_or(char::from(b)), out);
        bytes = rest;
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, out: &mut Vec<u8>) -> usize {
    let (units, _) = bytes.as_chunks::<2>();
    let mut units = units.iter().map(|pair| unit(*pair)).peekable();
    let mut used = 0;
    while let Some(first) = units.next() {
        used += 2;
        if let Ok(ascii @ 0..0x80) = u8::try_from(first) {
            out.push(ascii);
            continue;
        }
        let c = match first {
            0xd800..0xdc00 => match units.peek() {
                Some(&second @ 0xdc00..0xe000) => {
                    units.next();
                    used += 2;
                    let (high, low) = (u32::from(first) & 0x3ff, u32::from(second) & 0x3ff);
                    char::from_u32(0x1_0000 + (high << 10 | low))
                }
                Some(_) => None,
                // The other half has not come yet.
                None => return used - 2,
            },
            _ => char::from_u32(u32::from(first)),
        };
        push(c.unwrap_or(char::REPLACEMENT_CHARACTER), out);
    }
    used
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 4] = [
        Encoding::Utf8,
        Encoding::Latin1,
        Encoding::Utf16Le,
        Encoding::Utf16Be,
    ];

    fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
        let units = text.encode_utf16();
        match encoding {
            Encoding::Utf16Le => units.flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Be => units.flat_map(u16::to_be_bytes).collect(),
            _ => text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_beginning_tells() {
        use Encoding::{Latin1, Utf8, Utf16Be, Utf16Le};
        let check = |head: &[u8], given, expected| {
            assert_eq!(Encoding::of(head, given), expected, "{head:x?} {given:?}");
        };
        for given in [None, Some(Latin1), Some(Utf8)] {
            check(b"\xff\xfe", given, Some(Utf16Le));
            check(b"\xfe\xff\0a", given, Some(Utf16Be));
            check(b"\xef\xbb\xbfa", given, Some(Utf8));
            for short in [&b""[..], b"\xff", b"\xfe", b"\xef", b"\xef\xbb"] {
                check(short, given, None);
            }
        }
        check(b"a\0b\0", None, Some(Utf16Le));
        check(b"\0a\0b", None, Some(Utf16Be));
        check(b"ab", None, Some(Utf8));
        check(b"\0\0\0\0", None, Some(Utf8));
        check(b"a\0\0\0", None, Some(Utf8));
        for short in [&b"a"[..], b"a\0", b"a\0b", b"\0a", b"\0a\0"] {
            check(short, None, None);
            check(short, Some(Latin1), Some(Latin1));
        }
        check(b"a\0b\0", Some(Utf8), Some(Utf8));
    }

    #[test]
    fn characters_and_halves_of_them() {
        let check = |encoding: Encoding, bytes: &[u8], expected: &str, used: usize| {
            let mut out = Vec::new();
            assert_eq!(encoding.decode(bytes, &mut out), used, "{bytes:x?}");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{bytes:x?}");
            assert_eq!(encoding.len_of(&out), used, "{bytes:x?}");
        };
        check(
            Encoding::Latin1,
            b"M\xfcller \x80 \x93x\x94 \x81",
            "Müller € “x” \u{81}",
            14,
        );
        check(Encoding::Utf16Le, b"a\0\xfc\0\xac\x20", "aü€", 6);
        check(Encoding::Utf16Be, b"\xd8\x3d\xde\x00\0\n", "😀\n", 6);
        // Half a unit, half a pair: they wait.
        check(Encoding::Utf16Le, b"a\0b", "a", 2);
        check(Encoding::Utf16Le, b"a\0\x3d\xd8", "a", 2);
        // Halves whose other half does not come.
        check(
            Encoding::Utf16Be,
            b"\xd8\x3d\0a\xde\x00\0b",
            "\u{fffd}a\u{fffd}b",
            8,
        );
        let mut out = Vec::new();
        Encoding::Utf16Be.decode_last(b"\0a\xd8\x3d", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "a\u{fffd}");
    }

    #[test]
    fn names() {
        for (name, encoding) in NAMES {
            assert_eq!(name.parse(), Ok(encoding));
        }
        assert_eq!(
            "utf8".parse::<Encoding>().unwrap_err(),
            "unknown encoding `utf8`; known: utf-8, latin-1, utf-16le, utf-16be"
        );
    }

    proptest! {
        #[test]
        fn text_comes_back_however_it_is_cut(text: String, at in 0_usize..200) {
            for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
                let bytes = encode(&text, encoding);
                let (mut out, mut rest) = (Vec::new(), Vec::new());
                for part in [&bytes[..at.min(bytes.len())], &bytes[at.min(bytes.len())..]] {
                    rest.extend_from_slice(part);
                    let before = out.len();
                    let used = encoding.decode(&rest, &mut out);
                    prop_assert_eq!(encoding.len_of(&out[before..]), used);
                    rest.drain(..used);
                }
                prop_assert!(rest.is_empty());
                prop_assert_eq!(String::from_utf8(out).unwrap(), text.as_str());
            }
        }

        #[test]
        fn any_bytes_have_their_length(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for encoding in ALL {
                let mut out = Vec::new();
                let used = encoding.decode(&bytes, &mut out);
                prop_assert!(used + encoding.unit() * 2 > bytes.len());
                prop_assert_eq!(encoding.len_of(&out), used);
                prop_assert!(encoding == Encoding::Utf8 || std::str::from_utf8(&out).is_ok());
                // As the standard library has it.
                if encoding == Encoding::Utf16Le {
                    encoding.decode_last(&bytes[used..], &mut out);
                    let units: Vec<_> =
                        bytes.as_chunks::<2>().0.iter().map(|p| u16::from_le_bytes(*p)).collect();
                    let mut expected = String::from_utf16_lossy(&units);
                    if bytes.len() % 2 == 1 && used + 1 == bytes.len() {
                        expected.push(char::REPLACEMENT_CHARACTER);
                    }
                    let out = String::from_utf8(out).unwrap();
                    prop_assert_eq!(out, expected);
                }
            }
        }
    }
}
