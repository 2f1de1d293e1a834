//! The patterns of a block's lines, found on its columns.
//!
//! Of each template one line is put together and read by its parser, which tells the parts of its
//! pattern ([`log::pattern_parts`]): constant text, and fields, which are columns. The other lines of the
//! template differ in the values of these columns alone, so a line costs a look at their codes. A
//! template whose last line contradicts that, or whose fields have no column, is gone through line by
//! line.

use foldhash::{HashMap, HashMapExt};
use vigie_parsers::{Event, Kind, Name};
use vigie_query::log::{self, How, Part, cut_pattern, pattern_parts};

use super::super::Fault;
use super::super::active::Parse;
use super::super::column::{Column, NUMBER, append_number};
use super::super::rebuild::{Block, Places};
use super::Pattern;
use super::found::{Found, NOT_KEPT, Texts};

/// Patterns of one block that are kept apart, the most frequent.
pub(super) const KEPT_MAX: usize = 1024;
/// No code of a column was met so far.
pub(super) const UNKNOWN: u32 = u32::MAX;
/// Bytes of a sample.
const SAMPLE_MAX: usize = 512;

/// The patterns of a block and how often they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Derived {
    pub patterns: Vec<Pattern>,
    pub cells: Vec<Cell>,
}

/// Lines of one minute, pattern (by its place, or [`NOT_KEPT`]) and severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Cell {
    pub minute: i64,
    pub pattern: u32,
    pub severity: u32,
    pub count: u64,
}

/// What a column is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Piece(How),
    App,
}

/// A column on its way through the rows.
struct Taken<'a> {
    number: u32,
    used: Use,
    kind: Kind,
    column: &'a Column,
    next: usize,
    last: (u32, u32),
    /// The text of each string, where it was met…
    strings: Vec<u32>,
    /// … and of each number.
    numbers: HashMap<u32, u32>,
}

/// A piece of a template's patterns.
#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Column(u32, Kind, How),
}

/// How the patterns of a template's lines are found.
#[derive(Debug, Default)]
struct Plan {
    /// Line by line.
    by_line: bool,
    pieces: Vec<Piece>,
    /// The column of the program; without one the origin tells.
    app: Option<(u32, Kind)>,
}

/// A template on its way through the rows.
#[derive(Default)]
struct Way {
    plan: Plan,
    /// Columns that its rows have a value in.
    uses: Vec<usize>,
    /// Those of its pieces, and of the program.
    pieces: Vec<usize>,
    app: Option<usize>,
    memo: HashMap<Box<[u32]>, u32>,
    last: (Vec<u32>, u32),
}

/// The patterns of a block.
pub(in super::super) fn of(block: &dyn Block) -> Result<Derived, Fault> {
    let rows = block.rows();
    let mut derive = Derive {
        block,
        places: Places::new(block),
        parse: Parse::new(&block.place().format),
        event: Event::default(),
        names: HashMap::new(),
        found: Found::default(),
    };
    for (number, name) in (0u32..).zip(block.names()) {
        let kind = name.kind;
        let of_name = derive.names.entry(&*name.name).or_default();
        of_name.push((name.nth, kind, number));
    }
    let mut seen: Vec<Option<(usize, usize)>> = vec![None; block.templates().len()];
    for (row, &template) in rows.templates.iter().enumerate() {
        let place = &mut seen[template as usize];
        place.get_or_insert((row, row)).1 = row;
    }
    let mut ways: Vec<Way> = Vec::with_capacity(seen.len());
    for (number, seen) in seen.into_iter().enumerate() {
        let mut way = Way::default();
        if let Some((first, last)) = seen {
            way.plan = derive.plan(number, first, last)?;
        }
        ways.push(way);
    }
    let taken = take_columns(block, &mut ways)?;
    derive.go_through(&mut ways, taken)?;
    derive.finish()
}

/// The columns that plans need, and for each template those that its rows pass.
fn take_columns<'b>(block: &'b dyn Block, ways: &mut [Way]) -> Result<Vec<Taken<'b>>, Fault> {
    let mut taken: Vec<Taken<'_>> = Vec::new();
    let mut take = |number: u32, kind: Kind, used: Use| -> Result<usize, Fault> {
        let known = taken
            .iter()
            .position(|t| t.number == number && t.used == used);
        if let Some(known) = known {
            return Ok(known);
        }
        let column = block.column(number)?;
        taken.push(Taken {
            number,
            used,
            kind,
            column,
            next: 0,
            last: (UNKNOWN, UNKNOWN),
            strings: vec![UNKNOWN; column.strings.len()],
            numbers: HashMap::new(),
        });
        Ok(taken.len() - 1)
    };
    for way in ways.iter_mut().filter(|w| !w.plan.by_line) {
        for piece in &way.plan.pieces {
            if let Piece::Column(number, kind, how) = *piece {
                way.pieces.push(take(number, kind, Use::Piece(how))?);
            }
        }
        if let Some((number, kind)) = way.plan.app {
            way.app = Some(take(number, kind, Use::App)?);
        }
    }
    for (way, template) in ways.iter_mut().zip(block.templates()) {
        let passed = |t: &&(usize, u32)| template.columns.contains(&t.1);
        let numbers: Vec<(usize, u32)> = taken.iter().map(|t| t.number).enumerate().collect();
        way.uses = numbers.iter().filter(passed).map(|t| t.0).collect();
    }
    Ok(taken)
}

