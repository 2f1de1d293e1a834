//! Which containers there are: asked once for each connection to the engine, then told by its events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::task::JoinSet;
use vigie_store::{Batch, SourceState};

use super::Plan;
use super::container::is_id;
use super::engine::Refusal;
use super::follow::{Bell, Follower};
use super::pieces::Stamp;
use super::position::{MET_KEY, PREFIX, Position};
use super::trail::Trail;
use crate::budget::Patience;
use crate::outlet::Ended;
use crate::status::Source;

/// Containers followed at once, each with a connection while it runs.
const CONTAINERS_MAX: usize = 1000;
/// The engine is asked for its containers so often, whatever its events said.
const LOOK: Duration = Duration::from_secs(60);
/// A socket that is not there is looked for so often; an engine that refuses is asked again as often.
const ABSENT: Duration = Duration::from_secs(5);
/// Bytes of one event. They have the labels of the container.
const EVENT_LEN_MAX: usize = 1 << 20;
/// The name in the account of the sources.
const SOURCE: &str = "docker";
/// `{"type":["container"],"event":["start","destroy","rename"]}`.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22destroy%22%2C%22rename%22%5D%7D";

/// See the module.
pub(super) struct Roster {
    plan: Arc<Plan>,
    /// Positions of containers that are not followed yet.
    positions: BTreeMap<String, Position>,
    /// The engine's containers were looked at before: an unknown one is new.
    met: bool,
    bells: BTreeMap<String, Arc<Bell>>,
    followers: JoinSet<String>,
    source: Option<Arc<Source>>,
}

/// Of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    state: String,
}

/// Of `GET /events`.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

impl Roster {
    pub(super) fn new(plan: Arc<Plan>, positions: &[(String, Vec<u8>)]) -> Self {
        let known = positions.iter().filter_map(|(key, value)| {
            Some((
                key.strip_prefix(PREFIX)?.to_owned(),
                Position::decode(value)?,
            ))
        });
        Self {
            plan,
            positions: known.collect(),
            met: positions.iter().any(|(key, _)| key == MET_KEY),
            bells: BTreeMap::new(),
            followers: JoinSet::new(),
            source: None,
        }
    }

    /// Follows until the daemon ends; what was read is handed over then.
    pub(super) async fn run(mut self) {
        let shutdown = self.plan.outlet.shutdown.clone();
        loop {
            match self.sit().await {
                Ok(()) | Err(Trouble::Ended) => break,
                // An engine that was never there is no trouble.
                Err(Trouble::Refusal(Refusal::Absent)) if self.source.is_none() => {}
                Err(Trouble::Refusal(why)) => self.source().fail(&why.to_string()),
            }
            tokio::select! {
                () = tokio::time::sleep(ABSENT) => {}
                () = shutdown.cancelled() => break,
            }
        }
        while self.followers.join_next().await.is_some() {}
    }

    fn source(&mut self) -> &Source {
        let status = &self.plan.outlet.status;
        self.source.get_or_insert_with(|| status.source(SOURCE))
    }

