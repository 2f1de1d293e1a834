//! The names that a line brings itself, one behind the other in one buffer.
//!
//! The lines of one source bring the same names in the same order. So those of the line before stay
//! in the buffer behind the ones in use, and a name that already stands there is only compared.

use crate::record::{Field, offset};

/// The buffer; names `0..used` are the line's.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
    used: usize,
    /// A name is in the buffer that belongs to the vocabulary, but was spelled in a way that does not
    /// count as that (`{"path":{"":1}}`): nothing may be found again then.
    odd: bool,
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
        self.odd = false;
    }

    #[inline]
    pub(crate) fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
        if self.odd {
            self.forget();
        }
    }

    /// Drops what is behind the names in use.
    fn forget(&mut self) {
        self.text.truncate(self.begin(self.used));
        self.ends.truncate(self.used);
    }

    fn begin(&self, index: usize) -> usize {
        let before = index.checked_sub(1).and_then(|i| self.ends.get(i));
        before.map_or(0, |&end| end as usize)
    }

    /// The nth name, empty if there is none.
    pub(crate) fn get(&self, index: usize) -> &str {
        if index >= self.used {
            return "";
        }
        let range = self.begin(index)..self.begin(index + 1);
        self.text.get(range).unwrap_or_default()
    }

    /// Takes the next name if the line before had the same one in this place.
    #[inline]
    pub(crate) fn again(&mut self, parts: &[&[u8]]) -> bool {
        let Some(&end) = self.ends.get(self.used) else {
            return false;
        };
        let range = self.begin(self.used)..end as usize;
        let same = is_joined(self.text.as_bytes().get(range).unwrap_or_default(), parts);
        self.used += usize::from(same);
        same
    }

    /// Adds a name that is none of the vocabulary.
    pub(crate) fn push_own(&mut self, name: &'static str) {
        self.forget();
        self.text.push_str(name);
        self.ends.push(offset(self.text.len()));
        self.used += 1;
    }

    /// Adds a name; what is not UTF-8 in it is replaced.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        self.forget();
        let begin = self.text.len();
        for part in parts.iter().filter(|p| !p.is_empty()) {
            if self.text.len() > begin {
                self.text.push('.');
            }
            self.text.push_str(&String::from_utf8_lossy(part));
        }
        self.odd |= self.text.get(begin..).and_then(Field::from_name).is_some();
        self.ends.push(offset(self.text.len()));
        self.used += 1;
    }
}

/// Whether the parts that are not empty, joined by dots, are this name.
#[inline]
fn is_joined(mut name: &[u8], parts: &[&[u8]]) -> bool {
    let mut first = true;
    for part in parts.iter().filter(|p| !p.is_empty()) {
        if !first {
            let Some(rest) = name.strip_prefix(b".") else {
                return false;
            };
            name = rest;
        }
        let Some(rest) = name.strip_prefix(*part) else {
            return false;
        };
        (name, first) = (rest, false);
    }
    name.is_empty()
}

impl Clone for Names {
    fn clone(&self) -> Self {
        let end = self.begin(self.used);
        Self {
            text: self.text.get(..end).unwrap_or_default().to_owned(),
            ends: self.ends.iter().take(self.used).copied().collect(),
            ..*self
        }
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.used == other.used && (0..self.used).all(|i| self.get(i) == other.get(i))
    }
}

impl Eq for Names {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_of_the_vocabulary_is_not_found_again() {
        let mut names = Names::default();
        names.push(&[b"path", b""]);
        names.truncate(0);
        assert!(!names.again(&[b"path"]));
        names.push(&[b"path", b""]);
        names.clear();
        assert!(!names.again(&[b"path"]));
    }

    proptest! {
        /// The lines before make no difference to what a line's names are.
        #[test]
        fn the_past_does_not_show(
            lines in prop::collection::vec(
                prop::collection::vec(prop::collection::vec("[ab.]{0,2}|é|path", 1..4), 0..5), 1..5),
            cut in 0usize..5,
        ) {
            let mut names = Names::default();
            for line in &lines {
                names.clear();
                for (n, name) in line.iter().enumerate() {
                    let parts: Vec<&[u8]> = name.iter().map(|p| p.as_bytes()).collect();
                    if !names.again(&parts) {
                        names.push(&parts);
                    }
                    if n == cut {
                        names.truncate(n);
                        if !names.again(&parts) {
                            names.push(&parts);
                        }
                    }
                }
                let want = line.iter().map(|name| {
                    let full: Vec<_> = name.iter().filter(|p| !p.is_empty()).cloned().collect();
                    full.join(".")
                });
                prop_assert_eq!(names.len(), line.len());
                for (n, want) in want.enumerate() {
                    prop_assert_eq!(names.get(n), want);
                }
                prop_assert_eq!(&names.clone(), &names);
            }
        }
    }
}
