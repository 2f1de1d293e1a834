//! The inputs. A new one is a file here, a `mod` line and an entry in [`INPUTS`].

use tokio::task::JoinSet;

use crate::config::Config;
use crate::outlet::Outlet;
use crate::sockets::Sockets;

pub(crate) use host::{emitter, text};
pub use journal::{JournalFile, read_journals};
pub use tail::read_once;
pub(crate) use text::number;

mod content;
mod docker;
mod host;
mod journal;
mod syslog;
mod tail;
mod watch;

/// A kind of input.
#[derive(Debug)]
pub struct Input {
    /// Its table in the configuration.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Starts what the configuration asks for.
    pub(crate) start: fn(&mut Start<'_>),
}

/// All inputs, in the order of the documentation.
pub const INPUTS: &[Input] = &[
    host::INPUT,
    syslog::INPUT,
    journal::INPUT,
    docker::INPUT,
    tail::INPUT,
];

/// What an input needs to start.
pub(crate) struct Start<'a> {
    pub(crate) config: &'a Config,
    /// The name of this machine.
    pub(crate) host: &'a str,
    pub(crate) sockets: &'a mut Sockets,
    /// How far sources were read, as committed.
    pub(crate) positions: &'a [(String, Vec<u8>)],
    pub(crate) outlet: &'a Outlet,
    /// Those who forward to us.
    pub(crate) relays: &'a std::sync::Arc<crate::relay::Relays>,
    /// Every task, by its name.
    pub(crate) tasks: &'a mut Tasks,
}

/// The running tasks and what they are called.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<()>,
    names: foldhash::HashMap<tokio::task::Id, String>,
}

impl Tasks {
    pub(crate) fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name.to_owned());
    }

    /// A thread of its own, for what may block: the runtime's threads for such work are few and busy
    /// with queries.
    pub(crate) fn spawn_thread(&mut self, name: &str, work: impl FnOnce() + Send + 'static) {
        let (done, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                work();
                // Nobody waits any more when the daemon has given up on it.
                let _ = done.send(());
            });
        match thread {
            Ok(_) => self.spawn(name, async { ended.await.unwrap_or_default() }),
            Err(e) => tracing::error!(source = name, "no thread can be started: {e}"),
        }
    }

    /// Waits until a task ends; its name. `None` when there is none left.
    pub(crate) async fn ended(&mut self) -> Option<String> {
        let ended = self.set.join_next_with_id().await?;
        let id = match ended {
            Ok((id, ())) => id,
            Err(e) => {
                let name = self.names.get(&e.id()).map_or("?", String::as_str);
                tracing::error!(source = name, "{e}");
                e.id()
            }
        };
        Some(self.names.remove(&id).unwrap_or_default())
    }

    /// The tasks that have not ended, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.values().cloned().collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = INPUTS.iter().map(|i| i.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), INPUTS.len());
        assert!(INPUTS.iter().all(|i| !i.about.is_empty()));
    }
}
