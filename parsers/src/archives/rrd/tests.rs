//! What the files of many machines hold, and what is wrong with damaged ones.

use proptest::prelude::*;

use super::binary::{Machine, align};
use super::{Rra, Rrd, Source, read, read_rrd};

/// What a machine would have written for `rrd`, the newest row of each archive at `newest`.
fn write(rrd: &Rrd, machine: Machine, newest: u64) -> Vec<u8> {
    let mut out = Writer {
        bytes: Vec::new(),
        machine,
    };
    let sources = rrd.sources.len() as u64;
    out.text("RRD", 4);
    out.text(&rrd.version, 5);
    out.pad(machine.cookie_at());
    out.f64(8.642135e130);
    let step = rrd.step_s.unsigned_abs();
    for n in [sources, rrd.archives.len() as u64, step] {
        out.word(n, machine.word);
    }
    out.pad(machine.stat_head());
    for source in &rrd.sources {
        let at = out.at();
        out.text(&source.name, 20);
        out.text(&source.kind, 20);
        out.pad(at + 120);
    }
    for rra in &rrd.archives {
        let at = out.at();
        out.text(&rra.cf, 20);
        out.pad(at + align(20, machine.word));
        out.word(rra.values.len() as u64 / sources, machine.word);
        out.word(u64::from(rra.per_row), machine.word);
        out.pad(at + machine.rra_def());
    }
    let at = out.at();
    out.word(rrd.last_update_s.unsigned_abs(), machine.time);
    out.pad(at + machine.live_head(rrd.version.parse().unwrap()));
    for _ in &rrd.sources {
        out.text("U", 112);
    }
    out.pad(out.at() + 80 * sources * rrd.archives.len() as u64);
    for rra in &rrd.archives {
        let rows = rra.values.len() as u64 / sources;
        out.word(newest % rows, machine.word);
    }
    for rra in &rrd.archives {
        let rows: Vec<&[f64]> = rra.values.chunks(rrd.sources.len()).collect();
        let n = rows.len();
        let newest = usize::try_from(newest).unwrap() % n;
        for at in 0..n {
            // The oldest row follows the newest.
            rows[(at + n - newest - 1) % n]
                .iter()
                .for_each(|v| out.f64(*v));
        }
    }
    out.bytes
}

struct Writer {
    bytes: Vec<u8>,
    machine: Machine,
}

