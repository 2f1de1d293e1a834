//! A container whose log rotates, followed through the engine's socket.
//!
//! An engine that follows a log over a rotation leaves out what it had not read of the old file, begins the
//! new one twice, or ends its answer (measured with Docker 20.10 at `max-size=100k`: of 60,000 records 12,870
//! came, 2,015 of them twice). Its files have everything. So what it sends as it follows only tells that
//! there is more, and about how much; that is asked for with `tail`, which costs as much as is new, and taken
//! behind the last record that we have.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use vigie_parsers::Timestamp;

use super::engine::Refusal;
use super::follow::{End, Follower, HAND_OVER, hand_over};
use super::intake::{HOLD_MS, Intake};
use super::pieces::{Cutter, Piece, Stamp};
use super::trail::{Search, Trail};
use crate::lines::BATCH_BYTES;
use crate::outlet::Ended;

/// So many records more than the engine told of are asked for: among them is the last that we have.
const MARGIN: usize = 64;
/// When it is not, so many times as many; then the whole log is.
const MORE: usize = 64;
/// The log is asked for so often though the engine tells of nothing: some stop to, at a rotation.
const ANYWAY: Duration = Duration::from_secs(60);
/// Between two questions is so many times as long as the last one took: an engine has other work.
const REST: u32 = 4;
/// Packed files of what is older than so long before the last record are not opened: streams are written in
/// the order of stamps to within a moment.
const SKEW_NS: i64 = 10_000_000_000;
/// An answer that does not go on for so long is given up.
const SILENT: Duration = Duration::from_secs(60);

impl Follower {
    /// Follows until the engine ends its answer.
    pub(super) async fn sit_rotating(&mut self, terminal: bool) -> Result<End, Ended> {
        // Before the log is read, so that nothing comes between.
        let bell = format!(
            "/containers/{}/logs?follow=1&tail=0&stdout=1&stderr=1&timestamps=1",
            self.id
        );
        let bell = match self.open(&bell).await {
            Ok(bell) => bell,
            Err(end) => return Ok(end),
        };
        if let Some(end) = self.fetch(terminal, false).await? {
            return Ok(end);
        }
        if let Some((_, intake)) = &self.intake {
            intake.source().work("");
        }
        if let Some(end) = self.listen(bell, terminal).await? {
            return Ok(end);
        }
        self.close().await
    }

    /// Fetches whenever the engine tells of something; `None` when it has ended.
    async fn listen(&mut self, mut bell: Incoming, terminal: bool) -> Result<Option<End>, Ended> {
        let (outlet, follow) = (self.plan.outlet.clone(), std::sync::Arc::clone(&self.bell));
        let mut cutter = Cutter::new(terminal);
        let mut cost = Duration::ZERO;
        let mut due: Option<Instant> = None;
        loop {
            let Some((_, intake)) = &mut self.intake else {
                return Ok(None);
            };
            let held = Duration::from_millis(HOLD_MS.unsigned_abs());
            let idle = if intake.is_waiting() { held } else { ANYWAY };
            let frame = tokio::select! {
                () = outlet.shutdown.cancelled() => {
                    hand_over(&outlet, intake).await?;
                    return Err(Ended);
                }
                () = follow.renamed() => return Ok(None),
                frame = bell.frame() => frame,
                () = tokio::time::sleep_until(due.unwrap_or_else(|| Instant::now() + idle)) => {
                    let begun = Instant::now();
                    if due.is_some() || idle == ANYWAY {
                        if let Some(end) = self.fetch(terminal, false).await? {
                            return Ok(Some(end));
                        }
                        cost = begun.elapsed();
                    }
                    self.pass().await?;
                    due = None;
                    continue;
                }
            };
            let Some(Ok(frame)) = frame else {
                return Ok(None);
            };
            let trail = &mut self.trail;
            let bytes = frame.data_ref().map_or(&[][..], |d| d);
            if cutter.push(bytes, &mut |piece| trail.hear(&piece)).is_err() {
                // Its own complaint of what it could not follow; what is there is fetched.
                return Ok(None);
            }
            due.get_or_insert_with(|| Instant::now() + HAND_OVER.max(cost * REST));
        }
    }

    /// Makes events of what has waited long enough, and hands over.
    async fn pass(&mut self) -> Result<(), Ended> {
        let outlet = self.plan.outlet.clone();
        let Some((_, intake)) = &mut self.intake else {
            return Ok(());
        };
        intake.pass(outlet.now());
        hand_over(&outlet, intake).await
    }

