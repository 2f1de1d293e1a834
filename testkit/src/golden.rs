//! Goldens: what came out must be what a file says; `UPDATE_GOLDEN=1` rewrites the file.

use std::path::Path;

/// Compares a text with a golden file.
///
/// # Panics
/// When they differ: the message shows the first line that does, and how to rewrite the file.
pub fn golden(path: &Path, got: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, got).expect("a golden can be written");
        return;
    }
    let want = std::fs::read_to_string(path).unwrap_or_default();
    if want == got {
        return;
    }
    let mut pairs = want.lines().zip(got.lines()).enumerate();
    let first = pairs.find(|(_, (w, g))| w != g);
    let (line, want_line, got_line) = first.map_or_else(
        || {
            let n = want.lines().count().min(got.lines().count());
            (
                n,
                want.lines().nth(n).unwrap_or("(end)"),
                got.lines().nth(n).unwrap_or("(end)"),
            )
        },
        |(n, (w, g))| (n, w, g),
    );
    panic!(
        "{}:{}: not as recorded (UPDATE_GOLDEN=1 rewrites it)\n  want {want_line}\n   got {got_line}",
        path.display(),
        line + 1
    );
}
