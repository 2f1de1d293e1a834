//! nginx and Apache write access logs under load while logrotate turns them away in both ways and the
//! daemon is killed: each request is one line of the store and one count of the figures.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use vigie_testkit::program;

use crate::daemon::{Daemon, cli, eventually, free_port, numbers, stored, text};

/// How often the daemon is killed.
const KILLS: usize = 20;
/// Requests between two kills.
const STEP: usize = 150;
/// A rotation at every so many kills.
const ROTATE_EVERY: usize = 4;

/// How logrotate turns a log away.
#[derive(Clone, Copy, PartialEq)]
enum Rotation {
    /// Renames it; the server is told to open a new one. Packed one rotation later.
    Create,
    /// Copies it and empties it. Packed at once.
    CopyTruncate,
}

/// A server in the foreground, ended with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with their master when that is asked to; already gone is as good.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn serve(dir: &Path, mut command: Command, address: SocketAddr) -> Server {
    let said = File::create(dir.join("server.out")).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said);
    let server = Server {
        child: command.spawn().unwrap(),
        address,
        log: dir.join("logs/access.log"),
    };
    eventually("the server answers", || TcpStream::connect(address).ok());
    server
}

fn nginx(dir: &Path) -> Option<Server> {
    let program = program("nginx")?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let at = dir.display();
    let config = format!(
        "daemon off;\nworker_processes 2;\npid {at}/pid;\nerror_log {at}/logs/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n access_log {at}/logs/access.log;\n client_body_temp_path {at}/tmp;\n\
         proxy_temp_path {at}/tmp;\n fastcgi_temp_path {at}/tmp;\n uwsgi_temp_path {at}/tmp;\n\
         scgi_temp_path {at}/tmp;\n keepalive_requests 100000;\n\
         server {{ listen {address}; location / {{ return 200 \"seen\"; }} }}\n}}\n"
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(dir.join("nginx.conf"));
    command.arg("-p").arg(dir);
    // Its workers would be another user, who may not write here.
    if rustix::process::geteuid().is_root() {
        command.args(["-g", "user root;"]);
    }
    Some(serve(dir, command, address))
}

fn apache(dir: &Path) -> Option<Server> {
    let program = program("apache2")?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let at = dir.display();
    let modules = "/usr/lib/apache2/modules";
    std::fs::write(dir.join("index.html"), "seen").unwrap();
    let config = format!(
        "ServerRoot {at}\nServerName localhost\nListen {address}\nPidFile {at}/pid\n\
         DefaultRuntimeDir {at}\nMutex file:{at} default\n\
         LoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         LoadModule alias_module {modules}/mod_alias.so\n\
         ErrorLog {at}/logs/error.log\nMaxKeepAliveRequests 0\n\
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         CustomLog {at}/logs/access.log combined\n\
         DocumentRoot {at}\nAliasMatch \"^/\" {at}/index.html\n<Directory {at}>\nRequire all granted\n</Directory>\n"
    );
    std::fs::write(dir.join("apache.conf"), config).unwrap();
    let mut command = Command::new(program);
    command.args(["-D", "FOREGROUND", "-f"]);
    command.arg(dir.join("apache.conf"));
    Some(serve(dir, command, address))
}

/// One connection that asks for numbered paths until it is told to stop.
fn client(address: SocketAddr, next: &AtomicUsize, allowed: &AtomicUsize, stop: &AtomicBool) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !stop.load(Ordering::Relaxed) {
        // Only so far ahead of the kills.
        if next.load(Ordering::Relaxed) >= allowed.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(2));
            continue;
        }
        let seq = next.fetch_add(1, Ordering::Relaxed);
        // A graceful restart closes connections; a request that was not answered was not logged, or was
        // and is asked again under its number: then its line is there twice, so numbers are never used
        // again and a lost one is told by what the log itself has.
        if connection.is_none() {
            connection = TcpStream::connect(address).ok().map(BufReader::new);
        }
        if connection
            .as_mut()
            .is_none_or(|c| ask(c, seq).is_none_or(|goes_on| !goes_on))
        {
            connection = None;
        }
    }
}

