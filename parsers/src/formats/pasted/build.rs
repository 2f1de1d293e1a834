//! From the pieces of a definition to a [`Template`]: which of two pieces that say the same counts, and
//! where each of them ends.

use super::Fault;
use super::template::{Extent, Piece, Step, Template, What};
use super::text::Text;
use crate::record::{Field, Kind};

/// Steps of one definition: the richest known ones have some sixty.
const STEPS_MAX: usize = 512;

/// A piece as its language found it.
pub(super) struct Found {
    pub(super) what: What,
    /// Its name where a better piece has the field that it could be.
    pub(super) label: String,
    /// Of two pieces for one field the higher counts, of equals the first.
    pub(super) rank: u8,
    /// Its values may be lists with blanks in them.
    pub(super) list: bool,
}

enum Item {
    Byte(u8),
    Blanks,
    Piece {
        found: Found,
        start: usize,
        written: Box<str>,
    },
}

/// Collects the parts of a definition.
#[derive(Default)]
pub(super) struct Builder {
    items: Vec<Item>,
    /// Quotes within pieces are escaped.
    escapes: bool,
    /// Columns: a blank ends each, and times are UTC's.
    columns: bool,
}

impl Found {
    pub(super) fn new(what: What, rank: u8, label: impl Into<String>) -> Self {
        Self {
            what,
            label: label.into(),
            rank,
            list: false,
        }
    }

    /// A piece under a name of its own.
    pub(super) fn named(name: impl Into<String>, kind: Kind) -> Self {
        let name: String = name.into();
        Self::new(What::Named(name.clone().into(), kind), 0, name)
    }

    pub(super) fn with_lists(mut self) -> Self {
        self.list = true;
        self
    }
}

impl Builder {
    /// For a language whose quoted pieces escape the quotes inside, or do not.
    pub(super) fn with_escapes(escapes: bool) -> Self {
        Self {
            escapes,
            ..Self::default()
        }
    }

    /// For columns with blanks between them.
    pub(super) fn of_columns() -> Self {
        Self {
            columns: true,
            ..Self::default()
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.items.push(Item::Byte(byte));
    }

    pub(super) fn blanks(&mut self) {
        self.items.push(Item::Blanks);
    }

    /// A piece that was written from `from` to `to` of `text`.
    pub(super) fn piece(&mut self, found: Found, text: &Text, from: usize, to: usize) {
        self.items.push(Item::Piece {
            found,
            start: text.place(from),
            written: String::from_utf8_lossy(text.range(from, to)).into(),
        });
    }

    /// The template.
    pub(super) fn finish(mut self) -> Result<Template, Fault> {
        self.join_targets();
        self.settle_rivals();
        let mut steps: Vec<Step> = Vec::new();
        let mut literal: Vec<u8> = Vec::new();
        let items = std::mem::take(&mut self.items);
        for (n, item) in items.iter().enumerate() {
            if let Item::Byte(byte) = item {
                literal.push(*byte);
                continue;
            }
            if !literal.is_empty() {
                steps.push(Step::Literal(std::mem::take(&mut literal).into()));
            }
            steps.push(match item {
                Item::Piece {
                    found,
                    start,
                    written,
                } => {
                    let rest = items.get(n + 1..).unwrap_or_default();
                    let extent = self.extent(found, rest).map_err(|what| Fault {
                        at: *start,
                        what: format!("`{written}` {what}"),
                    })?;
                    Step::Piece(Piece {
                        what: found.what.clone(),
                        extent,
                        written: written.clone(),
                    })
                }
                _ => Step::Blanks,
            });
        }
        if !literal.is_empty() {
            steps.push(Step::Literal(literal.into()));
        }
        Ok(Template {
            steps,
            utc: self.columns,
        })
    }

    /// `%U%q` and `$uri$is_args$args` are one piece.
    fn join_targets(&mut self) {
        let kind = |item: &Item| match item {
            Item::Piece { found, .. } => Some(found.what.clone()),
            _ => None,
        };
        for n in 0..self.items.len() {
            let Some(What::Known(Field::Path, text)) = self.items.get(n).and_then(kind) else {
                continue;
            };
            let mark = usize::from(self.items.get(n + 1).and_then(kind) == Some(What::Mark));
            if !matches!(
                self.items.get(n + 1 + mark).and_then(kind),
                Some(What::Query(_))
            ) {
                continue;
            }
            self.items.drain(n + 1..n + 2 + mark);
            if let Some(Item::Piece { found, .. }) = self.items.get_mut(n) {
                // nginx writes `-` for arguments that are not there, unless it is told to escape otherwise.
                found.what = match mark == 1 && text == Kind::Quoted {
                    true => What::DashedTarget(text),
                    false => What::Target(text),
                };
            }
        }
    }

    /// Leaves each field to one piece.
    fn settle_rivals(&mut self) {
        let claims: Vec<(usize, u8, Vec<Claim>)> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(n, item)| match item {
                Item::Piece { found, .. } => Some((n, found.rank, found.what.claims())),
                _ => None,
            })
            .collect();
        for (n, rank, fields) in &claims {
            let beaten = claims.iter().any(|(m, other, theirs)| {
                let better = other > rank || other == rank && m < n;
                m != n && better && theirs.iter().any(|c| fields.contains(c))
            });
            if beaten && let Some(Item::Piece { found, .. }) = self.items.get_mut(*n) {
                let kind = found.what.kind();
                found.what = What::Named(found.label.as_str().into(), kind);
            }
        }
    }

