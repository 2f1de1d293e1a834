//! CPU time of a chart for the command line and for mail: 600 × 200, two lines of 800 points.
//!
//! `cargo bench -p vigie-dashboard --bench chart`

use jiff::tz::TimeZone;
use vigie_dashboard::chart::{
    Color, Draft, Envelope, Grid, Kind, Level, Line, Size, Span, Theme, Unit, graph_png, graph_svg,
};
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
    let mut draft = draft.line("out", Kind::Line, wave(2.0));
    let spec = draft.clone().finish(&TimeZone::UTC);
    // What is expected of each, between what, and when it was not so.
    for phase in [0.0, 2.0] {
        let mut expected = Line::new("expected", Color::INK_3, Kind::Dash, wave(phase + 0.1));
        let border = |by: f64| wave(phase).iter().map(|v| v.map(|v| v + by)).collect();
        expected.envelope = Some(Envelope {
            low: border(-5e5),
            high: border(5e5),
        });
        draft.lines.push(expected);
    }
    draft.spans = (0..20)
        .map(|i| Span {
            from: from.plus_ms(i * 40 * MINUTE_MS),
            to: Some(from.plus_ms((i * 40 + 3) * MINUTE_MS)),
            level: Level::Warn,
            label: String::new(),
        })
        .collect();
    let bands = draft.finish(&TimeZone::UTC);
    let size = Size {
        width: 600,
        height: 200,
    };
    for (name, spec) in [("", &spec), ("bands ", &bands)] {
        let svg = cpu_ms(|| drop(graph_svg(spec, size, Theme::Light).expect("it can be drawn")));
        println!("{name}SVG ms {svg:.3}");
        let png = cpu_ms(|| drop(graph_png(spec, size, Theme::Light).expect("it can be drawn")));
        println!("{name}PNG ms {png:.3}");
    }
}