impl Writer {
    fn at(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn pad(&mut self, to: u64) {
        self.bytes.resize(usize::try_from(to).unwrap(), 0);
    }

    fn text(&mut self, text: &str, len: u64) {
        let to = self.at() + len;
        self.bytes.extend(text.bytes());
        self.pad(to);
    }

    fn word(&mut self, value: u64, len: u64) {
        let len = usize::try_from(len).unwrap();
        if self.machine.big_endian {
            self.bytes.extend(&value.to_be_bytes()[8 - len..]);
        } else {
            self.bytes.extend(&value.to_le_bytes()[..len]);
        }
    }

    fn f64(&mut self, value: f64) {
        if self.machine.big_endian {
            self.bytes.extend(value.to_be_bytes());
        } else {
            self.bytes.extend(value.to_le_bytes());
        }
    }
}

fn source(name: &str) -> Source {
    Source {
        name: name.to_owned(),
        kind: "GAUGE".to_owned(),
    }
}

fn rra(cf: &str, per_row: u32, values: &[f64]) -> Rra {
    Rra {
        cf: cf.to_owned(),
        per_row,
        values: values.to_vec(),
    }
}

fn example() -> Rrd {
    Rrd {
        version: "0003".to_owned(),
        step_s: 300,
        last_update_s: 1_000_000_000,
        sources: vec![source("in"), source("out")],
        archives: vec![
            rra("AVERAGE", 1, &[1.0, -2.0, f64::NAN, 4.0, 5.5, 6e30]),
            rra("AVERAGE", 6, &[1.5, 2.5, 3.5, 4.5]),
            rra("MAX", 6, &[0.0, 0.0, 7.0, 8.0, 9.0, 10.0]),
            rra("HWPREDICT", 1, &[1.0, 1.0]),
        ],
        rounded: false,
    }
}

#[test]
fn the_structs_of_known_machines_have_known_sizes() {
    let sizes = |word, align, time| {
        let m = Machine {
            big_endian: false,
            word,
            align,
            time,
        };
        (m.stat_head(), m.rra_def(), m.live_head(3), m.live_head(1))
    };
    assert_eq!(sizes(8, 8, 8), (128, 120, 16, 8));
    assert_eq!(sizes(4, 4, 4), (112, 108, 8, 4));
    assert_eq!(sizes(4, 8, 4), (120, 112, 8, 4));
    assert_eq!(sizes(4, 8, 8), (120, 112, 16, 8));
    assert_eq!(sizes(4, 4, 8), (112, 108, 12, 8));
}

#[test]
fn archives_of_one_step_are_joined() {
    let file = example().into_file();
    let [input, output] = &file.series[..] else {
        panic!("two series")
    };
    assert_eq!((input.name.as_str(), output.name.as_str()), ("in", "out"));
    let [fine, coarse] = &output.archives[..] else {
        panic!("two steps")
    };
    assert_eq!(
        (fine.step_s, fine.first, &fine.average[..]),
        (300, 3_333_330, &[-2.0, 4.0, 6e30][..])
    );
    assert_eq!((fine.max.as_ref(), fine.per_slot), (None, 1));
    assert_eq!(
        (coarse.step_s, coarse.end_s(), coarse.per_slot),
        (1_800, 999_999_000, 6)
    );
    // Where there is no average the maximum stands for it.
    assert_eq!(
        (&coarse.average[..], coarse.max.as_deref()),
        (&[0.0, 2.5, 4.5][..], Some(&[0.0, 8.0, 10.0][..]))
    );
    assert!(
        file.left_out[0].starts_with("HWPREDICT of 300 s"),
        "{:?}",
        file.left_out
    );
    assert_eq!(
        file.notes,
        ["slots of 1800 s have no minima: the average stands for them"]
    );
}

#[test]
fn damage_is_named_with_its_place() {
    let machine = Machine {
        big_endian: false,
        word: 8,
        align: 8,
        time: 8,
    };
    let good = write(&example(), machine, 1);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let huge = u64::MAX.to_le_bytes();
    let rows = [
        (b"hello".to_vec(), "byte 0: no file of rrdtool"),
        (
            with(4, b"9999"),
            "byte 4: version 9999; 0001 to 0005 are known",
        ),
        (with(4, b"....."), "byte 4: no version of four digits"),
        (
            with(16, &[0; 8]),
            "byte 12: the number that tells machines apart is missing",
        ),
        (
            with(24, &huge),
            "byte 24: 18446744073709551615 data sources",
        ),
        (with(32, &huge), "byte 24: 18446744073709551615 archives"),
        (with(32, &[0; 8]), "byte 24: 0 archives"),
        (
            with(40, &[0; 8]),
            "byte 0: AVERAGE rows of 1 steps of 0 s cannot be",
        ),
        (
            with(40, &huge),
            "byte 0: AVERAGE rows of 1 steps of 0 s cannot be",
        ),
        (with(128, &[b'x'; 20]), "byte 128: a name without an end"),
        (
            with(128, b"a b\0"),
            "byte 0: \"a b\" is no name of a data source",
        ),
        (
            with(392, &huge),
            "byte 392: archive 0: 18446744073709551615 rows in a file of",
        ),
        (
            with(400, &[0; 8]),
            "byte 0: AVERAGE rows of 0 steps of 300 s cannot be",
        ),
        (
            with(848, &[0xff; 8]),
            "byte 0: 0 is no time of a last update",
        ),
        (
            good[..good.len() - 1].to_vec(),
            "byte 1903: the file ends here; 2 data sources and 9 rows need 1904 bytes",
        ),
        (
            good[..200].to_vec(),
            "byte 368: the file ends within its head",
        ),
        (good[..20].to_vec(), "byte 12: the number that tells"),
    ];
    for (bytes, want) in rows {
        let said = read(&bytes).unwrap_err().to_string();
        assert!(said.starts_with(want), "{said}\n{want}");
    }
}

const DUMP: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE rrd SYSTEM "https://oss.oetiker.ch/rrdtool/rrdtool.dtd">
<!-- Round Robin Database Dump -->
<rrd>
  <version>0003</version> <step>300</step> <!-- Seconds --> <lastupdate>1000000000</lastupdate>
  <ds><name> in </name><type> GAUGE </type><min>NaN</min><last_ds>2</last_ds></ds>
  <ds><name> out </name><type> COUNTER </type></ds>
  <rra><cf>AVERAGE</cf><pdp_per_row>1</pdp_per_row><params><xff>5.0e-01</xff></params>
    <cdp_prep><ds><value>NaN</value></ds><ds/></cdp_prep>
    <database>
      <!-- 1999 / 1 --> <row><v>1.0000000000e+00</v><v> NaN </v></row>
      <row><v>-nan</v><v>-2.5e-01</v></row>
    </database></rra>
</rrd>
"#;

#[test]
fn a_dump_is_read_as_the_file_is() {
    let rrd = read_rrd(DUMP.as_bytes()).unwrap();
    assert_eq!(
        (rrd.version.as_str(), rrd.step_s, rrd.last_update_s),
        ("0003", 300, 1_000_000_000)
    );
    assert_eq!(rrd.sources[1].kind, "COUNTER");
    let file = rrd.into_file();
    assert!(file.notes[0].contains("eleven digits"), "{:?}", file.notes);
    assert_eq!(file.series[1].archives[0].average[1], -0.25);
    assert!(file.series[0].archives[0].average[1].is_nan());
}

#[test]
fn damage_in_a_dump_is_named_with_its_place() {
    let rows = [
        ("<xml>", "byte 0: <xml> here"),
        ("<rrd><step>x</step></rrd>", "byte 11: `x` is no number"),
        (
            "<rrd><step>3</rra>",
            "byte 12: </rra> closes nothing that is open",
        ),
        (
            "<rrd><step>3</step>",
            "byte 19: the dump ends before </rrd>",
        ),
        ("<rrd><!-- never", "byte 5: `<` without its `>`"),
        ("<rrd></rrd>", "byte 0: 0 is no time of a last update"),
        (
            &DUMP.replace("<v>-nan</v>", ""),
            "a row of 1 values for 2 data sources",
        ),
        (&DUMP.replace("-2.5e-01", "1,5"), "`1,5` is no value"),
        (
            &DUMP.replace("> in <", "><"),
            "byte 0: \"\" is no name of a data source",
        ),
    ];
    for (dump, want) in rows {
        let said = read(dump.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(want), "{said}\n{want}");
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(f64::NAN), 4 => prop::num::f64::ANY]
}

fn rrd() -> impl Strategy<Value = Rrd> {
    let archive = |sources: usize| {
        let values =
            (1..20usize).prop_flat_map(move |rows| prop::collection::vec(value(), rows * sources));
        (
            prop::sample::select(&["AVERAGE", "MIN", "MAX", "LAST", "FAILURES"][..]),
            1..600u32,
            values,
        )
            .prop_map(|(cf, per_row, values)| rra(cf, per_row, &values))
    };
    (1..4usize, 1..6u32, 1..=3_600i64, 1..4_000_000_000i64).prop_flat_map(
        move |(sources, version, step_s, last_update_s)| {
            prop::collection::vec(archive(sources), 1..5).prop_map(move |archives| Rrd {
                version: format!("{version:04}"),
                step_s,
                last_update_s: last_update_s % (1 << 31) + 1,
                sources: (0..sources).map(|i| source(&format!("ds{i}"))).collect(),
                archives,
                rounded: false,
            })
        },
    )
}

proptest! {
    #[test]
    fn files_of_every_machine_are_read_bit_for_bit(rrd in rrd(), newest in 0..40u64, slack in 0..3usize) {
        for machine in Machine::all() {
            let mut bytes = write(&rrd, machine, newest);
            bytes.resize(bytes.len() + 4 * slack, 0);
            let back = read_rrd(&bytes).unwrap();
            let bits = |rrd: &Rrd| -> Vec<Vec<u64>> {
                rrd.archives.iter().map(|a| a.values.iter().map(|v| v.to_bits()).collect()).collect()
            };
            prop_assert_eq!(bits(&back), bits(&rrd), "{:?}", machine);
            prop_assert_eq!(&back.sources, &rrd.sources);
            prop_assert_eq!((back.step_s, back.last_update_s), (rrd.step_s, rrd.last_update_s));
            let _ = back.into_file();
        }
    }

    #[test]
    fn any_change_of_a_file_is_read_or_refused(at in 0..2000usize, bytes in prop::collection::vec(any::<u8>(), 1..9), cut in 0..2000usize, which in 0..10usize) {
        let machine = Machine::all().nth(which).unwrap();
        let mut file = write(&example(), machine, 1);
        for (i, byte) in bytes.iter().enumerate() {
            if let Some(b) = file.get_mut(at + i) {
                *b = *byte;
            }
        }
        let _ = read(&file);
        file.truncate(cut);
        let _ = read(&file);
    }

    #[test]
    fn any_change_of_a_dump_is_read_or_refused(at in 0..900usize, with in "[<>/a-z0-9 -]{0,6}", cut in 0..900usize) {
        let mut dump = DUMP.to_owned();
        let at = at.min(dump.len());
        dump.insert_str(at, &with);
        let _ = read(dump.as_bytes());
        let _ = read(&dump.as_bytes()[..cut.min(dump.len())]);
    }
}
