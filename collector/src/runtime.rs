//! The life of the inputs: start, report, stop.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vigie_store::{Batch, Clock, Handle, Reader};

use crate::budget::{Budget, Patience};
use crate::config::Config;
use crate::counts::Counters;
use crate::outlet::{Ended, Outlet};
use crate::own::Own;
use crate::relay::{self, Relays};
use crate::sockets::Sockets;
use crate::sources::{INPUTS, Start, Tasks};
use crate::status::Status;

/// How often the state of the sources reaches the store.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What the inputs need.
pub struct Setup {
    /// The store.
    pub handle: Handle,
    /// Reads the same store, if something is to be forwarded.
    pub reader: Option<Reader>,
    /// What to watch.
    pub config: Config,
    /// The listeners, from [`Sockets::bind`].
    pub sockets: Sockets,
    /// All positions of the store (`Writer::positions("")`): how far sources were read.
    pub positions: Vec<(String, Vec<u8>)>,
    /// Tells the time.
    pub clock: Clock,
    /// Ends the inputs.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup({:?})", self.config)
    }
}

/// The running inputs.
#[derive(Debug)]
pub struct Collector {
    status: Status,
    tasks: Tasks,
}

/// Starts everything that the configuration asks for. Must be called within a tokio runtime with
/// I/O and time enabled.
#[must_use]
pub fn start(setup: Setup) -> Collector {
    let Setup {
        handle,
        reader,
        config,
        mut sockets,
        mut positions,
        clock,
        shutdown,
    } = setup;
    let status = Status::default();
    let outlet = Outlet {
        counters: Counters::new(handle.registry(), &config.count),
        take: Arc::new(move |batch| handle.send(batch).map_err(|_| Ended)),
        clock,
        status: status.clone(),
        shutdown,
        budget: Budget::default(),
    };
    let host = config.host.name.clone().unwrap_or_else(host_name);
    relay::come_home(&outlet, reader.as_ref(), &mut positions);
    let own_id = match relay::concerns(&config) {
        true => relay::own_id(&outlet, &positions),
        false => String::new(),
    };
    let relays = Arc::new(Relays::new(&own_id, &positions));
    let mut tasks = Tasks::default();
    // Before anything is added to the store: they must know its end.
    relay::start(
        &config.relay,
        reader.as_ref(),
        &positions,
        (&outlet, &own_id),
        &mut tasks,
    );
    let mut start = Start {
        config: &config,
        host: &host,
        sockets: &mut sockets,
        positions: &positions,
        outlet: &outlet,
        relays: &relays,
        tasks: &mut tasks,
    };
    for input in INPUTS {
        (input.start)(&mut start);
    }
    let own = Own::new(outlet.registry().clone(), &host);
    tasks.spawn("reports", report(outlet, own));
    Collector { status, tasks }
}

impl Collector {
    /// The live account of the sources.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Waits until all inputs have handed over what they had, after the shutdown was asked for.
    /// Those that have not ended after `grace` are named.
    ///
    /// # Errors
    /// The names of the tasks that are left.
    pub async fn stopped(mut self, grace: Duration) -> Result<(), Vec<String>> {
        let all = async { while self.tasks.ended().await.is_some() {} };
        match tokio::time::timeout(grace, all).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.tasks.names()),
        }
    }
}

/// This machine's own name.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Sends the state of the sources, vigie's own figures and the zeros of quiet counters, and once
/// more at the end.
async fn report(outlet: Outlet, mut own: Own) {
    let mut interval = tokio::time::interval(REPORT_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            _ = interval.tick() => false,
            () = outlet.shutdown.cancelled() => true,
        };
        let now = outlet.now();
        let reports = outlet.status.reports(now);
        let mut samples = own.read(now, &reports);
        samples.rows.extend(outlet.counters.alive.zeros(now));
        let batch = Batch {
            samples,
            reports,
            ..Batch::default()
        };
        // When the store is behind, the next report says the same and more.
        match outlet.try_send(Patience::Urgent, batch) {
            Ok(true) => outlet.status.forget_stopped(),
            Ok(false) => {}
            Err(Ended) => return,
        }
        if last {
            return;
        }
    }
}
