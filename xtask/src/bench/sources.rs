//! What sources cost: syslog beside rsyslog and syslog-ng, a followed file, systemd's journal beside
//! journalctl.

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

mod journal;
mod receive;
mod relay;
mod tail;

/// All of them, or the one that `--only` names: `syslog`, `tcp` (the part of it), `relay`, `tail` or `journal`.
pub(super) fn run() -> Result<()> {
    let only: Option<String> = super::option("--only")?;
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    if wanted("syslog") || only.as_deref() == Some("tcp") {
        receive::run(only.as_deref() == Some("tcp"))?;
    }
    if wanted("relay") {
        relay::run()?;
    }
    if wanted("tail") {
        tail::run()?;
    }
    if wanted("journal") {
        journal::run()?;
    }
    Ok(())
}

/// Milliseconds of processor time of this thread.
fn cpu_ms() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a benchmark")]
    let ms = t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6;
    ms
}
