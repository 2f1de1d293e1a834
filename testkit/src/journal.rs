//! Journals as systemd itself writes them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Appends an entry in systemd's export format: names and values. A value that is not plain text is
/// written with its length.
pub fn export(out: &mut Vec<u8>, fields: &[(&str, &[u8])]) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        if value.iter().any(|b| *b < b' ' && *b != b'\t') || std::str::from_utf8(value).is_err() {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Has systemd-journal-remote (`program`) write entries in the export format to a journal, or append
/// them to it.
///
/// # Panics
/// When it fails.
pub fn write_journal(
    program: &Path,
    to: &Path,
    env: &[(&str, &str)],
    compress: bool,
    entries: &[u8],
) {
    let compress = if compress { "yes" } else { "no" };
    let mut child = Command::new(program)
        .arg(format!("--output={}", to.display()))
        .arg(format!("--compress={compress}"))
        .arg("-")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was found");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(entries).expect("it reads all");
    drop(stdin);
    let status = child.wait().expect("it was started");
    assert!(status.success(), "systemd-journal-remote: {status}");
}