    /// Where a piece ends, by what follows it.
    fn extent(&self, found: &Found, rest: &[Item]) -> Result<Extent, &'static str> {
        if found.what.is_time() {
            return Ok(Extent::Own);
        }
        if self.columns {
            return Ok(Extent::Column);
        }
        let bytes = rest.iter().map_while(|item| match item {
            Item::Byte(b) => Some(*b),
            _ => None,
        });
        let literal: Vec<u8> = bytes.collect();
        match (literal.as_slice(), rest.first()) {
            ([], None) => Ok(Extent::End),
            ([], Some(Item::Blanks)) => Ok(Extent::Near(b' ')),
            ([], Some(Item::Piece { found: next, .. })) => match next.what {
                // `$host$request_uri`
                What::Target(_) | What::DashedTarget(_) | What::Known(Field::Path, _) => {
                    Ok(Extent::Path)
                }
                What::Query(_) | What::Mark => Ok(Extent::Near(b'?')),
                _ => Err("ends nowhere: nothing stands between it and the next"),
            },
            ([b'"', ..], _) if self.escapes => Ok(Extent::Quote),
            ([b':', ..], _) if found.what.has_colons() => Ok(Extent::LastColon),
            ([b' '], _) if found.list => Ok(Extent::List),
            ([byte], _) => Ok(Extent::Near(*byte)),
            (text, _) => Ok(Extent::Before(text.into())),
        }
    }
}

/// What two pieces may quarrel about.
#[derive(PartialEq, Eq)]
enum Claim {
    Field(Field),
    Time,
}

impl What {
    fn claims(&self) -> Vec<Claim> {
        let fields: &[Field] = match self {
            Self::Clf | Self::Iso | Self::Epoch => return vec![Claim::Time],
            Self::Known(field, _) | Self::Number(field, _) => return vec![Claim::Field(*field)],
            Self::Status => &[Field::Status],
            Self::Vhost => &[Field::Vhost],
            Self::First(_) => &[Field::Ip],
            Self::TimeTaken => &[Field::Duration],
            Self::Request(_) => &[Field::Method, Field::Path, Field::Query, Field::Protocol],
            Self::Target(_) | Self::DashedTarget(_) => &[Field::Path, Field::Query],
            Self::Query(_) => &[Field::Query],
            Self::Clock(_) | Self::Skip | Self::Named(..) | Self::Mark => &[],
        };
        fields.iter().map(|f| Claim::Field(*f)).collect()
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Known(_, kind)
            | Self::Named(_, kind)
            | Self::Request(kind)
            | Self::Target(kind)
            | Self::DashedTarget(kind)
            | Self::Query(kind) => *kind,
            _ => Kind::Plain,
        }
    }

    fn is_time(&self) -> bool {
        matches!(self, Self::Clf | Self::Iso | Self::Epoch | Self::Clock(_))
    }

    /// Whether a colon may be inside.
    fn has_colons(&self) -> bool {
        matches!(self, Self::Known(Field::Ip, _) | Self::Vhost)
            || matches!(self, Self::Named(name, _) if name.ends_with("ip"))
    }
}

impl Template {
    /// The template, if it can tell one line from another.
    pub(super) fn checked(self, text: &Text) -> Result<Self, Fault> {
        let says = |step: &Step| match step {
            Step::Piece(piece) => piece.what != What::Skip,
            _ => false,
        };
        if !self.steps.iter().any(says) {
            return Err(text.fault(0, "there is no field in it"));
        }
        if self.steps.len() > STEPS_MAX {
            return Err(text.fault(0, format!("more than {STEPS_MAX} parts")));
        }
        Ok(self)
    }
}
