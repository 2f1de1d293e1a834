//! Gathers what the pages load: uPlot from npm, our own stylesheet and scripts, each also gzipped.
//!
//! npm runs in the output folder, from the lock file in `web/`, and only when that changes.
//! `VIGIE_UPLOT_DIR` names a folder with `uPlot.iife.min.js` and `uPlot.min.css` for those who
//! build without npm.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Our scripts, in the order in which they are joined to one.
const SCRIPTS: &[&str] = &["core", "chart", "overview", "logs", "keys"];

fn main() {
    println!("cargo::rerun-if-env-changed=VIGIE_UPLOT_DIR");
    println!("cargo::rerun-if-changed=web");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let uplot = uplot(&out);
    let read = |path: &Path| {
        fs::read_to_string(path).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display())))
    };
    let web = PathBuf::from("web");
    let style = read(&uplot.join("uPlot.min.css")) + &read(&web.join("vigie.css"));
    let mut script = String::from("\"use strict\";(()=>{\n");
    for name in SCRIPTS {
        script += &read(&web.join("js").join(format!("{name}.js")));
    }
    script += "})();\n";
    let files = [
        ("vigie", "css", "text/css", style),
        ("vigie", "js", "text/javascript", script),
        (
            "uplot",
            "js",
            "text/javascript",
            read(&uplot.join("uPlot.iife.min.js")),
        ),
    ];
    let mut table = String::from("pub(crate) const ASSETS: &[Asset] = &[\n");
    for (name, ext, kind, text) in files {
        table += &embed(&out, name, ext, kind, &text);
    }
    table += "];\n";
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written");
}

/// Writes a file and its gzipped form; its line in the table. Its address holds a hash of what is
/// in it, so browsers may keep it for ever.
fn embed(out: &Path, name: &str, ext: &str, kind: &str, text: &str) -> String {
    // FNV-1a: names must differ when contents do, nobody attacks them.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let file = format!("{name}.{ext}");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(text.as_bytes()).expect("memory takes it");
    let gz = gz.finish().expect("memory takes it");
    fs::write(out.join(&file), text).expect("OUT_DIR can be written");
    fs::write(out.join(format!("{file}.gz")), gz).expect("OUT_DIR can be written");
    format!(
        "Asset {{ name: {file:?}, path: \"/assets/{name}-{hash:016x}.{ext}\", kind: \"{kind}; charset=utf-8\", \
         plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")), \
         gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}.gz\")) }},\n"
    )
}

/// The folder with uPlot's files.
fn uplot(out: &Path) -> PathBuf {
    if let Some(dir) = env::var_os("VIGIE_UPLOT_DIR") {
        let dir = PathBuf::from(dir);
        println!("cargo::rerun-if-changed={}", dir.display());
        return dir;
    }
    let work = out.join("npm");
    fs::create_dir_all(&work).expect("OUT_DIR can be written");
    let lock =
        fs::read("web/package-lock.json").expect("web/package-lock.json is part of the source");
    let dist = work.join("node_modules/uplot/dist");
    // The stamp is written last: a build that was interrupted starts over.
    let stamp = work.join("installed.lock");
    if fs::read(&stamp).is_ok_and(|was| was == lock) && dist.is_dir() {
        return dist;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(Path::new("web").join(file), work.join(file)).expect("OUT_DIR can be written");
    }
    let run = Command::new("npm")
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .current_dir(&work)
        .output();
    match run {
        Ok(done) if done.status.success() => {}
        Ok(done) => fail(&format!(
            "npm ci did not succeed, so uPlot (the charts' script) is missing:\n{}",
            String::from_utf8_lossy(&done.stderr)
        )),
        Err(e) => fail(&format!(
            "npm cannot be started ({e}). The pages' charts need uPlot from npm: install Node.js \
             (Debian: apt install npm), or set VIGIE_UPLOT_DIR to a folder with \
             uPlot.iife.min.js and uPlot.min.css"
        )),
    }
    fs::write(stamp, lock).expect("OUT_DIR can be written");
    dist
}

fn fail(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    std::process::exit(1);
}
