//! One container, followed through the engine's socket until it is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::Instant;
use vigie_store::{Batch, SourceState};

use super::Plan;
use super::container::Container;
use super::engine::Refusal;
use super::intake::{HOLD_MS, Intake, Shared};
use super::pieces::Cutter;
use super::position::Position;
use super::trail::Trail;
use crate::budget::Patience;
use crate::lines::BATCH_BYTES;
use crate::outlet::Ended;

/// What has come is handed over so often: the writer commits each second.
pub(super) const HAND_OVER: Duration = Duration::from_millis(200);
/// A log that could not be opened, or broke off, is opened again after so long; longer each time.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Of a container whose log goes where the engine cannot read it.
const NO_LOG: &str = "its log driver keeps nothing that can be read";

/// What the roster tells a follower.
#[derive(Debug, Default)]
pub(super) struct Bell {
    ring: Notify,
    rename: Notify,
    removed: AtomicBool,
    /// Nothing can come before the next ring.
    idle: AtomicBool,
}

impl Bell {
    /// The container was started, or may have been.
    pub(super) fn started(&self) {
        self.ring.notify_one();
    }

    /// The container has another name.
    pub(super) fn rename(&self) {
        match self.is_idle() {
            true => self.ring.notify_one(),
            false => self.rename.notify_one(),
        }
    }

    /// Waits until it has.
    pub(super) async fn renamed(&self) {
        self.rename.notified().await;
    }

    /// The container is gone: what is there is all.
    pub(super) fn removed(&self) {
        self.removed.store(true, Relaxed);
        self.ring.notify_one();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Relaxed)
    }
}

/// See the module.
pub(super) struct Follower {
    pub(super) plan: Arc<Plan>,
    pub(super) id: String,
    pub(super) bell: Arc<Bell>,
    pub(super) position: Position,
    pub(super) intake: Option<(Container, Intake)>,
    /// Of a log that rotates.
    pub(super) trail: Trail,
}

/// How a sitting ended.
pub(super) enum End {
    /// The log has ended, and so has the container: it may be started again.
    Stopped,
    /// The log has ended though the container runs: it was started again meanwhile, or the engine ends.
    Again,
    /// The log cannot be had, or broke off.
    Broken(String),
    Removed,
}

impl Follower {
    /// Follows until the container is removed or the daemon ends; the id.
    pub(super) async fn run(mut self) -> String {
        let mut retry = RETRY;
        loop {
            let begun = Instant::now();
            let end = match self.sit().await {
                Ok(end) => end,
                Err(Ended) => break,
            };
            if begun.elapsed() > RETRY_MAX {
                retry = RETRY;
            }
            let removed = self.bell.removed.load(Relaxed);
            let wait = match end {
                End::Removed => {
                    self.leave().await;
                    break;
                }
                End::Stopped if removed => {
                    self.leave().await;
                    break;
                }
                End::Stopped => None,
                End::Again => Some(RETRY),
                End::Broken(why) => {
                    if let Some((_, intake)) = &self.intake {
                        intake.source().fail(&why);
                    }
                    retry = (retry * 2).min(RETRY_MAX);
                    Some(retry)
                }
            };
            if !self.wait(wait).await {
                break;
            }
        }
        self.id
    }

    /// Waits for the bell, or for so long; whether to go on.
    async fn wait(&self, at_most: Option<Duration>) -> bool {
        self.bell.idle.store(at_most.is_none(), Relaxed);
        let long = Duration::from_secs(365 * 86_400);
        let go_on = tokio::select! {
            () = self.bell.ring.notified() => true,
            () = tokio::time::sleep(at_most.unwrap_or(long)) => true,
            () = self.plan.outlet.shutdown.cancelled() => false,
        };
        self.bell.idle.store(false, Relaxed);
        go_on
    }

    /// Opens the log and reads to its end.
    async fn sit(&mut self) -> Result<End, Ended> {
        let container = match self.inspect().await {
            Ok(container) => container,
            Err(e) => return Ok(e.into()),
        };
        self.meet(container);
        let Some((container, intake)) = &mut self.intake else {
            return Ok(End::Stopped);
        };
        if container.driver == "journald" && self.plan.journal_kept {
            intake.source().work("its lines come with the journal");
            return Ok(End::Stopped);
        }
        if container.driver == "none" {
            intake.source().work(NO_LOG);
            return Ok(End::Stopped);
        }
        let terminal = container.terminal;
        if container.rotates {
            return self.sit_rotating(terminal).await;
        }
        intake.reopen();
        let since = intake.since().0;
        let (seconds, nanos) = (
            since.div_euclid(1_000_000_000),
            since.rem_euclid(1_000_000_000),
        );
        let path = format!(
            "/containers/{}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since={seconds}.{nanos:09}",
            self.id
        );
        let body = match self.open(&path).await {
            Ok(body) => body,
            Err(end) => return Ok(end),
        };
        if let Some((_, intake)) = &self.intake {
            intake.source().work("");
        }
        let read = self.read(body, terminal).await?;
        if let Err(why) = read {
            return Ok(End::Broken(why));
        }
        self.close().await
    }

    /// Asks for a log.
    pub(super) async fn open(&self, path: &str) -> Result<Incoming, End> {
        match self.plan.engine.ask(path).await {
            Ok(answer) => Ok(answer.into_body()),
            // The container's own choice, not our trouble.
            Err(Refusal::Other(why)) if why.contains("does not support reading") => {
                if let Some((_, intake)) = &self.intake {
                    intake.source().work(NO_LOG);
                }
                Err(End::Stopped)
            }
            Err(Refusal::Gone) => Err(End::Removed),
            Err(e) => Err(End::Broken(format!("no log: {e}"))),
        }
    }