struct Derive<'b> {
    block: &'b dyn Block,
    places: Places,
    parse: Parse,
    event: Event,
    /// The named columns: nth, kind and number by name.
    names: HashMap<&'b str, Vec<(u8, Kind, u32)>>,
    found: Found,
}

impl Derive<'_> {
    fn read(&mut self, row: usize) -> Result<(), Fault> {
        self.parse
            .event(self.block, &self.places, row, &mut self.event)
    }

    /// How the patterns of a template's lines are found; its first and last rows tell.
    fn plan(&mut self, template: usize, first: usize, last: usize) -> Result<Plan, Fault> {
        let by_line = Plan {
            by_line: true,
            ..Plan::default()
        };
        if self.block.templates()[template].is_raw() {
            return Ok(by_line);
        }
        self.read(first)?;
        let Some(plan) = self.plan_of(template) else {
            return Ok(by_line);
        };
        if last == first {
            return Ok(plan);
        }
        self.read(last)?;
        let app = match plan.app {
            Some((number, kind)) => Some(kind.decode(&self.value(number, last)?).into_owned()),
            None => None,
        };
        let app_holds = match app {
            Some(app) => self.event.field("app").is_some_and(|v| *v == *app),
            None => self.event.record.find("app").is_none(),
        };
        let holds = app_holds && self.compose(&plan, last)? == log::pattern(&self.event);
        Ok(if holds { plan } else { by_line })
    }

    /// The plan that the line just read suggests; `None` if it takes a field without a column.
    fn plan_of(&self, template: usize) -> Option<Plan> {
        let (line, record) = (&self.event.line, &self.event.record);
        let mut plan = Plan::default();
        let mut missing = false;
        pattern_parts(line, record, |part| {
            if let Part::Field(index, how) = part {
                match self.column(template, index) {
                    Some((number, kind)) => plan.pieces.push(Piece::Column(number, kind, how)),
                    None => missing = true,
                }
                return;
            }
            if !matches!(plan.pieces.last(), Some(Piece::Text(_))) {
                plan.pieces.push(Piece::Text(Vec::new()));
            }
            if let Some(Piece::Text(text)) = plan.pieces.last_mut() {
                part.write(text);
            }
        });
        if let Some(span) = record.find("app") {
            let index = record.fields.iter().position(|s| s == span)?;
            plan.app = Some(self.column(template, index)?);
        }
        (!missing).then_some(plan)
    }

    /// The column in which a template's lines have the nth field of the line just read.
    fn column(&self, template: usize, index: usize) -> Option<(u32, Kind)> {
        let record = &self.event.record;
        let span = record.fields.get(index)?;
        let earlier = record.fields.iter().take(index);
        let nth = earlier.filter(|s| s.name == span.name).count();
        let name = match span.name {
            Name::Known(field) => field.as_str(),
            Name::Dynamic(_) => record.name(span.name),
        };
        let columns = &self.block.templates()[template].columns;
        let found = self.names.get(name)?.iter().find(|(n, kind, number)| {
            usize::from(*n) == nth && *kind == span.kind && columns.contains(number)
        });
        found.map(|&(_, kind, number)| (number, kind))
    }

    /// The text of a row in a column.
    fn value(&self, number: u32, row: usize) -> Result<Vec<u8>, Fault> {
        let column = self.block.column(number)?;
        let code = column
            .codes
            .get(self.places.index(self.block, row, number))
            .ok_or(Fault::Damaged)?;
        let mut text = Vec::new();
        column.append(*code, &mut text);
        Ok(text)
    }

    fn compose(&self, plan: &Plan, row: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        for piece in &plan.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Column(number, kind, how) => {
                    how.write(*kind, &self.value(*number, row)?, &mut out);
                }
            }
        }
        cut_pattern(&mut out);
        Ok(out)
    }

    fn go_through(&mut self, ways: &mut [Way], mut taken: Vec<Taken<'_>>) -> Result<(), Fault> {
        let block = self.block;
        let (rows, times) = (block.rows(), block.times()?);
        let origins: Vec<u32> = block
            .origins()
            .iter()
            .map(|o| {
                let app = o.fields.iter().find(|(n, _)| n == "app");
                self.found.app(app.map(|(_, v)| v.as_bytes()))
            })
            .collect();
        let mut run = ((0, 0, 0), 0);
        let mut key = Vec::new();
        for (row, &template) in rows.templates.iter().enumerate() {
            let way = &mut ways[template as usize];
            for &used in &way.uses {
                let column = taken.get_mut(used).ok_or(Fault::Damaged)?;
                column.advance(&mut self.found.texts)?;
            }
            let pattern = if way.plan.by_line {
                self.read(row)?;
                let app = self.event.field("app").map(std::borrow::Cow::into_owned);
                let app = self.found.app(app.as_deref());
                self.found.pattern(app, log::pattern(&self.event), row)
            } else {
                key.clear();
                key.push(match way.app {
                    Some(app) => taken[app].last.1.saturating_add(1),
                    None => origins[rows.origins[row] as usize],
                });
                key.extend(way.pieces.iter().map(|&used| taken[used].last.1));
                way.pattern(&key, row, &mut self.found)
            };
            let at = (row, times[row], rows.severities[row]);
            self.found.count(pattern, at, &mut run);
        }
        self.found.end_run(run);
        Ok(())
    }

    /// The most frequent patterns with a sample each, and the counts.
    fn finish(mut self) -> Result<Derived, Fault> {
        let mut found = std::mem::take(&mut self.found);
        let mut order: Vec<usize> = (0..found.patterns.len()).collect();
        if order.len() > KEPT_MAX {
            order.sort_by_key(|&at| std::cmp::Reverse(found.patterns[at].count));
            order.truncate(KEPT_MAX);
        }
        let mut place = vec![NOT_KEPT; found.patterns.len()];
        let mut patterns = Vec::with_capacity(order.len());
        for (new, old) in (0u32..).zip(order) {
            place[old] = new;
            let mut pattern = std::mem::take(&mut found.patterns[old]);
            self.read(found.rows[old])?;
            let message = log::message(&self.event);
            pattern.sample = message[..message.len().min(SAMPLE_MAX)].to_vec();
            pattern.sampled = self.event.time.0;
            patterns.push(pattern);
        }
        let mut cells: HashMap<(i64, u32, u32), u64> = HashMap::new();
        for ((minute, pattern, severity), count) in found.cells {
            let pattern = place.get(pattern as usize).copied().unwrap_or(NOT_KEPT);
            *cells.entry((minute, pattern, severity)).or_default() += count;
        }
        let cell = |((minute, pattern, severity), count)| Cell {
            minute,
            pattern,
            severity,
            count,
        };
        let mut cells: Vec<Cell> = cells.into_iter().map(cell).collect();
        cells.sort_unstable();
        Ok(Derived { patterns, cells })
    }
}

