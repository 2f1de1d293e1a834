//! Pictures as files: what stands in them, and what must not.

use super::super::{
    Color, Column, Draft, Envelope, Grid, Kind, Level, Limit, Line, Mark, Shape, Span, Unit,
};
use super::*;
use jiff::tz::TimeZone;
use vigie_parsers::Timestamp;

fn spec() -> ChartSpec {
    let grid = Grid {
        start: Timestamp(60_000),
        step_ms: 60_000,
        len: 60,
    };
    let wave = |k: f64| {
        let value = move |i: u32| {
            (20..30)
                .contains(&i)
                .then_some(())
                .map_or(Some(k * (1.0 + (f64::from(i) / 6.0).sin())), |()| None)
        };
        (0..60).map(value).collect::<Vec<_>>()
    };
    let mut draft = Draft::new(
        "t",
        "Traffic <eth0>",
        Unit::BITS_PER_SECOND,
        Timestamp(0),
        grid.end(),
        grid,
    )
    .line("in & out", Kind::Area, wave(1e6))
    .line("out", Kind::Line, wave(3e6));
    draft.limits.push(Limit::new(5e6, "limit", Level::Warn));
    draft.finish(&TimeZone::UTC)
}

#[test]
fn svg_has_curves_with_gaps_words_and_figures() {
    let svg = graph_svg(&spec(), Size::default(), Theme::Light).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    // One area of two runs, apart where nothing is known.
    assert_eq!(svg.matches("z\" fill").count(), 2);
    assert!(svg.contains("95th pct") && svg.contains("maximum"));
    assert!(svg.contains("Traffic &lt;eth0&gt;") && svg.contains("in &amp; out"));
    assert!(!svg.contains("<eth0>"));
    assert_eq!(
        svg,
        graph_svg(&spec(), Size::default(), Theme::Light).unwrap()
    );
}

/// Where the words of a picture begin: across and down.
fn places(svg: &str, words: &str) -> Vec<(f32, f32)> {
    let number = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let texts = svg.split("<text").skip(1);
    let those = texts.filter(|t| t.split("</text").next().unwrap().contains(words));
    those.map(|t| (number(t, "x"), number(t, "y"))).collect()
}

#[test]
fn words_at_lines_do_not_lie_on_one_another() {
    let mut draft = spec().clone_draft();
    for (at, label) in [
        (600, "first change"),
        (605, "second change"),
        (3000, "late"),
    ] {
        draft.marks.push(Mark {
            at: Timestamp(at * 1000),
            label: label.to_owned(),
            level: Level::Info,
        });
    }
    for _ in 0..3 {
        draft.limits.push(Limit::new(2e6, "same", Level::Warn));
    }
    let svg = graph_svg(&draft.finish(&TimeZone::UTC), Size::default(), Theme::Light).unwrap();
    let one = |words: &str| {
        let found = places(&svg, words);
        assert_eq!(found.len(), 1, "{words}: {svg}");
        found[0]
    };
    let (first, second, late) = (one("first change"), one("second change"), one("late"));
    assert!(second.1 >= first.1 + 10.0, "{first:?} {second:?}");
    assert_eq!(first.1, late.1);
    // One at each side; a third has no place.
    let same = places(&svg, "same");
    assert_eq!(same.len(), 2);
    assert_eq!(same[0].1, same[1].1);
    assert!((same[0].0 - same[1].0).abs() > 200.0);
}

