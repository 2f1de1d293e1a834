//! Programs of others that tests talk to.

use std::path::PathBuf;

/// A program, unless it is absent; then the test says so and is skipped, except in CI, where it fails.
/// Daemons are found too, where distributions put them.
///
/// # Panics
/// Under `CI=true` when the program is absent.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"];
    let found = std::env::split_paths(&path)
        .chain(daemons.map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|p| p.is_file());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI needs {name}"
        );
        #[expect(clippy::print_stdout, reason = "a skipped test must say so")]
        {
            println!("skipped: {name} is not installed (cargo xtask setup)");
        }
    }
    found
}
