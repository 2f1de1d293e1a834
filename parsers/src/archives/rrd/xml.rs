//! XML dumps of rrdtool, by a reader of just as much XML as they have: elements without attributes
//! that matter, text, comments.

use super::{Rra, Rrd, Source, check};
use crate::archives::Damage;

/// Elements within one another at most: a dump has six.
const DEPTH_MAX: usize = 16;

/// What stands next in the text.
enum Token<'a> {
    Open(&'a [u8]),
    Close(&'a [u8]),
    /// `<name/>`
    Empty,
    Text(&'a [u8]),
}

struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The next token and where it begins; `None` at the end.
    fn next(&mut self) -> Result<Option<(usize, Token<'a>)>, Damage> {
        loop {
            let at = self.at;
            let rest = self.bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            if !rest.starts_with(b"<") {
                let len = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                self.at += len;
                let text = rest.get(..len).unwrap_or_default();
                return Ok(Some((at, Token::Text(text))));
            }
            let end: &[u8] = if rest.starts_with(b"<!--") {
                b"-->"
            } else {
                b">"
            };
            let len = memchr::memmem::find(rest, end)
                .ok_or_else(|| Damage::byte(at as u64, "`<` without its `>`"))?;
            self.at += len + end.len();
            if rest.starts_with(b"<!") || rest.starts_with(b"<?") {
                continue;
            }
            let tag = rest.get(1..len).unwrap_or_default();
            let token = match (tag.strip_prefix(b"/"), tag.strip_suffix(b"/")) {
                (Some(name), _) => Token::Close(name.trim_ascii()),
                (None, Some(_)) => Token::Empty,
                (None, None) => {
                    let name = tag.split(u8::is_ascii_whitespace).next();
                    Token::Open(name.unwrap_or_default())
                }
            };
            return Ok(Some((at, token)));
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Dump {
    rrd: Rrd,
    /// Archives that were told how many primary points they have, and values of a finished row.
    row: usize,
}

/// Reads a dump.
pub(super) fn read(bytes: &[u8]) -> Result<Rrd, Damage> {
    let mut tokens = Tokens { bytes, at: 0 };
    let mut path: Vec<&[u8]> = Vec::new();
    let mut dump = Dump::default();
    dump.rrd.rounded = true;
    let mut ended = false;
    while let Some((at, token)) = tokens.next()? {
        let wrong = |what: String| Damage::byte(at as u64, what);
        match token {
            Token::Open(name) => {
                if path.is_empty() && name != b"rrd" || path.len() == DEPTH_MAX {
                    return Err(wrong(format!("<{}> here", shown(name))));
                }
                path.push(name);
                dump.open(&path).map_err(wrong)?;
            }
            Token::Close(name) => {
                if path.last() != Some(&name) {
                    let what = format!("</{}> closes nothing that is open", shown(name));
                    return Err(wrong(what));
                }
                dump.close(&path).map_err(wrong)?;
                path.pop();
                ended = path.is_empty();
                if ended {
                    break;
                }
            }
            Token::Empty => {}
            Token::Text(text) => dump.text(&path, text.trim_ascii()).map_err(wrong)?,
        }
    }
    if !ended {
        let what = "the dump ends before </rrd>";
        return Err(Damage::byte(bytes.len() as u64, what));
    }
    check(&dump.rrd).map_err(|what| Damage::byte(0, what))?;
    Ok(dump.rrd)
}

fn shown(name: &[u8]) -> String {
    let name = name.get(..name.len().min(40)).unwrap_or_default();
    name.escape_ascii().to_string()
}

impl Dump {
    fn open(&mut self, path: &[&[u8]]) -> Result<(), String> {
        match path {
            [_, b"ds"] => self.rrd.sources.push(Source::default()),
            [_, b"rra"] => self.rrd.archives.push(Rra::default()),
            [_, b"rra", b"database", b"row"] => self.row = 0,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, path: &[&[u8]]) -> Result<(), String> {
        let sources = self.rrd.sources.len();
        match path {
            [_, b"rra", b"database", b"row"] if self.row != sources => {
                let n = self.row;
                Err(format!("a row of {n} values for {sources} data sources"))
            }
            [_, b"rra"]
                if self
                    .rrd
                    .archives
                    .last()
                    .is_some_and(|r| r.values.is_empty()) =>
            {
                Err("an archive without a row".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, path: &[&[u8]], text: &[u8]) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let word = || {
            let word = std::str::from_utf8(text).ok().filter(|w| w.is_ascii());
            word.ok_or_else(|| format!("`{}` is no text of a dump", shown(text)))
        };
        let number = || {
            let parsed = word()?.parse::<i64>().ok();
            parsed.ok_or_else(|| format!("`{}` is no number", shown(text)))
        };
        match path {
            [_, b"version"] => word()?.clone_into(&mut self.rrd.version),
            [_, b"step"] => self.rrd.step_s = number()?,
            [_, b"lastupdate"] => self.rrd.last_update_s = number()?,
            [_, b"ds", field] => {
                let Some(source) = self.rrd.sources.last_mut() else {
                    return Ok(());
                };
                match *field {
                    b"name" => word()?.clone_into(&mut source.name),
                    b"type" => word()?.clone_into(&mut source.kind),
                    _ => {}
                }
            }
            [_, b"rra", rest @ ..] => {
                let Some(rra) = self.rrd.archives.last_mut() else {
                    return Ok(());
                };
                match rest {
                    [b"cf"] => word()?.clone_into(&mut rra.cf),
                    [b"pdp_per_row"] => rra.per_row = u32::try_from(number()?).unwrap_or(0),
                    [b"database", b"row", b"v"] => {
                        rra.values.push(value(word()?)?);
                        self.row += 1;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `1.0e+00`, `NaN`, `-nan`, `inf`: what C libraries print.
fn value(word: &str) -> Result<f64, String> {
    let bare = word.trim_start_matches(['-', '+']);
    if bare.get(..3).is_some_and(|w| w.eq_ignore_ascii_case("nan")) || bare == "U" {
        return Ok(f64::NAN);
    }
    word.parse()
        .map_err(|_| format!("`{}` is no value", shown(word.as_bytes())))
}
