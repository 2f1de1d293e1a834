//! The programs that the tests talk to, as Debian packages them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

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
        program: "logger",
        package: "bsdutils",
    },
    Peer {
        program: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
    },
    Peer {
        program: "rrdtool",
        package: "rrdtool",
    },
];

/// Installs what is missing, when this is Debian and we may.
pub(crate) fn run(_args: &[String]) -> Result<bool> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(true);
    }
    let may = rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists();
    let packages: Vec<&str> = missing.iter().map(|p| p.package).collect();
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
    apt(&["update"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&packages);
    apt(&args)?;
    Ok(true)
}

fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|p| find(p.program).is_none()).collect()
}

/// Where a program is, the places for daemons included.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"].map(Into::into))
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

fn apt(args: &[&str]) -> Result<()> {
    println!("apt-get {}", args.join(" "));
    let status = Command::new("apt-get")
        .arg("-qq")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("apt-get {} failed: {status}", args.join(" "));
    }
    Ok(())
}
