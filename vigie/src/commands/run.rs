//! `vigie run`: the daemon. Everything is read, checked and bound before the first event is taken.

use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::{Arg, ArgMatches, Command};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vigie_analyzer::{Rules, Watch};
use vigie_collector::{Collector, Inherited, Setup, Sockets};
use vigie_dashboard::{App, Pool};
use vigie_store::{Clock, Handle, Reader, Writer};

use super::{Entry, Outcome};
use crate::config::Config;
use crate::context::Context;
use crate::reload::Reload;
use crate::times;

pub(super) const ENTRY: Entry = Entry {
    name: "run",
    about: "Runs the daemon: collects, watches, serves the pages.",
    flags: listen_flag,
    run,
};

/// How long the parts may take to hand over what they have before they are left behind.
const GRACE: Duration = Duration::from_secs(10);
/// Threads for sockets and timers. Parsing is what they do most; the writer has its own thread.
const WORKERS: usize = 2;
/// Threads for queries of the pages: as many queries run at once.
const QUERY_THREADS_MAX: usize = 4;

/// `--listen`, shared with `vigie demo`.
pub(super) fn listen_flag(command: Command) -> Command {
    command.arg(
        Arg::new("listen")
            .long("listen")
            .value_name("ADDR")
            .help("Serve pages and API here [default: http.listen, 127.0.0.1:8484]"),
    )
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    allow_descriptors();
    let rules = load_rules(&cx.config).map_err(|findings| anyhow!(findings.join("\n")))?;
    let listen = listen(cx, matches)?;
    match &cx.config_path {
        Some(path) => tracing::info!("configuration {}", path.display()),
        None => tracing::info!("no configuration: watching this machine"),
    }
    let mut inherited = Inherited::from_env();
    let sockets = Sockets::bind(&cx.config.syslog, &mut inherited)?;
    let pages = bind(listen, &mut inherited)?;
    for unused in inherited.unused() {
        tracing::warn!(
            "the socket {unused} was passed, but nothing in the configuration listens there"
        );
    }
    let writer = Writer::open(&cx.data, &cx.config.store_options(), cx.now)?;
    let daemon = Daemon {
        config: cx.config.clone(),
        rules,
        pages,
        sockets,
        writer,
        data: cx.data.clone(),
        url_on_stdout: false,
        live: None,
    };
    daemon.serve(cx)?;
    Ok(Outcome::Fine)
}

/// Followed files and connections may be more than the 1024 descriptors that a process has unless it asks for
/// those that it is allowed.
fn allow_descriptors() {
    let mut limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        limits.current = limits.maximum;
        if let Err(e) = setrlimit(Resource::Nofile, limits) {
            tracing::warn!("the limit of open files stays low: {e}");
        }
    }
}

/// Where to serve: the flag, else the configuration.
pub(super) fn listen(cx: &Context, matches: &ArgMatches) -> Result<SocketAddr> {
    let text = matches
        .get_one::<String>("listen")
        .unwrap_or(&cx.config.http.listen);
    text.parse()
        .with_context(|| format!("--listen {text}: use ADDRESS:PORT, as 127.0.0.1:8484"))
}