    /// One connection to the engine. Events are asked for before the list, so that none is missed.
    async fn sit(&mut self) -> Result<(), Trouble> {
        if !self.plan.engine.is_there() {
            return Err(Trouble::Refusal(Refusal::Absent));
        }
        let events = self.plan.engine.ask(EVENTS).await?;
        self.look().await?;
        let mut events = Events::new(events.into_body());
        let shutdown = self.plan.outlet.shutdown.clone();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        look.reset();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                told = events.next() => self.hear(told?)?,
                Some(ended) = self.followers.join_next() => self.forget(ended),
                _ = look.tick() => self.look().await?,
            }
        }
    }

    /// Asks for all containers.
    async fn look(&mut self) -> Result<(), Trouble> {
        let json = self.plan.engine.read("/containers/json?all=1").await?;
        let listed: Vec<Listed> =
            serde_json::from_slice(&json).map_err(|e| Refusal::Other(e.to_string()))?;
        let listed: Vec<_> = listed.into_iter().filter(|c| is_id(&c.id)).collect();
        let ids: BTreeSet<&str> = listed.iter().map(|c| c.id.as_str()).collect();
        for (id, bell) in &self.bells {
            if !ids.contains(id.as_str()) {
                bell.removed();
            }
        }
        self.begin(&ids).await?;
        for container in &listed {
            match self.bells.get(&container.id) {
                Some(bell) if bell.is_idle() && container.state == "running" => bell.started(),
                Some(_) => {}
                None => self.follow(&container.id),
            }
        }
        let (followed, beyond) = (
            self.bells.len(),
            listed.len().saturating_sub(CONTAINERS_MAX),
        );
        if beyond > 0 {
            let why = format!("more than {CONTAINERS_MAX} containers: {beyond} are not followed");
            self.source().fail(&why);
        } else {
            self.source().work(&format!("{followed} containers"));
        }
        Ok(())
    }

    /// Settles where the log of each container begins that we do not know, and forgets those that are
    /// gone: in one transaction, before any line is read.
    async fn begin(&mut self, ids: &BTreeSet<&str>) -> Result<(), Ended> {
        let outlet = self.plan.outlet.clone();
        let now = outlet.now();
        let mut positions = Vec::new();
        self.positions.retain(|id, _| {
            let stays = ids.contains(id.as_str());
            if !stays {
                positions.push((Position::key(id), None));
            }
            stays
        });
        if !self.met {
            let from = now.0.saturating_sub(self.plan.wanted.backlog_ms).max(0);
            let position = Position::from(Stamp::of(vigie_parsers::Timestamp(from)));
            for id in ids {
                if !self.positions.contains_key(*id) {
                    positions.push((Position::key(id), Some(position.encode())));
                    self.positions.insert((*id).to_owned(), position.clone());
                }
            }
            self.met = true;
            positions.push((MET_KEY.to_owned(), Some(b"1".to_vec())));
        }
        if positions.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            positions,
            ..Batch::default()
        };
        outlet.send(Patience::Waits, batch).await
    }

    fn follow(&mut self, id: &str) {
        if self.bells.len() >= CONTAINERS_MAX {
            return;
        }
        let bell = Arc::new(Bell::default());
        let follower = Follower {
            plan: Arc::clone(&self.plan),
            id: id.to_owned(),
            bell: Arc::clone(&bell),
            position: self.positions.remove(id).unwrap_or_default(),
            intake: None,
            trail: Trail::default(),
        };
        self.bells.insert(id.to_owned(), bell);
        self.followers.spawn(follower.run());
    }

    fn hear(&mut self, told: Told) -> Result<(), Trouble> {
        let id = &told.actor.id;
        if !is_id(id) {
            return Err(Refusal::Other("an event without an id".to_owned()).into());
        }
        match (told.action.as_str(), self.bells.get(id)) {
            ("start", Some(bell)) => bell.started(),
            ("destroy", Some(bell)) => bell.removed(),
            ("rename", Some(bell)) => bell.rename(),
            ("start", None) => {
                let id = id.clone();
                self.follow(&id);
            }
            _ => {}
        }
        Ok(())
    }

    /// A follower has ended: its container is gone.
    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.bells.remove(&id);
            }
            Err(e) => {
                self.source().set(SourceState::Failed, &e.to_string());
            }
        }
    }
}

/// Why a connection to the engine ended.
enum Trouble {
    Refusal(Refusal),
    Ended,
}

impl From<Refusal> for Trouble {
    fn from(why: Refusal) -> Self {
        Self::Refusal(why)
    }
}

impl From<Ended> for Trouble {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// The engine's events: JSON, an object a line.
struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: Vec::new(),
        }
    }

    /// The next event. May be dropped while it waits.
    async fn next(&mut self) -> Result<Told, Refusal> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|e| Refusal::Other(e.to_string()));
            }
            if self.buffer.len() > EVENT_LEN_MAX {
                return Err(Refusal::Other("an event without an end".to_owned()));
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(e)) => return Err(Refusal::Other(format!("the engine is gone: {e}"))),
                None => return Err(Refusal::Other("the engine has ended".to_owned())),
            };
            self.buffer
                .extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
        }
    }
}
