//! The files that are meant: paths, folders with everything below them, patterns.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use globset::GlobBuilder;

/// Folders within one another at most: what is deeper goes round in a circle.
const DEPTH_MAX: usize = 64;

/// A file, and the folder that was named if it was found in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) root: Option<PathBuf>,
}

/// The files that a path means, in the order of their names. In folders only those with one of the
/// endings.
pub(super) fn find(path: &Path, endings: &[&str]) -> Result<Vec<Found>> {
    let fits = |p: &Path| {
        let ending = p.extension().and_then(|e| e.to_str());
        ending.is_some_and(|e| endings.iter().any(|known| known.eq_ignore_ascii_case(e)))
    };
    let mut found = Vec::new();
    if path.is_dir() {
        walk(path, path, 0, &fits, &mut found)?;
        if found.is_empty() {
            bail!("no file here that ends in .{}", endings.join(" or ."));
        }
    } else if let Some(base) = base_of_pattern(path) {
        let text = path.to_str().context("a pattern must be text")?;
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .build()?
            .compile_matcher();
        walk(&base, &base, 0, &|p| glob.is_match(p), &mut found)?;
        if found.is_empty() {
            bail!("no file is of this form");
        }
    } else {
        found.push(Found {
            path: path.to_owned(),
            root: None,
        });
    }
    found.sort();
    Ok(found)
}

/// For a path with wildcards that is no file itself: the folder above the first of them.
fn base_of_pattern(path: &Path) -> Option<PathBuf> {
    let wild = |c: &Component<'_>| {
        c.as_os_str()
            .to_string_lossy()
            .contains(['*', '?', '[', '{'])
    };
    if path.exists() || !path.components().any(|c| wild(&c)) {
        return None;
    }
    Some(path.components().take_while(|c| !wild(c)).collect())
}

fn walk(
    root: &Path,
    dir: &Path,
    depth: usize,
    fits: &dyn Fn(&Path) -> bool,
    found: &mut Vec<Found>,
) -> Result<()> {
    if depth == DEPTH_MAX {
        return Ok(());
    }
    let here = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    for entry in std::fs::read_dir(here).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        // Links to folders are not followed: they may lead round.
        if entry.file_type()?.is_dir() {
            walk(root, &path, depth + 1, fits, found)?;
        } else if fits(&path) && path.is_file() {
            found.push(Found {
                path,
                root: Some(root.to_owned()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_patterns_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        for name in ["a/1.rrd", "a/b/2.RRD", "a/3.txt", "x.rrd"] {
            std::fs::write(at(name), "").unwrap();
        }
        let names = |path: PathBuf| -> Vec<String> {
            let found = find(&path, &["rrd", "xml"]).unwrap();
            let strip = |f: &Found| {
                f.path
                    .strip_prefix(dir.path())
                    .unwrap()
                    .display()
                    .to_string()
            };
            found.iter().map(strip).collect()
        };
        assert_eq!(
            names(dir.path().to_owned()),
            ["a/1.rrd", "a/b/2.RRD", "x.rrd"]
        );
        assert_eq!(names(at("*/*.rrd")), ["a/1.rrd"]);
        assert_eq!(names(at("a/3.txt")), ["a/3.txt"]);
        assert_eq!(
            names(at("missing.rrd")),
            ["missing.rrd"],
            "said when it is opened"
        );
        assert!(find(&at("*.nothing"), &["rrd"]).is_err());
        assert!(
            find(&at("a/b"), &["xml"])
                .unwrap_err()
                .to_string()
                .contains(".xml")
        );
    }
}
