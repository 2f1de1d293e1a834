//! Conformance data that lies beside a checkout and not in it.

use std::path::PathBuf;

/// A file of the conformance data, or `None` (and a line that says so) where it is absent, as in a
/// user's clone. `VIGIE_SHARED` names the folder.
#[must_use]
pub fn shared(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("VIGIE_SHARED").map(|dir| PathBuf::from(dir).join(name));
    match found {
        Some(path) if path.exists() => Some(path),
        _ => {
            #[expect(clippy::print_stdout, reason = "a skipped test must say so")]
            {
                println!("skipped: {name} is not here (VIGIE_SHARED names its folder)");
            }
            None
        }
    }
}
