//! Frames and lines out of streams: tables, and the same result however the stream is cut.

use proptest::prelude::*;
use vigie_parsers::framing::{Framer, FramerCounts, datagram};
use vigie_parsers::lines::Lines;

type Frames = Vec<(Vec<u8>, bool)>;

fn frames(limit: usize, chunks: &[&[u8]]) -> (Frames, FramerCounts) {
    let mut framer = Framer::new(limit);
    let mut out = Frames::new();
    for chunk in chunks {
        framer.push(chunk, |f| out.push((f.line.to_vec(), f.truncated)));
    }
    framer.finish(|f| out.push((f.line.to_vec(), f.truncated)));
    (out, framer.counts())
}

fn check(stream: &[u8], want: &[&str]) -> FramerCounts {
    let (got, counts) = frames(64, &[stream]);
    let text: Vec<_> = got
        .iter()
        .map(|(l, _)| String::from_utf8_lossy(l))
        .collect();
    assert_eq!(text, want, "{:?}", String::from_utf8_lossy(stream));
    counts
}

#[test]
fn both_framings() {
    check(b"<1>a\n<2>b\r\n<3>c", &["<1>a", "<2>b", "<3>c"]);
    check(b"5 <1>ab4 <2>c", &["<1>ab", "<2>c"]);
    check(b"6 <1>ab\n5 <2>c\n", &["<1>ab", "<2>c"]);
    check(b"5 <1>ab\n4 <2>c\n", &["<1>ab", "<2>c"]);
    check(b"<1>a\n4 <2>b<3>c\n", &["<1>a", "<2>b", "<3>c"]);
    check(b"<1>a\0<2>b\0\n<3>c\0", &["<1>a", "<2>b", "<3>c"]);
    check(b" <1>a\n\n\r\n <2>b\n", &["<1>a", "<2>b"]);
    check(b"7 <1>a\nbc<2>d\n", &["<1>a\nbc", "<2>d"]);
    check(
        b"2026-11-21 no syslog\n12 apples\n5\n",
        &["2026-11-21 no syslog", "12 apples", "5"],
    );
    check(b"", &[]);
}

/// rsyslog with octet counting and a template without PRI.
#[test]
fn counted_messages_need_no_pri() {
    check(b"5 hello3 you", &["hello", "you"]);
    check(b"6 hello\n5 there\n", &["hello", "there"]);
    check(
        b"5 hello5 <1>ab9 two\nlines3 end",
        &["hello", "<1>ab", "two\nlines", "end"],
    );
    // A text that begins with a number ends where its line does.
    check(b"20 hello\n<2>next\n", &["20 hello", "<2>next"]);
    check(b"20 hel\0<2>next\n", &["20 hel", "<2>next"]);
    check(b"20 hello", &["20 hello"]);
    check(
        b"100000 requests served so far\n",
        &["100000 requests served so far"],
    );
}

/// Python's `SysLogHandler` over a stream: a NUL behind each message, which may have lines.
#[test]
fn messages_that_end_with_nuls_have_lines() {
    check(
        b"<11>first\0<11>Traceback:\n  at x\n  at y\0<11>last\n\0",
        &["<11>first", "<11>Traceback:\n  at x\n  at y", "<11>last"],
    );
    // Another sender behind the same relay ends its own with line feeds.
    check(
        b"<11>a\0<11>b\n<11>c\nmore\n<11>d\0",
        &["<11>a", "<11>b", "<11>c\nmore", "<11>d"],
    );
    check(b"text\0of\nlines\n", &["text", "of", "lines"]);
}

#[test]
fn a_frame_is_told_as_it_came_too() {
    let mut got = Vec::new();
    Framer::new(64).push(b"7 <1>ab\n\0<1>c\r\n", |f| got.push(f.whole.to_vec()));
    assert_eq!(got, [&b"<1>ab\n\0"[..], b"<1>c\r"]);
}

