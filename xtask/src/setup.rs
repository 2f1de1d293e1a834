//! The programs that the tests talk to, as Debian packages them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program that some tests need, and the package that has it.
struct Peer {
    program: &'static str,
    package: &'static str,
}

/// Every program that a test starts. A test whose program is absent says so and is skipped, except
/// under `CI=true`.
const PEERS: &[Peer] = &[
    Peer {
        program: "chromium",
        package: "chromium",
    },
    Peer {
        program: "chromedriver",
        package: "chromium-driver",
    },
    Peer {
        program: "journalctl",
        package: "systemd",
    },
    Peer {
        program: "systemd-journal-remote",
        package: "systemd-journal-remote",
    },
    Peer {
        program: "rrdtool",
        package: "rrdtool",
    },
    Peer {
        program: "rateup",
        package: "mrtg",
    },
    Peer {
        program: "logger",
        package: "bsdutils",
    },
    Peer {
        program: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
    },
    Peer {
        program: "nginx",
        package: "nginx-light",
    },
    Peer {
        program: "apache2",
        package: "apache2-bin",
    },
    Peer {
        program: "logrotate",
        package: "logrotate",
    },
    Peer {
        program: "rsyslogd",
        package: "rsyslog",
    },
    Peer {
        program: "haproxy",
        package: "haproxy",
    },
    Peer {
        program: "dockerd",
        package: "docker.io",
    },
    Peer {
        program: "busybox",
        package: "busybox-static",
    },
    Peer {
        program: "lmnsd_gtls.so",
        package: "rsyslog-gnutls",
    },
    Peer {
        program: "rrdtool",
        package: "rrdtool",
    },
];

/// A package that is not to be installed: it and what it needs are unpacked into a folder
/// of their own, `target/tmp/NAME`.
struct Unpacked {
    name: &'static str,
    packages: &'static [&'static str],
}

const UNPACKED: &[Unpacked] = &[
    Unpacked {
        // Debian lets only one of rsyslog and syslog-ng be installed.
        name: "syslog-ng",
        packages: &["syslog-ng-core", "libivykis0", "libnet1", "libwrap0"],
    },
    Unpacked {
        // Installed it would be started, and listen to all the world.
        name: "prometheus",
        packages: &["prometheus"],
    },
];

/// Installs what is missing, when this is Debian and we may.
pub(crate) fn run(_args: &[String]) -> Result<bool> {
    let missing = missing();
    let folders = missing_folders()?;
    if missing.is_empty() && folders.is_empty() {
        return Ok(true);
    }
    let may = rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists();
    let installed = missing.iter().map(|p| p.package);
    let unpacked = folders.iter().flat_map(|(u, _)| u.packages.iter().copied());
    let packages: Vec<&str> = installed.chain(unpacked).collect();
    if !may {
        let list = packages.join(" ");
        if std::env::var_os("CI").is_some_and(|v| v == "true") {
            bail!("CI needs these packages: {list}");
        }
        println!(
            "not installed, their checks are skipped: {list} (as root: apt-get install {list})"
        );
        return Ok(true);
    }
    apt(&["update"], Path::new("."))?;
    if !missing.is_empty() {
        let mut args = vec!["install", "-y", "--no-install-recommends"];
        args.extend(missing.iter().map(|p| p.package));
        apt(&args, Path::new("."))?;
    }
    for (unpacked, folder) in folders {
        unpack(unpacked, &folder)?;
    }
    Ok(true)
}

/// The folders that are not there yet.
fn missing_folders() -> Result<Vec<(&'static Unpacked, PathBuf)>> {
    // This program is target/debug/xtask.
    let exe = std::env::current_exe()?;
    let target = exe.ancestors().nth(2).context("no target folder")?;
    let folder = |u: &'static Unpacked| (u, target.join("tmp").join(u.name));
    let all = UNPACKED.iter().map(folder);
    Ok(all.filter(|(_, folder)| !folder.exists()).collect())
}

fn unpack(unpacked: &Unpacked, folder: &Path) -> Result<()> {
    // Under another name until it is whole.
    let part = folder.with_extension("part");
    let _ = std::fs::remove_dir_all(&part);
    std::fs::create_dir_all(&part)?;
    let mut args = vec!["download"];
    args.extend(unpacked.packages);
    apt(&args, &part)?;
    for entry in std::fs::read_dir(&part)? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            let status = Command::new("dpkg")
                .arg("-x")
                .arg(&package)
                .arg(&part)
                .status()?;
            if !status.success() {
                bail!("dpkg -x {} failed: {status}", package.display());
            }
            std::fs::remove_file(package)?;
        }
    }
    std::fs::rename(&part, folder)?;
    Ok(())
}

fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|p| find(p.program).is_none()).collect()
}

/// Where a program is, the places for daemons included.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian puts the plugins of daemons.
    let plugins = format!("/usr/lib/{}-linux-gnu/rsyslog", std::env::consts::ARCH);
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"].map(Into::into))
        .chain([plugins.into()])
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

fn apt(args: &[&str], dir: &Path) -> Result<()> {
    println!("apt-get {}", args.join(" "));
    let status = Command::new("apt-get")
        .arg("-qq")
        .args(args)
        .current_dir(dir)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("apt-get {} failed: {status}", args.join(" "));
    }
    Ok(())
}
