//! New fields out of text: `parse`, `json`, `kv`.

use memchr::memmem;

use super::field::FieldName;

/// Fields that one event may gain: lines are hostile.
const MAX_EXTRACTED: usize = 256;
/// Objects inside each other that `json` follows.
const MAX_JSON_DEPTH: usize = 8;

/// Names and values that pipes read out of an event.
pub type Extracted = Vec<(String, Vec<u8>)>;

/// Text with holes: `from <ip> port <_>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    source: String,
    /// What must come before the first hole; empty: it begins where the text begins.
    lead: String,
    holes: Vec<Hole>,
}

/// One hole and the literal text behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hole {
    /// `None` for `<_>`.
    name: Option<String>,
    /// `<name*>`: the whole rest of the text.
    rest: bool,
    behind: String,
}

impl Capture {
    /// Reads a pattern.
    ///
    /// # Errors
    /// With the reason: no named hole, or two holes with nothing between them.
    pub fn new(source: &str) -> Result<Self, String> {
        let (mut lead, mut holes) = (String::new(), Vec::<Hole>::new());
        let mut rest = source;
        while let Some(c) = rest.chars().next() {
            if let Some((inner, tail)) = hole(rest) {
                if holes.last().is_some_and(|h| h.behind.is_empty()) {
                    return Err(format!(
                        "there must be text between '<{inner}>' and the hole before it"
                    ));
                }
                let name = inner.trim_end_matches('*');
                holes.push(Hole {
                    name: (name != "_").then(|| FieldName::new(name).as_str().to_owned()),
                    rest: inner.ends_with('*'),
                    behind: String::new(),
                });
                rest = tail;
                continue;
            }
            let (text, tail) = rest.split_at(c.len_utf8());
            holes
                .last_mut()
                .map_or(&mut lead, |h| &mut h.behind)
                .push_str(text);
            rest = tail;
        }
        if holes.iter().all(|h| h.name.is_none()) {
            return Err("a pattern needs a named hole, as in 'from <ip> port'".to_owned());
        }
        Ok(Self {
            source: source.to_owned(),
            lead,
            holes,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the fields it makes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.holes.iter().filter_map(|h| h.name.as_deref())
    }

    /// Takes the fields out of `text`; nothing unless all of the pattern is there. A hole is as
    /// short as can be; one at the end takes a run without blanks.
    pub(crate) fn read(&self, text: &[u8], out: &mut Extracted) -> bool {
        let Some(at) = memmem::find(text, self.lead.as_bytes()) else {
            return false;
        };
        let (mut rest, before) = (&text[at + self.lead.len()..], out.len());
        for hole in &self.holes {
            let end = match hole.behind.as_bytes() {
                b"" if hole.rest => Some(rest.len()),
                b"" => Some(
                    rest.iter()
                        .position(u8::is_ascii_whitespace)
                        .unwrap_or(rest.len()),
                ),
                behind => memmem::find(rest, behind),
            };
            let Some(end) = end else {
                out.truncate(before);
                return false;
            };
            if let Some(name) = &hole.name {
                set(out, name, rest[..end].to_vec());
            }
            rest = &rest[end + hole.behind.len()..];
        }
        true
    }
}

/// The inside of `<name>` at the start of `text`, and what follows.
fn hole(text: &str) -> Option<(&str, &str)> {
    let (inner, tail) = text.strip_prefix('<')?.split_once('>')?;
    let name = inner.strip_suffix('*').unwrap_or(inner);
    let sound = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.-".contains(c));
    sound.then_some((inner, tail))
}

fn set(out: &mut Extracted, name: &str, value: Vec<u8>) {
    if out.len() < MAX_EXTRACTED && !value.is_empty() {
        out.push((name.to_owned(), value));
    }
}

/// The members of the JSON object that `text` is or ends with, names of inner objects joined by dots.
pub(crate) fn json(text: &[u8], out: &mut Extracted) {
    let Some(start) = memchr::memchr(b'{', text) else {
        return;
    };
    let mut values = serde_json::Deserializer::from_slice(&text[start..]).into_iter();
    if let Some(Ok(serde_json::Value::Object(members))) = values.next() {
        members_of(&members, &mut String::new(), MAX_JSON_DEPTH, out);
    }
}

fn members_of(
    members: &serde_json::Map<String, serde_json::Value>,
    prefix: &mut String,
    depth: usize,
    out: &mut Extracted,
) {
    use serde_json::Value;
    for (key, value) in members {
        let len = prefix.len();
        prefix.push_str(key);
        match value {
            Value::Null => {}
            Value::String(text) => set(out, prefix, text.clone().into_bytes()),
            Value::Object(inner) if depth > 0 => {
                prefix.push('.');
                members_of(inner, prefix, depth - 1, out);
            }
            other => set(out, prefix, other.to_string().into_bytes()),
        }
        prefix.truncate(len);
    }
}

/// `key=value` and `key="a value"` pairs between other text.
pub(crate) fn kv(text: &[u8], out: &mut Extracted) {
    let mut at = 0;
    while let Some(equals) = memchr::memchr(b'=', text.get(at..).unwrap_or_default()) {
        let equals = at + equals;
        let key_start = text[at..equals]
            .iter()
            .rposition(|b| !(b.is_ascii_alphanumeric() || b"_.-".contains(b)))
            .map_or(at, |i| at + i + 1);
        let (value, end) = kv_value(text, equals + 1);
        if let Ok(key) = std::str::from_utf8(&text[key_start..equals])
            && !key.is_empty()
        {
            set(out, key, value);
        }
        at = end.max(equals + 1);
    }
}

/// The value that begins at `start`, and where it ends.
fn kv_value(text: &[u8], start: usize) -> (Vec<u8>, usize) {
    let rest = text.get(start..).unwrap_or_default();
    if rest.first() != Some(&b'"') {
        let ends = |b: &u8| b.is_ascii_whitespace() || b",;)]}".contains(b);
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        return (rest[..len].to_vec(), start + len);
    }
    let (mut value, mut at) = (Vec::new(), 1);
    while let Some(&b) = rest.get(at) {
        match (b, rest.get(at + 1)) {
            (b'"', _) => return (value, start + at + 1),
            (b'\\', Some(&next)) => {
                value.push(next);
                at += 2;
            }
            _ => {
                value.push(b);
                at += 1;
            }
        }
    }
    (value, start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(fields: &Extracted) -> String {
        let pairs = fields
            .iter()
            .map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v)));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn captures() {
        let check = |pattern: &str, text: &str, expected: &str| {
            let mut out = Extracted::new();
            Capture::new(pattern)
                .unwrap()
                .read(text.as_bytes(), &mut out);
            assert_eq!(show(&out), expected, "{pattern} in {text}");
        };
        let login = "Failed password for root from 10.0.0.7 port 4242 ssh2";
        check("from <ip> port", login, "ip=10.0.0.7");
        check(
            "for <user> from <ip> port <port>",
            login,
            "user=root ip=10.0.0.7 port=4242",
        );
        check(
            "<what> for <_> from <rest*>",
            login,
            "what=Failed password rest=10.0.0.7 port 4242 ssh2",
        );
        check("from <ip> gate", login, "");
        check("a<b <x>", "1 a<b 2", "x=2");
        for bad in ["", "no hole", "<_>", "<a><b>"] {
            assert!(Capture::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn objects_and_pairs() {
        let mut out = Extracted::new();
        json(
            br#"12:00 {"a":1,"b":{"c":"x y","d":[1,2]},"e":null,"f":true}"#,
            &mut out,
        );
        assert_eq!(show(&out), "a=1 b.c=x y b.d=[1,2] f=true");
        out.clear();
        json(b"{ broken", &mut out);
        kv(
            br#"at=info, dur=12ms msg="a \"b\" c" ==x =y end="#,
            &mut out,
        );
        assert_eq!(show(&out), r#"at=info dur=12ms msg=a "b" c"#);
    }
}
