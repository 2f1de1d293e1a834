//! CPU time of a chart for the command line and for mail: 600 × 200, two lines of 800 points.
//!
//! `cargo bench -p vigie-dashboard --bench chart`

use jiff::tz::TimeZone;
use vigie_dashboard::chart::{Draft, Grid, Kind, Size, Theme, Unit, graph_png, graph_svg};
use vigie_parsers::Timestamp;

const POINTS: usize = 800;
const MINUTE_MS: i64 = 60_000;
const RUNS: u32 = 50;

/// Milliseconds of processor time that one run takes, of many.
fn cpu_ms(mut run: impl FnMut()) -> f64 {
    let now = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
    };
    // Fonts are read once.
    run();
    let before = now();
    for _ in 0..RUNS {
        run();
    }
    (now() - before) / f64::from(RUNS)
}

fn main() {
    let from = Timestamp(1_780_000_000_000);
    let to = from.plus_ms(MINUTE_MS * 800);
    let grid = Grid::with_step(from, to, MINUTE_MS);
    let wave = |phase: f64| {
        let value = |i: usize| {
            let x = i as f64;
            Some(4e6 + 2e6 * (x / 57.0 + phase).sin() + 4e5 * (x * 1.7 + phase).sin())
        };
        (0..POINTS).map(value).collect()
    };
    let draft = Draft::new("net", "eth0", Unit::BITS_PER_SECOND, from, to, grid);
    let draft = draft.line("in", Kind::Line, wave(0.0));
    let spec = draft
        .line("out", Kind::Line, wave(2.0))
        .finish(&TimeZone::UTC);
    let size = Size {
        width: 600,
        height: 200,
    };
    let svg = cpu_ms(|| drop(graph_svg(&spec, size, Theme::Light).expect("it can be drawn")));
    println!("SVG ms {svg:.3}");
    let png = cpu_ms(|| drop(graph_png(&spec, size, Theme::Light).expect("it can be drawn")));
    println!("PNG ms {png:.3}");
}