#[test]
fn counts_that_lie() {
    let counts = check(b"3 <1>ab rest\n<2>c\n", &["<1>", "ab rest", "<2>c"]);
    assert_eq!(counts.bad_counts, 1);
    let counts = check(b"99999999999 <1>a\n<2>b\n", &["99999999999 <1>a", "<2>b"]);
    assert_eq!(counts.bad_counts, 0, "not a count at all");
    let counts = check(b"999999999 <1>a\n<2>b\n", &["999999999 <1>a", "<2>b"]);
    assert_eq!(counts.bad_counts, 1);
    let counts = check(b"50 <1>a\n", &["<1>a\n"]);
    assert_eq!(counts.short_frames, 1);
    let counts = check(b"0 <1>a\n5 <2>bc", &["<1>a", "<2>bc"]);
    assert_eq!(counts.bad_counts, 1);
    let counts = check(b"5 <1>ab0 0 5 <2>cd", &["<1>ab", "<2>cd"]);
    assert_eq!(counts.bad_counts, 2);
    let counts = check(
        b"5 <1>ab70000 text\n5 <2>cd",
        &["<1>ab", "70000 text", "<2>cd"],
    );
    assert_eq!(counts.bad_counts, 1);
}

#[test]
fn what_is_too_long_is_cut_and_the_next_frame_found() {
    for head in ["", "200 "] {
        let mut stream = format!("{head}<1>").into_bytes();
        stream.resize(head.len() + 200, b'x');
        stream.extend_from_slice(b"\n<2>next\n");
        let (got, counts) = frames(64, &[&stream]);
        assert_eq!(got.len(), 2, "{head}");
        assert_eq!((got[0].0.len(), got[0].1), (64, true));
        assert_eq!(got[1].0, b"<2>next");
        assert_eq!((counts.oversize, counts.skipped_bytes), (1, 136));
    }
}

#[test]
fn datagrams_lose_what_senders_add() {
    for (packet, want) in [
        (&b"<1>a\n"[..], &b"<1>a"[..]),
        (b"<1>a\r\n", b"<1>a"),
        (b"<1>a\0", b"<1>a"),
        (b"<1>a\n\0", b"<1>a"),
        (b"<1>a\n\n", b"<1>a\n"),
        (b"", b""),
    ] {
        assert_eq!(datagram(packet), want);
    }
}

#[test]
fn lines_say_what_they_took() {
    let mut lines = Lines::new(4);
    let mut got = Vec::new();
    for chunk in [&b"a\r\n\nlong"[..], b"er than", b" four\nb"] {
        lines.push(chunk, |l| {
            got.push((l.text.to_vec(), l.truncated, l.consumed))
        });
    }
    assert_eq!((lines.partial(), lines.pending()), (&b"b"[..], 1));
    lines.finish(|l| got.push((l.text.to_vec(), l.truncated, l.consumed)));
    let want = [
        (b"a".to_vec(), false, 3),
        (b"".to_vec(), false, 1),
        (b"long".to_vec(), true, 17),
        (b"b".to_vec(), false, 1),
    ];
    assert_eq!(got, want);
    assert_eq!(lines.losses(), (1, 12));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"<1>a"[..],
        b"\n",
        b"\0",
        b"\r",
        b"5 <1>ab",
        b"7 <1>",
        b"12 ",
        b"3 xyz",
        b"0 ",
        b"<1>a\0",
        b"300 <1>",
        b" ",
        b"99999999999999",
        b"0 <1>",
        b"xyz xyz xyz xyz xyz xyz xyz",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn chunks_do_not_matter(stream in stream(), size in 1usize..20) {
        let whole = frames(64, &[&stream]);
        let chunks: Vec<_> = stream.chunks(size).collect();
        prop_assert_eq!(&frames(64, &chunks), &whole);
        prop_assert!(whole.0.iter().all(|(line, _)| !line.is_empty() && line.len() <= 64));

        let mut lines = Lines::new(16);
        let (mut got, mut consumed) = (Vec::new(), 0);
        for chunk in &chunks {
            lines.push(chunk, |l| { got.push(l.text.to_vec()); consumed += l.consumed; });
        }
        lines.finish(|l| { got.push(l.text.to_vec()); consumed += l.consumed; });
        prop_assert_eq!(consumed, stream.len() as u64);
        // The naive way: all at once, each line cut.
        let mut want: Vec<Vec<u8>> = stream.split(|&b| b == b'\n').map(|l| l.to_vec()).collect();
        let last = want.pop().unwrap();
        for line in &mut want {
            if line.len() <= 16 && line.last() == Some(&b'\r') { line.pop(); }
        }
        if !last.is_empty() { want.push(last); }
        want.iter_mut().for_each(|l| l.truncate(16));
        prop_assert_eq!(got, want);
    }
}
