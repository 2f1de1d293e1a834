//! Specifications: gaps, stacks, names of curves.

use super::*;

fn spec(shape: Shape, columns: &[&[Option<f64>]]) -> ChartSpec {
    let len = columns[0].len();
    let grid = Grid {
        start: Timestamp(10_000),
        step_ms: 10_000,
        len,
    };
    let mut draft = Draft::new("t", "T", Unit::NONE, Timestamp(0), grid.end(), grid);
    draft.shape = shape;
    for (i, column) in columns.iter().enumerate() {
        draft = draft.line(&format!("l{i}"), Kind::Area, column.to_vec());
    }
    draft.finish(&TimeZone::UTC)
}

#[test]
fn stacks_add_and_gaps_stay() {
    let s = spec(
        Shape::Stack,
        &[
            &[Some(1.0), None, Some(1.0), Some(1.0)],
            &[Some(2.0), Some(5.0), None, Some(1.0)],
        ],
    );
    assert_eq!(s.stacked[1], [Some(3.0), Some(5.0), None, Some(2.0)]);
    assert_eq!(
        s.gaps,
        [Gap {
            from: Timestamp(10_000),
            to: Timestamp(40_000)
        }]
    );
    assert!(s.y.max >= 5.0);
}

#[test]
fn unknown_from_the_last_sample_to_the_end() {
    let known = [Some(1.0), Some(1.0), None, None, None, None, None, None];
    let s = spec(Shape::Plain, &[&known]);
    assert_eq!(
        s.gaps,
        [Gap {
            from: Timestamp(20_000),
            to: Timestamp(80_000)
        }]
    );
}

#[test]
fn the_95th_is_a_value_that_occurred() {
    let ys: Column = (1..=100).map(|v| Some(f64::from(v))).collect();
    let s = Stats::of(&ys).unwrap();
    assert_eq!(
        (s.p95, s.min, s.max, s.avg, s.last),
        (95.0, 1.0, 100.0, 50.5, 100.0)
    );
    assert_eq!(Stats::of(&[Some(7.0)]).unwrap().p95, 7.0);
    assert!(Stats::of(&[None]).is_none());
}

#[test]
fn series_are_called_by_what_differs() {
    let all = [
        Labels::metric("up", &[("job", "a"), ("instance", "x")]),
        Labels::metric("up", &[("job", "a"), ("instance", "y")]),
    ];
    assert_eq!(names(all.iter()), ["x", "y"]);
    assert_eq!(names(all[..1].iter()), ["up"]);
    assert_eq!(names([Labels::default()].iter()), ["{}"]);
}
