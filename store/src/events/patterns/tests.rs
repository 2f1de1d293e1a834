//! What counts of patterns occupy.

use super::super::codec::Packer;
use super::cells::Cells;

/// Two hundred patterns that all come each minute, a day long: the size that docs/store.md names.
#[test]
fn a_day_of_a_busy_stream_is_small() {
    let mut seed = 1u64;
    let mut packer = Packer::new();
    let mut bytes = 0;
    for _ in 0..24 {
        let mut hour = Cells::default();
        for pattern in 1..=200 {
            for minute in 0..60 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                hour.add(pattern, 6, minute, 1 + (seed >> 58));
            }
        }
        bytes += hour.pack(&mut packer).len();
    }
    assert!((400_000..480_000).contains(&bytes), "{bytes}");
}
