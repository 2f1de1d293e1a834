//! A real Docker engine with a Compose stack: each line once, while containers and the engine are restarted
//! and the daemon is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vigie_testkit::program;

use crate::daemon::{Daemon, PATIENCE, eventually, stored, text};

/// How often the daemon is killed.
const KILLS: u64 = 20;
const IMAGE: &str = "vigie-test:1";

/// Writes numbered lines on both streams, one in a hundred of 40,000 bytes, and begins anew with another
/// number when it is started again.
const SCRIPT: &str = r#"trap 'exit 0' TERM
life=$(cat /life 2>/dev/null || echo 0); echo $((life + 1)) > /life
long=$(head -c 40000 /dev/zero | tr '\0' x)
i=0; while :; do
  echo "life=$life seq=$i out"; echo "life=$life seq=$i err" >&2
  [ $((i % 100)) = 7 ] && echo "life=$life seq=$i $long"
  i=$((i + 1)); [ $((i % 20)) = 0 ] && { sleep 0.1 & wait; }
done"#;

/// An engine of the test's own.
struct Engine {
    dockerd: PathBuf,
    docker: PathBuf,
    child: Child,
    /// Its sockets: their paths must be short.
    run: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl Engine {
    /// `None` (and a line that says so) where it cannot run.
    fn start() -> Option<Self> {
        let (dockerd, docker) = (program("dockerd")?, program("docker")?);
        let busybox = program("busybox")?;
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root may start a Docker engine");
            return None;
        }
        let short = || {
            tempfile::Builder::new()
                .prefix("vd")
                .tempdir_in("/tmp")
                .unwrap()
        };
        let (run, data) = (short(), short());
        let child = spawn(&dockerd, run.path(), data.path());
        let mut engine = Self {
            dockerd,
            docker,
            child,
            run,
            data,
        };
        engine.wait();
        engine.import(&busybox);
        Some(engine)
    }

    fn wait(&mut self) {
        eventually("the engine answers", || {
            let ended = self.child.try_wait().unwrap();
            let log = self.run.path().join("log");
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "dockerd ended: {}", log());
            self.run(&["version"]).status.success().then_some(())
        });
    }

    fn run(&self, args: &[&str]) -> Output {
        let host = format!("unix://{}/docker.sock", self.run.path().display());
        let mut command = Command::new(&self.docker);
        command
            .args(args)
            .env("DOCKER_HOST", host)
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    fn docker(&self, args: &[&str]) {
        let out = self.run(args);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "docker {args:?}: {error}");
    }

    /// Makes an image of busybox.
    fn import(&self, busybox: &Path) {
        let root = self.data.path().join("root/bin");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::copy(busybox, root.join("busybox")).unwrap();
        for name in ["sh", "cat", "sleep", "head", "tr"] {
            std::os::unix::fs::symlink("busybox", root.join(name)).unwrap();
        }
        let tar = self.data.path().join("image.tar");
        let mut command = Command::new("tar");
        command
            .arg("-C")
            .arg(self.data.path().join("root"))
            .arg("-cf")
            .arg(&tar)
            .arg(".");
        assert!(command.status().unwrap().success());
        self.docker(&["import", tar.to_str().unwrap(), IMAGE]);
    }

    /// Starts a container with the labels that Compose gives it.
    fn compose(&self, service: &str, flags: &[&str]) {
        let name = format!("shop-{service}-1");
        let service = format!("com.docker.compose.service={service}");
        let mut args = vec![
            "run",
            "-d",
            "--network",
            "none",
            "--restart",
            "always",
            "--name",
            &name,
        ];
        args.extend([
            "--label",
            "com.docker.compose.project=shop",
            "--label",
            &service,
        ]);
        args.extend(flags);
        args.extend([IMAGE, "sh", "-c", SCRIPT]);
        self.docker(&args);
    }

    /// Ends the engine with a signal and starts it again.
    fn restart(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap();
        // What was killed has left its pid files, and its containerd died with it.
        for file in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(self.run.path().join(file));
        }
        self.child = spawn(&self.dockerd, self.run.path(), self.data.path());
        self.wait();
    }

    fn containers(&self) -> PathBuf {
        self.data.path().join("data/containers")
    }

    /// Every line of a container that has ended, as the engine reads it from all files of its log.
    fn read(&self, name: &str) -> Vec<String> {
        let out = self.run(&["logs", name]);
        let out = [out.stdout, out.stderr].concat();
        // The driver `local` forgets where a line of several pieces ends.
        let text = String::from_utf8(out).unwrap();
        let text = text.replace("xlife=", "x\nlife=");
        text.lines().map(|l| l.trim_end().to_owned()).collect()
    }

    /// Every line of every container as the engine has written it, sorted.
    fn written(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(self.containers()).unwrap() {
            let dir = entry.unwrap().path();
            let id = dir.file_name().unwrap().to_str().unwrap();
            let log = std::fs::read_to_string(dir.join(format!("{id}-json.log"))).unwrap();
            let mut open = std::collections::BTreeMap::<String, String>::new();
            for record in log.lines() {
                let record: serde_json::Value = serde_json::from_str(record).unwrap();
                let line = open
                    .entry(record["stream"].as_str().unwrap().to_owned())
                    .or_default();
                line.push_str(record["log"].as_str().unwrap());
                if line.ends_with('\n') {
                    lines.push(std::mem::take(line).trim_end().to_owned());
                }
            }
            lines.extend(open.into_values().filter(|l| !l.is_empty()));
        }
        lines.sort_unstable();
        lines
    }
}