#[test]
fn hostile_words_stay_words() {
    let hostile = "</text><script>alert(1)</script>\u{1b}[31m\u{0}\"'&]]>";
    let mut draft = spec().clone_draft();
    draft.title = hostile.to_owned();
    draft.sub = hostile.to_owned();
    draft.lines[0].label = hostile.to_owned();
    draft.limits.push(Limit::new(1e6, hostile, Level::Crit));
    draft.marks.push(Mark {
        at: Timestamp(600_000),
        label: hostile.to_owned(),
        level: Level::Info,
    });
    let spec = draft.finish(&TimeZone::UTC);
    let size = Size {
        width: 2000,
        height: 400,
    };
    let svg = graph_svg(&spec, size, Theme::Light).unwrap();
    assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"));
    assert!(!svg.contains(['\u{0}', '\u{1b}']));
    let tags = svg.matches('<').count();
    let own = [
        "<svg", "</svg", "<title", "</title", "<desc", "</desc", "<rect", "<path",
    ];
    let own = own.into_iter().chain(["<text", "</text"]);
    assert_eq!(tags, own.map(|tag| svg.matches(tag).count()).sum::<usize>());
    assert!(graph_png(&spec, size, Theme::Dark).is_ok());
}

#[test]
fn every_kind_of_picture_is_drawn() {
    let known = |i: usize| (i % 7 != 3).then_some(1.0 + (i % 5) as f64);
    let ys: Column = (0..60).map(known).collect();
    let size = Size::default();
    for (shape, log) in [
        (Shape::Plain, false),
        (Shape::Stack, false),
        (Shape::Bars, false),
        (Shape::Plain, true),
    ] {
        let mut draft = spec().clone_draft();
        draft.shape = shape;
        draft.scale.log = log;
        draft
            .lines
            .push(Line::new("dashed", Color::INK, Kind::Dash, ys.clone()));
        draft.lines[0].envelope = Some(Envelope {
            low: draft.lines[0].ys.clone(),
            high: draft.lines[1].ys.clone(),
        });
        draft.spans.push(Span {
            from: Timestamp(60_000),
            to: None,
            level: Level::Warn,
            label: String::new(),
        });
        let spec = draft.finish(&TimeZone::UTC);
        for theme in [Theme::Light, Theme::Dark] {
            let svg = graph_svg(&spec, size, theme).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("stroke-dasharray"));
            assert!(graph_png(&spec, size, theme).unwrap().len() > 2000);
        }
    }
}

#[test]
fn png_is_a_picture_of_the_size() {
    let size = Size {
        width: 400,
        height: 200,
    };
    for (theme, surface) in [
        (Theme::Light, [255, 255, 255]),
        (Theme::Dark, [0x12, 0x17, 0x1c]),
    ] {
        let bytes = graph_png(&spec(), size, theme).unwrap();
        // Bytes of every pixel, packed badly, would be more than twice as many.
        assert!(bytes.len() < 30_000, "{}", bytes.len());
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (400, 200));
        assert_eq!(pixels[..3], surface);
        assert!(pixels.chunks(3).any(|p| p != surface));
    }
}

/// Height of a picture, and of its curves, which end where the first row begins.
fn height(svg: &str) -> u32 {
    let (_, rest) = svg.split_once("height=\"").unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn the_picture_grows_with_its_legend() {
    let size = Size {
        width: 400,
        height: 160,
    };
    let with = |lines: usize| {
        let mut draft = spec().clone_draft();
        let line = draft.lines[0].clone();
        draft.lines = (0..lines)
            .map(|i| Line {
                label: format!("curve {i}."),
                ..line.clone()
            })
            .collect();
        graph_svg(&draft.finish(&TimeZone::UTC), size, Theme::Light).unwrap()
    };
    assert_eq!(height(&with(1)), 160, "what fits needs no more");
    assert_eq!(height(&with(2)), 160 + 3 * 16 + 8 - 52);
    for lines in [2, 12, 40] {
        let svg = with(lines);
        assert_eq!(svg.matches(">curve ").count(), lines);
        assert!(!svg.contains(" more<"));
        assert_eq!(height(&with(lines + 1)), height(&svg) + 16);
    }
    // The tallest picture is not passed, and what has no row is said.
    let svg = with(300);
    assert!(height(&svg) <= Size::MAX.height && svg.contains("and 180 more"));
}

#[test]
fn absurd_sizes_are_refused() {
    for (width, height) in [(0, 0), (u32::MAX, 100), (800, 5000)] {
        assert!(graph_svg(&spec(), Size { width, height }, Theme::Dark).is_err());
    }
}
