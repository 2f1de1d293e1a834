//! `sessions`: runs of events of one client without a long silence.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use vigie_parsers::Timestamp;

use super::super::eval::Subject;
use super::super::field::FieldName;
use super::super::groups::TOO_MANY_GROUPS;
use super::super::query::Pipe;
use super::super::table::{Cell, Item};
use super::stages::Stage;
use super::{Budget, Flow, Out};

/// What a client costs beside its name.
const SESSION_BYTES: usize = 96;

#[derive(Clone, Copy)]
struct Session {
    start: Timestamp,
    end: Timestamp,
    count: u64,
}

/// Events come in order of time, forwards or backwards: either way a gap ends a session.
pub(super) struct SessionStage<'a> {
    gap_ms: i64,
    by: &'a FieldName,
    budget: &'a Budget,
    open: HashMap<Box<[u8]>, Session, RandomState>,
    closed: Vec<(Box<[u8]>, Session)>,
}

impl<'a> SessionStage<'a> {
    pub(super) fn new(gap_ms: i64, by: &'a FieldName, budget: &'a Budget) -> Self {
        Self {
            gap_ms,
            by,
            budget,
            open: HashMap::default(),
            closed: Vec::new(),
        }
    }
}

impl Stage for SessionStage<'_> {
    fn push(&mut self, item: Item<'_>, _out: &mut Out<'_>) -> Flow {
        let (Some(client), time) = (item.value(self.by), item.time()) else {
            return Flow::Continue(());
        };
        let fresh = Session {
            start: time,
            end: time,
            count: 1,
        };
        let cost = SESSION_BYTES + client.len();
        if let Some(session) = self.open.get_mut(&*client) {
            let near = session.start.plus_ms(-self.gap_ms) <= time
                && time <= session.end.plus_ms(self.gap_ms);
            if near {
                session.start = session.start.min(time);
                session.end = session.end.max(time);
                session.count += 1;
            } else if self.budget.take(cost) {
                let ended = std::mem::replace(session, fresh);
                self.closed.push((client.as_ref().into(), ended));
            }
        } else if self.open.len() >= self.budget.max_groups() {
            self.budget.cut(TOO_MANY_GROUPS);
        } else if self.budget.take(cost) {
            self.open.insert(client.as_ref().into(), fresh);
        }
        Flow::Continue(())
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Flow {
        let mut all = std::mem::take(&mut self.closed);
        all.extend(self.open.drain());
        all.sort_by(|(c, a), (d, b)| b.start.cmp(&a.start).then_with(|| c.cmp(d)));
        let pipe = Pipe::Sessions {
            gap_ms: self.gap_ms,
            by: self.by.clone(),
        };
        let columns = pipe.columns().unwrap_or_default();
        all.iter().try_for_each(|(client, s)| {
            #[expect(clippy::cast_precision_loss, reason = "a span of time")]
            let seconds = s.end.since_ms(s.start) as f64 / 1e3;
            let cells = [
                Cell::Text(client.to_vec()),
                Cell::Time(s.start),
                Cell::Time(s.end),
                Cell::Seconds(seconds),
                Cell::Count(s.count),
            ];
            out(Item::Row {
                columns: &columns,
                cells: &cells,
            })
        })
    }
}