/// The socket of the pages: the one that was passed for this address, or a new one.
pub(super) fn bind(listen: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener> {
    let socket = match inherited.tcp(listen) {
        Some(socket) => socket,
        None => TcpListener::bind(listen).with_context(|| {
            format!("http cannot listen on {listen}; --listen names another address")
        })?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The built-in rules and those of the configured files; everything that is wrong with them.
pub(super) fn load_rules(config: &Config) -> Result<Rules, Vec<String>> {
    let mut rules = if config.rules.defaults {
        Rules::builtin()
    } else {
        Rules::default()
    };
    let mut findings = Vec::new();
    for path in &config.rules.files {
        let name = path.display().to_string();
        match std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}")) {
            Ok(text) => match rules.add(&name, &text) {
                Ok(odd) => odd.iter().for_each(|problem| tracing::warn!("{problem}")),
                Err(problems) => findings.extend(problems.iter().map(ToString::to_string)),
            },
            Err(e) => findings.push(e),
        }
    }
    if findings.is_empty() {
        Ok(rules)
    } else {
        Err(findings)
    }
}

/// Feeds a store besides the inputs: the demonstration's life.
pub(super) type Live = Box<dyn FnOnce(Handle, Clock, CancellationToken) + Send>;

/// Everything a daemon needs, bound and opened.
pub(super) struct Daemon {
    pub(super) config: Config,
    pub(super) rules: Rules,
    /// Where the pages are served.
    pub(super) pages: TcpListener,
    pub(super) sockets: Sockets,
    pub(super) writer: Writer,
    /// The store's folder, for readers.
    pub(super) data: PathBuf,
    /// Also say on standard output where the pages are.
    pub(super) url_on_stdout: bool,
    pub(super) live: Option<Live>,
}

impl Daemon {
    /// Runs until a signal asks it to end.
    pub(super) fn serve(self, cx: &Context) -> Result<()> {
        share_memory();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(QUERY_THREADS_MAX)
            .thread_name("io")
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        runtime.block_on(self.watch(cx))
    }

    async fn watch(self, cx: &Context) -> Result<()> {
        let mut signals = Signals::take()?;
        let listener = tokio::net::TcpListener::from_std(self.pages)?;
        let clock: Clock = Arc::new(times::now);
        let shutdown = CancellationToken::new();
        let serving = CancellationToken::new();
        let address = listener.local_addr()?;
        announce(&self.sockets, address);
        if self.url_on_stdout {
            println!("http://{address}/");
        }

        let positions = self.writer.positions("")?;
        let (handle, writer) = vigie_store::spawn(self.writer, Arc::clone(&clock));
        let reader = Reader::open(&self.data)?;
        let forwards = !self.config.relay.is_empty();
        let collector = vigie_collector::start(Setup {
            handle: handle.clone(),
            reader: forwards.then(|| reader.another()).transpose()?,
            config: self.config.inputs(),
            sockets: self.sockets,
            positions,
            clock: Arc::clone(&clock),
            shutdown: shutdown.clone(),
        });
        let host = self
            .config
            .host
            .name
            .clone()
            .unwrap_or_else(vigie_collector::host_name);
        let mut reload = Reload::new(cx, self.config.clone(), handle.registry().clone());
        let rules = Arc::new(self.rules.clone());
        let watch = Watch::new(self.rules, handle.clone(), reader.another()?, &host)?;
        let (stop_watch, watch) = spawn_watch(watch, Arc::clone(&clock))?;
        let live = self.live.map(|live| {
            let (handle, clock, stop) = (handle.clone(), Arc::clone(&clock), shutdown.clone());
            std::thread::spawn(move || live(handle, clock, stop))
        });
        let pages = vigie_dashboard::Config {
            host,
            names: self.config.http.names.clone(),
            zone: cx.tz.clone(),
            rules,
        };
        let app = App::new(Pool::of_reader(reader), Some(handle.clone()), clock, pages);
        let server = tokio::spawn(vigie_dashboard::serve(listener, app, serving.clone()));

        // Not under systemd, or an old one: nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!("ready");
        signals.reload_until_end(&mut reload).await;
        signals.exit_on_end();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("stopping: inputs hand over, then the store commits");
        shutdown.cancel();
        stop_inputs(collector).await;
        drop(stop_watch);
        let ended = tokio::task::spawn_blocking(move || {
            for thread in live.into_iter().chain([watch]) {
                // Its end is all that is asked of it.
                let _ = thread.join();
            }
        });
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::error!("the rules did not stop in time");
        }
        handle.close();
        let committed = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(GRACE, committed).await.is_err() {
            tracing::error!(
                "the store did not commit in time; what it had not acknowledged is read again"
            );
        }
        serving.cancel();
        if tokio::time::timeout(GRACE, server).await.is_err() {
            tracing::warn!("some browsers kept their connections");
        }
        Ok(())
    }
}

/// Puts the rules on their thread; they stop when the sender is dropped.
fn spawn_watch(watch: Watch, clock: Clock) -> Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("rules".to_owned())
        .spawn(move || watch.run(&clock, &stopped))?;
    Ok((stop, thread))
}

/// Says where everything is, in words that people and tests read.
fn announce(sockets: &Sockets, pages: SocketAddr) {
    for (protocol, at) in sockets.syslog_listeners() {
        tracing::info!("syslog {} {at}", protocol.name());
    }
    tracing::info!("pages http://{pages}/");
}

async fn stop_inputs(collector: Collector) {
    if let Err(left) = collector.stopped(GRACE).await {
        tracing::error!("did not stop in time: {}", left.join(", "));
    }
}

/// The signals that the daemon heeds, from before it says that it is ready.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn take() -> Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Reads the configuration again at each SIGHUP, until SIGTERM or SIGINT.
    async fn reload_until_end(&mut self, reload: &mut Reload) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {}
            }
            // A terminal that is gone takes the program with it, as ever.
            if std::io::stderr().is_terminal() {
                return;
            }
            reload.again();
        }
    }

    /// Whoever asks twice does not want to wait: the store is crash-safe.
    fn exit_on_end(mut self) {
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    }
}

/// Lets all threads allocate from one arena. Batches are filled by one thread and freed by another: with an
/// arena for each, every one of them keeps what its largest moment needed (58 MiB resident instead of 48 under
/// a flood over TCP). Small allocations have a cache in each thread all the same.
fn share_memory() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "the allocator has no safe interface")]
        // SAFETY: called before any other thread exists; an unknown parameter would be refused.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}