fn spawn(dockerd: &Path, run: &Path, data: &Path) -> Child {
    let (run, data) = (run.to_str().unwrap(), data.to_str().unwrap());
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(format!("{run}/log"))
        .unwrap();
    Command::new(dockerd)
        .args(["--host", &format!("unix://{run}/docker.sock")])
        .args(["--data-root", &format!("{data}/data")])
        .args(["--exec-root", &format!("{run}/exec")])
        .args(["--pidfile", &format!("{run}/pid")])
        .args(["--iptables=false", "--bridge=none"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Engine {
    fn drop(&mut self) {
        let all = text(&self.run(&["ps", "-aq"]));
        for id in all.split_whitespace() {
            self.run(&["rm", "-f", id]);
        }
        // Already gone is as good. It ends its containerd too.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        // One that was killed leaves its folder mounted onto itself, and it could not be removed.
        let mut unmount = Command::new("umount");
        unmount
            .arg(self.data.path().join("data"))
            .stderr(Stdio::null());
        while unmount.status().is_ok_and(|s| s.success()) {}
    }
}

fn config(docker: &str) -> String {
    format!(
        "syslog = []\n[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [docker]\n{docker}\n"
    )
}

/// Waits until as many lines are stored as were written; compares them.
fn compare(dir: &Path, (query, written): (&str, &[String]), what: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    let lines = loop {
        let lines = stored(dir, query);
        if lines.len() >= written.len() || std::time::Instant::now() > deadline {
            break lines;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let short = |l: &String| l.get(..60).unwrap_or(l).to_owned();
    let odd = lines.iter().zip(written).find(|(a, b)| a != b);
    assert!(
        odd.is_none() && lines.len() == written.len(),
        "{what}, {query}: {} of {}, first {:?}",
        lines.len(),
        written.len(),
        odd.map(|(a, b)| (short(a), short(b)))
    );
}

#[test]
fn each_line_once_through_restarts_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut engine) = Engine::start() else {
        return;
    };
    engine.compose("web", &[]);
    engine.compose("console", &["-t"]);
    let socket = format!("socket = \"{}/docker.sock\"", engine.run.path().display());
    for kill in 0..KILLS {
        let daemon = Daemon::start(dir.path(), &config(&socket));
        match kill {
            3 => engine.compose("late", &[]),
            6 => engine.docker(&["restart", "-t", "2", "shop-web-1"]),
            10 => engine.restart(Signal::TERM),
            14 => engine.restart(Signal::KILL),
            _ => {}
        }
        // A different moment of its life each time; none is special.
        std::thread::park_timeout(Duration::from_millis(300 + 97 * (kill % 9)));
        daemon.kill();
    }
    for service in ["web", "console", "late"] {
        engine.docker(&["stop", "-t", "2", &format!("shop-{service}-1")]);
    }
    let written = engine.written();
    assert!(written.len() > 2000, "{}", written.len());
    let daemon = Daemon::start(dir.path(), &config(&socket));
    compare(dir.path(), ("project:shop", &written), "through the socket");
    let fields = text(&daemon.cli(&[
        "logs",
        "service:late stream:stderr | top container",
        "--since",
        "2020-01-01",
        "--format",
        "json",
    ]));
    assert!(fields.contains("shop-late-1"), "{fields}");
    assert!(daemon.terminate().success());

    // The other way to the same logs: nothing is new, and in a store of its own there is the same.
    let files = format!("dir = \"{}\"", engine.containers().display());
    let daemon = Daemon::start(dir.path(), &config(&files));
    eventually("the files were looked at", || {
        let status = text(&daemon.cli(&["status"]));
        status.contains("3 containers").then_some(())
    });
    compare(
        dir.path(),
        ("project:shop", &written),
        "through the files after that",
    );
    assert!(daemon.terminate().success());
    let other = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(other.path(), &config(&files));
    compare(
        other.path(),
        ("project:shop", &written),
        "through the files",
    );
    drop(daemon);
}

/// A log that rotates several times a second: what Docker 20.10 sends to who follows one is neither all of
/// it nor each record once.
#[test]
fn each_line_once_of_logs_that_rotate() {
    let dir = tempfile::tempdir().unwrap();
    let Some(engine) = Engine::start() else {
        return;
    };
    let size = ["--log-opt", "max-size=20k", "--log-opt", "max-file=900"];
    let local = [&["--log-driver", "local"], &size[..]].concat();
    engine.compose("web", &size);
    engine.compose("console", &[&["-t"], &size[..]].concat());
    engine.compose(
        "packed",
        &[&["--log-opt", "compress=true"], &size[..]].concat(),
    );
    engine.compose("local", &local);
    let services = ["web", "console", "packed", "local"];
    let socket = format!("socket = \"{}/docker.sock\"", engine.run.path().display());
    for kill in 0..KILLS / 4 {
        let daemon = Daemon::start(dir.path(), &config(&socket));
        match kill {
            1 => engine.docker(&["restart", "-t", "2", "shop-local-1"]),
            3 => engine.docker(&["restart", "-t", "2", "shop-web-1"]),
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(700 + 397 * (kill % 3)));
        daemon.kill();
    }
    // The last words, while it is looked on.
    let daemon = Daemon::start(dir.path(), &config(&socket));
    engine.docker(&["rename", "shop-web-1", "shop-web-renamed"]);
    eventually("the new name", || {
        let status = text(&daemon.cli(&["status"]));
        let renamed = status.contains("docker:shop-web-renamed");
        renamed.then_some(())
    });
    let name = |service: &str| match service {
        "web" => "shop-web-renamed".to_owned(),
        other => format!("shop-{other}-1"),
    };
    for service in services {
        engine.docker(&["stop", "-t", "2", &name(service)]);
    }
    for service in services {
        let mut written = engine.read(&name(service));
        written.sort_unstable();
        assert!(written.len() > 500, "{service}: {}", written.len());
        compare(
            dir.path(),
            (&format!("service:{service}"), &written),
            "as it rotates",
        );
    }
    assert!(daemon.terminate().success());
}
