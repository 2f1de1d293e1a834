//! Children under measurement: started, watched through /proc, ended by their number.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A running program, ended when dropped.
pub(super) struct Process {
    child: Child,
}

/// What a process and its children have used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor seconds, user and system, ended children included.
    pub(super) cpu_s: f64,
    /// Resident memory of all of them, in bytes.
    pub(super) rss: u64,
}

impl Process {
    /// Starts a program that says nothing.
    pub(super) fn start(program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(command)
    }

    /// The same with an environment of its own.
    pub(super) fn spawn(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self { child })
    }

    /// The most memory that it had at any time, in bytes.
    pub(super) fn peak_rss(&self) -> u64 {
        memory(self.child.id(), "VmHWM:").unwrap_or(0)
    }

    /// What it and its children have used so far.
    pub(super) fn usage(&self) -> Usage {
        let mut total = Usage::default();
        for pid in family(self.child.id()) {
            total.cpu_s += cpu_s(pid).unwrap_or(0.0);
            total.rss += rss(pid).unwrap_or(0);
        }
        total
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for pid in family(self.child.id()).into_iter().rev() {
            let Ok(pid) = i32::try_from(pid) else {
                continue;
            };
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // Already gone is as good.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let _ = self.child.wait();
    }
}

/// A process and all that descend from it.
fn family(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|p| p.parse::<u32>().ok()),
        );
        next += 1;
    }
    all
}

/// Fields 14 to 17 of /proc/PID/stat, in hundredths of a second.
pub(super) fn cpu_s(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields
        .get(11..15)?
        .iter()
        .filter_map(|f| f.parse::<u32>().ok())
        .sum();
    Some(f64::from(ticks) / 100.0)
}

fn rss(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with(what))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