    /// Takes what the log has behind the last record; with `last` there will be no more. `Some` when it
    /// cannot be had.
    ///
    /// Docker 20.10 leaves out every rotated file when it has packed one that ends before `since`. So that is
    /// only said where the last record that we have, in the answer, proves that nothing is missing.
    pub(super) async fn fetch(&mut self, terminal: bool, last: bool) -> Result<Option<End>, Ended> {
        let few = self.trail.heard().saturating_add(MARGIN);
        let many = few.saturating_mul(MORE);
        for part in [Part::New(few), Part::Tail(few), Part::Tail(many), Part::All] {
            match self.fetch_part(part, (terminal, last)).await? {
                Ok(true) => {
                    self.trail.forget_heard();
                    return Ok(None);
                }
                Ok(false) => {}
                Err(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// What to ask for, and how to know in the answer what is new. `None` when that would not be known.
    fn question(&mut self, part: Part) -> Option<(String, Looking)> {
        let (_, intake) = self.intake.as_mut()?;
        let log = format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps=1",
            self.id
        );
        let search = self.trail.search();
        let reached = intake.since().0.saturating_sub(SKEW_NS);
        match (part, search) {
            (Part::New(n), Some(search)) => {
                let since = self.trail.stamp()?.0.saturating_sub(SKEW_NS).max(0);
                let (s, ns) = (since / 1_000_000_000, since % 1_000_000_000);
                let question = format!("{log}&since={s}.{ns:09}&tail={n}");
                Some((question, Looking::For(search)))
            }
            (Part::New(_), None) => None,
            (Part::Tail(n), Some(search)) => {
                Some((format!("{log}&tail={n}"), Looking::For(search)))
            }
            // Since our start, or after another name: where we were is known by the stamps.
            (Part::Tail(n), None) if reached > 0 => {
                Some((format!("{log}&tail={n}"), Looking::Before(Stamp(reached))))
            }
            (Part::Tail(_), None) => None,
            (Part::All, _) => {
                intake.reopen();
                Some((log, Looking::Marks))
            }
        }
    }

    /// Takes what is new in a part of the log. Whether it was known where that begins.
    async fn fetch_part(
        &mut self,
        part: Part,
        (terminal, last): (bool, bool),
    ) -> Result<Result<bool, End>, Ended> {
        let Some((question, mut looking)) = self.question(part) else {
            return Ok(Ok(self.intake.is_none()));
        };
        let mut body = match self.open(&question).await {
            Ok(body) => body,
            Err(end) => {
                if matches!(end, End::Removed) {
                    self.take_heard();
                }
                return Ok(Err(end));
            }
        };
        let outlet = self.plan.outlet.clone();
        let mut cutter = Cutter::new(terminal);
        loop {
            let Some((_, intake)) = &mut self.intake else {
                return Ok(Ok(true));
            };
            let frame = tokio::select! {
                () = outlet.shutdown.cancelled() => {
                    hand_over(&outlet, intake).await?;
                    return Err(Ended);
                }
                frame = tokio::time::timeout(SILENT, body.frame()) => frame,
            };
            let (now, trail) = (outlet.now(), &mut self.trail);
            let mut take = |piece: Piece<'_>| looking.take(now, &piece, intake, trail);
            let cut = match frame {
                Ok(Some(Ok(frame))) => {
                    cutter.push(frame.data_ref().map_or(&[][..], |d| d), &mut take)
                }
                Ok(None) => {
                    // Of a terminal's open line more may come, and then it is another record.
                    if last && let Err(strange) = cutter.finish(&mut take) {
                        return Ok(Err(End::Broken(strange.0)));
                    }
                    hand_over(&outlet, intake).await?;
                    return Ok(Ok(looking.has_found()));
                }
                Ok(Some(Err(e))) => return Ok(Err(End::Broken(format!("the log broke off: {e}")))),
                Err(_) => return Ok(Err(End::Broken("the log does not go on".to_owned()))),
            };
            if let Err(strange) = cut {
                return Ok(Err(End::Broken(strange.0)));
            }
            if matches!(looking, Looking::InVain) {
                return Ok(Ok(false));
            }
            if intake.size() >= BATCH_BYTES {
                hand_over(&outlet, intake).await?;
            }
        }
    }

    /// The container was removed as it ended: what was heard of its log is all there is.
    fn take_heard(&mut self) {
        let now = self.plan.outlet.now();
        let Some((_, intake)) = &mut self.intake else {
            return;
        };
        self.trail.take_heard(&mut |piece| {
            if intake.is_later(piece) {
                intake.push_next(now, piece);
            }
        });
    }
}

/// What of a log is asked for: so many of its last records, of the newest files only or of all.
#[derive(Clone, Copy, Debug)]
enum Part {
    New(usize),
    Tail(usize),
    All,
}

/// How what is new is told from what was taken.
enum Looking {
    /// It stands behind this record.
    For(Search),
    /// By the stamps, if the answer begins before this one.
    Before(Stamp),
    /// By the stamps.
    Marks,
    /// All of it is.
    Found,
    InVain,
}

impl Looking {
    fn take(&mut self, now: Timestamp, piece: &Piece<'_>, intake: &mut Intake, trail: &mut Trail) {
        match self {
            Self::For(search) => {
                if search.is_here(piece) {
                    *self = Self::Found;
                }
                return;
            }
            Self::Before(stamp) if piece.stamp < *stamp => {
                intake.reopen();
                *self = Self::Marks;
            }
            Self::Before(_) | Self::InVain => {
                *self = Self::InVain;
                return;
            }
            Self::Marks | Self::Found => {}
        }
        match self {
            Self::Marks => intake.push(now, piece),
            _ => intake.push_next(now, piece),
        }
        trail.note(piece);
    }

    fn has_found(&self) -> bool {
        matches!(self, Self::Marks | Self::Found)
    }
}

impl From<Refusal> for End {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::Gone => Self::Removed,
            why => Self::Broken(why.to_string()),
        }
    }
}
