//! What fuzzers begin with, and inputs near it, through every target: on any compiler, in each test run.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::path::{Path, PathBuf};

/// Inputs made of the seeds of each target.
const NEAR: usize = 600;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the targets, as the manifest has them.
fn targets() -> Vec<String> {
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let sections = manifest.split("[[bin]]").skip(1);
    let name = |section: &str| section.split('"').nth(1).map(str::to_owned);
    sections.filter_map(name).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Files as they are, but lists (`.txt`) and logs a line each.
fn read(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let ending = path.extension().and_then(|e| e.to_str());
    let sample = path.starts_with(folder().join("../samples"));
    if ending == Some("txt") || sample && ending == Some("log") {
        let lines = bytes.split_inclusive(|&b| b == b'\n');
        return lines.map(|l| l.trim_ascii_end().to_vec()).collect();
    }
    vec![bytes]
}

/// Targets for which all samples are seeds, as they lie in a file.
const ANY_LOG: [&str; 3] = ["detect", "framing", "joining"];

/// Its own seeds, and the samples of the format of its name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    if ANY_LOG.contains(&target) {
        let formats = files(&folder().join("../samples"));
        let logs = formats.iter().flat_map(|format| files(format));
        return logs.map(|path| std::fs::read(path).unwrap()).collect();
    }
    let mut paths = files(&folder().join("seeds").join(target));
    let samples = files(&folder().join("../samples").join(target));
    let logs = samples
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e != "golden"));
    paths.extend(logs);
    paths.iter().flat_map(|path| read(path)).collect()
}

/// Numbers that look like none; the same in each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// An input near a seed: cut, flipped, doubled, or with a piece of another.
fn near(seed: &[u8], other: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=noise.below(4) {
        let at = noise.below(data.len() + 1);
        match noise.below(6) {
            0 => data.truncate(at),
            1 | 2 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << noise.below(8);
                }
            }
            3 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = [0, 0x7f, 0x80, 0xff, b'0', b'9'][noise.below(6)];
                }
            }
            4 => data.extend_from_within(at..),
            _ => {
                let from = noise.below(other.len() + 1);
                data.splice(at..at, other[from..].iter().copied());
            }
        }
        data.truncate(64 << 10);
    }
    data
}

#[test]
fn every_target_is_a_line_and_has_seeds() {
    let names = targets();
    assert!(names.len() > 40, "{names:?}");
    for name in &names {
        let file = std::fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs")));
        let call = format!("vigie_fuzz::run(\"{name}\", data)");
        assert!(file.unwrap().contains(&call), "{name}");
        assert!(!seeds(name).is_empty(), "{name} has no seeds");
    }
    assert_eq!(files(&folder().join("fuzz_targets")).len(), names.len());
    for path in files(&folder().join("seeds")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(names.iter().any(|n| n == name), "seeds for nobody: {name}");
    }
}

#[test]
fn seeds_and_what_is_near_them_are_taken() {
    for name in targets() {
        let seeds = seeds(&name);
        let mut noise = Noise(name.len() as u64);
        seeds.iter().for_each(|seed| vigie_fuzz::run(&name, seed));
        for _ in 0..NEAR {
            let seed = &seeds[noise.below(seeds.len())];
            let other = &seeds[noise.below(seeds.len())];
            vigie_fuzz::run(&name, &near(seed, other, &mut noise));
        }
    }
}