/// Asks and reads the answer; whether the connection stays.
fn ask(connection: &mut BufReader<TcpStream>, seq: usize) -> Option<bool> {
    let request =
        format!("GET /page/{seq} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: numbers/1\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    let (mut line, mut len, mut close) = (String::new(), 0, false);
    loop {
        line.clear();
        if connection.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.trim().to_ascii_lowercase();
        if let Some(n) = lower.strip_prefix("content-length: ") {
            len = n.parse().ok()?;
        }
        close |= lower == "connection: close";
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; len];
    connection.read_exact(&mut body).ok()?;
    Some(!close)
}

fn config(log: &Path) -> String {
    format!(
        "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [[files]]\npaths = [\"{}\"]\nvhost = \"numbers\"\n",
        log.display()
    )
}

/// Runs logrotate once, whatever the state says.
fn rotate(logrotate: &Path, dir: &Path, server: &Server, rotation: Rotation) {
    let signal = format!("kill -USR1 {}", server.child.id());
    let how = match rotation {
        Rotation::Create => {
            format!("create 0644\ndelaycompress\npostrotate\n{signal}\nendscript\n")
        }
        Rotation::CopyTruncate => "copytruncate\n".to_owned(),
    };
    let config = format!(
        "{} {{\nsu {user} {user}\nrotate 100\nmissingok\ncompress\n{how}}}\n",
        server.log.display(),
        user = user()
    );
    let path = dir.join("logrotate.conf");
    std::fs::write(&path, config).unwrap();
    let status = Command::new(logrotate)
        .args(["--force", "--state"])
        .arg(dir.join("logrotate.state"))
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn user() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    text(&out).trim().to_owned()
}

/// Behind it stands the number of a request.
const MARK: &str = "/page/";

/// The numbers of all stored requests, sorted.
fn sequence(dir: &Path) -> Vec<usize> {
    numbers(&stored(dir, ""), MARK)
}

/// What the pieces of the log hold, packed or not.
fn written(log: &Path) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(log.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("access.log") {
            let args = ["logs", "--file", path.to_str().unwrap(), "--format", "raw"];
            let out = crate::daemon::vigie()
                .args(args)
                .args(["-n", "10000000"])
                .output()
                .unwrap();
            all.extend(numbers::<usize>(
                &text(&out).lines().collect::<Vec<_>>(),
                MARK,
            ));
        }
    }
    all
}

fn each_request_once(start: fn(&Path) -> Option<Server>, rotation: Rotation) {
    let Some(logrotate) = program("logrotate") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for folder in ["logs", "tmp"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let Some(server) = start(dir.path()) else {
        return;
    };
    let config = config(&server.log);
    let (next, allowed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| client(server.address, &next, &allowed, &stop));
        }
        let reaches = |n: usize| {
            eventually("requests are made", || {
                (next.load(Ordering::Relaxed) >= n).then_some(())
            });
        };
        // It has to have met the log before that is turned away.
        let first = Daemon::start(dir.path(), &config);
        allowed.store(STEP, Ordering::Relaxed);
        eventually("the first requests are stored", || {
            (sequence(dir.path()).len() >= STEP / 2).then_some(())
        });
        first.kill();
        for kill in 0..KILLS {
            let from = allowed.fetch_add(STEP, Ordering::Relaxed);
            let away = kill % 3 == 2;
            let daemon = (!away).then(|| Daemon::start(dir.path(), &config));
            // Rotations while it runs and while it does not.
            if kill % ROTATE_EVERY == 1 || away && kill % 2 == 0 {
                reaches(from + STEP / 3);
                rotate(&logrotate, dir.path(), &server, rotation);
            }
            reaches(from + STEP * (kill % 4) / 4);
            // Another moment of its life each time; none is special.
            std::thread::park_timeout(Duration::from_millis(37 * kill as u64 % 600));
            if let Some(daemon) = daemon {
                daemon.kill();
            }
        }
        let daemon = Daemon::start(dir.path(), &config);
        reaches(allowed.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        let mut before = 0;
        let found = eventually("all lines are stored", || {
            let found = sequence(dir.path());
            // The log itself may lack what a copy missed; nothing that is in it may lack in the store.
            let whole = found.len() == std::mem::replace(&mut before, found.len());
            let mut lacking = written(&server.log);
            lacking.retain(|n| found.binary_search(n).is_err());
            if !lacking.is_empty() {
                println!("{} lines are not stored: {lacking:?}", lacking.len());
            }
            (whole && lacking.is_empty()).then_some(found)
        });
        assert!(daemon.terminate().success());
        found
    });
    let distinct: BTreeSet<usize> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "no line twice");
    let asked = next.load(Ordering::Relaxed);
    // A rename loses nothing; what was written between copy and truncation only we may have.
    if rotation == Rotation::Create {
        let lost: Vec<_> = (0..asked).filter(|n| !distinct.contains(n)).collect();
        // Connections that a graceful restart cut have no line anywhere.
        let log = written(&server.log);
        assert!(lost.iter().all(|n| !log.contains(n)), "{lost:?}");
        assert!(lost.len() < 40, "{} of {asked} have no line", lost.len());
    }
    assert!(distinct.len() > asked / 2, "{} of {asked}", distinct.len());
    let series = "http_requests_total{vhost=\"numbers\"}[1h]";
    // Counts begin with a zero, so this is exact, as increase() is not.
    let query = format!("sum(max_over_time({series}) - min_over_time({series}))");
    let out = text(&cli(dir.path(), &["query", &query, "--format", "csv"]));
    let value = out.lines().nth(1).and_then(|l| l.rsplit(',').next());
    assert_eq!(value, Some(found.len().to_string().as_str()), "{out}");
}

#[test]
fn nginx_renamed_by_logrotate() {
    each_request_once(nginx, Rotation::Create);
}

#[test]
fn nginx_copied_by_logrotate() {
    each_request_once(nginx, Rotation::CopyTruncate);
}

#[test]
fn apache_renamed_by_logrotate() {
    each_request_once(apache, Rotation::Create);
}

#[test]
fn apache_copied_by_logrotate() {
    each_request_once(apache, Rotation::CopyTruncate);
}