impl Way {
    /// The place of the pattern of a row: its program, then the texts of its pieces.
    fn pattern(&mut self, key: &[u32], row: usize, found: &mut Found) -> u32 {
        if self.last.0 == key {
            return self.last.1;
        }
        let pattern = match self.memo.get(key) {
            Some(&known) => known,
            None => {
                let mut text = Vec::new();
                let mut values = key.iter().skip(1);
                for piece in &self.plan.pieces {
                    match piece {
                        Piece::Text(constant) => text.extend_from_slice(constant),
                        Piece::Column(..) => {
                            let value = values.next().map(|&v| v as usize);
                            let value = value.and_then(|v| found.texts.all.get(v));
                            text.extend_from_slice(value.map_or(&[][..], |v| v));
                        }
                    }
                }
                cut_pattern(&mut text);
                let pattern = found.pattern(key.first().copied().unwrap_or(0), text, row);
                self.memo.insert(key.into(), pattern);
                pattern
            }
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(key);
        self.last.1 = pattern;
        pattern
    }
}

impl Taken<'_> {
    /// Goes to the next row that has a value: `last` is its code and text then.
    fn advance(&mut self, texts: &mut Texts) -> Result<(), Fault> {
        let &code = self.column.codes.get(self.next).ok_or(Fault::Damaged)?;
        self.next += 1;
        if self.last.0 == code && self.last.1 != UNKNOWN {
            return Ok(());
        }
        let known = match code & NUMBER {
            0 => *self.strings.get(code as usize).ok_or(Fault::Damaged)?,
            _ => self.numbers.get(&code).copied().unwrap_or(UNKNOWN),
        };
        let text = if known == UNKNOWN {
            let text = self.text(code, texts);
            match code & NUMBER {
                0 => self.strings[code as usize] = text,
                _ => {
                    self.numbers.insert(code, text);
                }
            }
            text
        } else {
            known
        };
        self.last = (code, text);
        Ok(())
    }

    fn text(&self, code: u32, texts: &mut Texts) -> u32 {
        let mut number = Vec::new();
        let text = if code & NUMBER == 0 {
            self.column.strings.get(code as usize)
        } else {
            append_number(code & !NUMBER, &mut number);
            &number
        };
        let mut out = std::mem::take(&mut texts.next);
        out.clear();
        match self.used {
            Use::Piece(how) => how.write(self.kind, text, &mut out),
            Use::App => out.extend_from_slice(&self.kind.decode(text)),
        }
        let interned = texts.intern(&out);
        texts.next = out;
        interned
    }
}