    async fn inspect(&self) -> Result<Container, Refusal> {
        let path = format!("/containers/{}/json", self.id);
        let json = self.plan.engine.read(&path).await?;
        Container::read(&json, &self.id).map_err(|e| Refusal::Other(e.to_string()))
    }

    /// Takes note of what the container is; it may have another name than before.
    fn meet(&mut self, container: Container) {
        let plan = &self.plan;
        let told = |c: &Container| c.fields(&plan.wanted.host, "");
        // One that stopped is no longer in the account.
        let source = plan
            .outlet
            .status
            .source(&format!("docker:{}", container.name));
        if let Some((known, intake)) = &mut self.intake
            && told(known) == told(&container)
        {
            *known = container;
            intake.set_source(source);
            return;
        }
        if let Some((known, mut intake)) = self.intake.take() {
            self.position = intake.position();
            if known.name != container.name {
                plan.outlet.status.remove(intake.source().name());
            }
        }
        if !container.is_wanted(&plan.wanted.keep, &plan.wanted.leave_out) {
            plan.outlet.status.remove(source.name());
            return;
        }
        let shared = Shared {
            counters: &plan.outlet.counters,
            host: &plan.wanted.host,
            joining: &plan.wanted.joining,
        };
        let intake = Intake::new(&shared, (&self.id, &container), source, &self.position);
        self.intake = Some((container, intake));
        self.trail = Trail::default();
    }

    /// Reads an answer to its end, or to where it broke.
    async fn read(
        &mut self,
        mut body: Incoming,
        terminal: bool,
    ) -> Result<Result<(), String>, Ended> {
        let (outlet, bell) = (self.plan.outlet.clone(), Arc::clone(&self.bell));
        let Some((_, intake)) = &mut self.intake else {
            return Ok(Ok(()));
        };
        let mut cutter = Cutter::new(terminal);
        let mut due: Option<Instant> = None;
        loop {
            let held = intake
                .is_waiting()
                .then(|| Duration::from_millis(HOLD_MS.unsigned_abs()));
            let idle = Instant::now() + held.unwrap_or(Duration::from_secs(60));
            let frame = tokio::select! {
                () = outlet.shutdown.cancelled() => {
                    hand_over(&outlet, intake).await?;
                    return Err(Ended);
                }
                () = bell.renamed() => {
                    hand_over(&outlet, intake).await?;
                    return Ok(Ok(()));
                }
                frame = body.frame() => frame,
                () = tokio::time::sleep_until(due.unwrap_or(idle)) => {
                    intake.pass(outlet.now());
                    hand_over(&outlet, intake).await?;
                    due = None;
                    continue;
                }
            };
            let now = outlet.now();
            let cut = match frame {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(&[][..], |d| d);
                    cutter.push(bytes, &mut |piece| intake.push(now, &piece))
                }
                Some(Err(e)) => {
                    hand_over(&outlet, intake).await?;
                    return Ok(Err(format!("the log broke off: {e}")));
                }
                None => {
                    let cut = cutter.finish(&mut |piece| intake.push(now, &piece));
                    hand_over(&outlet, intake).await?;
                    return Ok(cut.map_err(|e| e.0));
                }
            };
            if let Err(strange) = cut {
                hand_over(&outlet, intake).await?;
                return Ok(Err(strange.0));
            }
            if intake.size() >= BATCH_BYTES {
                hand_over(&outlet, intake).await?;
                due = None;
            } else {
                due.get_or_insert_with(|| Instant::now() + HAND_OVER);
            }
        }
    }

    /// The log has ended: why.
    pub(super) async fn close(&mut self) -> Result<End, Ended> {
        let outlet = self.plan.outlet.clone();
        let running = match self.inspect().await {
            Ok(container) => container.running,
            Err(Refusal::Gone) => false,
            Err(e) => return Ok(e.into()),
        };
        if running {
            return Ok(End::Again);
        }
        let known = self.intake.as_ref().map(|(container, _)| container);
        if let Some(terminal) = known.filter(|c| c.rotates).map(|c| c.terminal)
            && let Some(end) = self.fetch(terminal, true).await?
        {
            return Ok(end);
        }
        let Some((_, intake)) = &mut self.intake else {
            return Ok(End::Stopped);
        };
        intake.finish(outlet.now());
        hand_over(&outlet, intake).await?;
        intake
            .source()
            .set(SourceState::Stopped, "the container does not run");
        Ok(End::Stopped)
    }

    /// Forgets a container that is gone.
    async fn leave(&mut self) {
        let outlet = &self.plan.outlet;
        if let Some((_, mut intake)) = self.intake.take() {
            intake.finish(outlet.now());
            // The daemon ends: then it is forgotten at the next start.
            let _ = hand_over(outlet, &mut intake).await;
            intake
                .source()
                .set(SourceState::Stopped, "the container was removed");
        }
        let batch = Batch {
            positions: vec![(Position::key(&self.id), None)],
            ..Batch::default()
        };
        // As above.
        let _ = outlet.send(Patience::Waits, batch).await;
    }
}

pub(super) async fn hand_over(
    outlet: &crate::outlet::Outlet,
    intake: &mut Intake,
) -> Result<(), Ended> {
    match intake.batch() {
        Some(batch) => outlet.send(Patience::Waits, batch).await,
        None => Ok(()),
    }
}
