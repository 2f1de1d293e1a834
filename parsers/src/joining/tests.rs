//! Texts as programs write them, and properties of any.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 << 10;

/// The events of a text, each as its lines.
fn events(rule: &Joining, text: &str) -> Vec<Vec<String>> {
    let mut rest = text.as_bytes();
    let mut events = Vec::new();
    while let Some(first) = rule.first(rest, LIMIT) {
        let (event, after) = rest.split_at(first.len);
        let event = String::from_utf8_lossy(event).into_owned();
        events.push(event.lines().map(str::to_owned).collect());
        rest = after;
    }
    assert!(rest.is_empty(), "a last line without its end is not taken");
    events
}

/// Checks that each event of the text has so many lines.
fn check(rule: &str, text: &str, want: &[usize]) {
    let rule: Joining = rule.parse().unwrap();
    let found: Vec<_> = events(&rule, text).iter().map(Vec::len).collect();
    assert_eq!(found, want, "{text}");
}

#[test]
fn java() {
    check(
        "auto",
        "2026-11-21 09:46:44,059 ERROR [main] com.example.Shop - could not start\n\
         java.lang.IllegalStateException: no database\n\
         \tat com.example.Shop.start(Shop.java:42)\n\
         \t... 23 more\n\
         Caused by: java.net.ConnectException: Connection refused\n\
         \tat java.base/sun.nio.ch.Net.pollConnect(Native Method)\n\
         2026-11-21 09:46:45,000 INFO  [main] com.example.Shop - bye\n\
         Exception in thread \"main\" java.lang.RuntimeException: x\n\
         \tat com.example.Shop.main(Shop.java:7)\n",
        &[6, 1, 2],
    );
    check(
        "auto",
        "2026-11-21T09:46:44.059Z ERROR 12 --- [main] c.e.Shop : x\n\
         java.lang.Error: y\n\tat a.B.c(B.java:1)\n\
         2026-11-21T09:46:44.059Z  INFO 12 --- [main] c.e.Shop : z\n",
        &[3, 1],
    );
}

#[test]
fn python() {
    check(
        "auto",
        "ERROR:shop:could not store\n\
         Traceback (most recent call last):\n\
         \x20 File \"/srv/shop.py\", line 3, in store\n\
         \x20   1 / 0\n\
         ZeroDivisionError: division by zero\n\
         \n\
         During handling of the above exception, another exception occurred:\n\
         \n\
         Traceback (most recent call last):\n\
         \x20 File \"/srv/shop.py\", line 5, in store\n\
         ValueError: x\n\
         INFO:shop:going on\n",
        &[11, 1],
    );
    check(
        "auto",
        "hello\nTraceback (most recent call last):\n  File \"a\", line 1\nKeyError: 'x'\nbye\n",
        &[1, 3, 1],
    );
}

#[test]
fn go_and_node() {
    check(
        "auto",
        "panic: runtime error: index out of range [3] with length 3\n\n\
         goroutine 1 [running]:\nmain.main()\n\t/srv/main.go:9 +0x1d\nexit status 2\nserving\n",
        &[6, 1],
    );
    check(
        "auto",
        "TypeError: Cannot read properties of undefined (reading 'id')\n\
         \x20   at /srv/app.js:12:7 {\n\
         \x20 code: 'E_ID'\n\
         }\n\
         listening on 3000\n",
        &[4, 1],
    );
}

#[test]
fn databases() {
    check(
        "auto",
        "2024-01-06 10:13:17.213 UTC [40] ERROR:  duplicate key value\n\
         2024-01-06 10:13:17.213 UTC [40] DETAIL:  Key (id)=(1) already exists.\n\
         2024-01-06 10:13:17.213 UTC [40] STATEMENT:  INSERT INTO votes\n\
         \tVALUES ($1)\n\
         2024-01-06 10:13:17.300 UTC [41] DETAIL:  of another\n\
         2024-01-06 10:13:18.000 UTC [40] LOG:  checkpoint\n",
        &[4, 1, 1],
    );
    check(
        "auto",
        "2026-11-21 10:43:56.169 UTC,\"a\",\"b\",1,\"x\",\"insert (\n  'b')\",,\n\
         2026-11-21 10:43:56.169 UTC,\"a\",\"b\",1,\"x\",,\n",
        &[2, 1],
    );
    check(
        "auto",
        "# Time: 261121 10:43:08\n# User@Host: root[root] @ localhost []\n# Query_time: 0.2\nselect 1;\n\
         # User@Host: root[root] @ localhost []\n# Query_time: 0.1\nselect 2;\n",
        &[4, 3],
    );
}

#[test]
fn what_stands_alone() {
    check(
        "auto",
        "192.0.2.1 - - [21/Nov/2026:05:19:12 +0000] \"GET / HTTP/1.1\" 200 3\n  x\n\
         {\"a\":1}\nNov 21 05:19:12 web1 a: x\n2026-11-21T05:19:12Z web1 sshd[1]: x\n",
        &[1, 1, 1, 1, 1],
    );
    for line in [
        "{\"a\":1}\n",
        "192.0.2.1 - - x\n",
        "2026-11-21T05:19:12Z web1 sshd[1]: x\n",
    ] {
        let first = Joining::Auto.first(line.as_bytes(), LIMIT);
        assert_eq!(first.map(|f| f.whole), Some(true), "{line}");
    }
    let open = Joining::Auto.first(b"2026-11-21 05:19:12 ERROR x\n", LIMIT);
    assert_eq!(
        open,
        Some(First {
            len: 28,
            whole: false
        })
    );
}

#[test]
fn written_rules() {
    check("indented", "a\n b\n\tc\nd\n", &[3, 1]);
    check(
        "begins ####-##-##",
        "2026-11-21 a\nb\n\nc\n2026-11-22 d\n",
        &[4, 1],
    );
    check("begins [@@@", "[abc] x\n[1]\n[abd]\n", &[2, 1]);
    check("continues \\t?", "a\n\tb\n\t\nc\n", &[2, 1, 1]);
    check("off", "a\n b\n", &[1, 1]);
    for rule in ["off", "auto", "indented", "begins ##", "continues \\#x"] {
        let parsed: Joining = rule.parse().unwrap();
        assert_eq!(parsed.to_string(), rule);
    }
    assert!("begins".parse::<Joining>().is_err());
    assert!(
        "regex x"
            .parse::<Joining>()
            .unwrap_err()
            .contains("begins PATTERN")
    );
}

#[test]
fn limits() {
    let text = format!("a\n{}", " b\n".repeat(3000));
    let rule = Joining::Indented;
    let lines: Vec<_> = events(&rule, &text).iter().map(Vec::len).collect();
    assert_eq!(lines, [1024, 1024, 953]);
    let first = rule.first(b"aaaa\n bbbb\n cccc\n", 11).unwrap();
    assert_eq!(
        first,
        First {
            len: 11,
            whole: true
        }
    );
    assert_eq!(rule.first(b"no end", 100), None);
}

const LINES: &[&str] = &[
    "",
    " ",
    "a",
    "\tat x.Y.z(Y.java:1)",
    "2026-11-21 05:19:12 ERROR x",
    "Caused by: a.B: c",
    "}",
    "Traceback (most recent call last):",
    "ValueError: x",
    "panic: x",
    "goroutine 1 [running]:",
    "2026-11-21 05:19:12.000 UTC [4] ERROR:  x",
    "2026-11-21 05:19:12.000 UTC [4] HINT:  x",
    "2026-11-21 05:19:12.000 UTC,\"a",
    "b\",1",
    "# Time: 1",
    "# User@Host: a",
    "{\"a\":1}",
    "a.b.CException: d",
    "e of its text",
    "main.f",
    "\t/srv/f.go:1",
    "Nov 21, 2026 5:19:12 PM a.B c",
    "SEVERE: x",
    "21-Nov-2026 05:19:12.000 SEVERE [m] a.B.c x",
    "web-1  | 2026-11-21 05:19:12 ERROR x",
    "web-1  |  at y",
    "web-2  | z",
    "2026-11-21T05:23:21.4Z stdout P z",
    "2026-11-21T05:23:21.4Z stdout F z",
    "E, [2026-11-21T05:19:12.1 #12] ERROR -- : x (IOError)",
    "a.rb:4:in `find'",
    "a.rb:4:in `find': x (IOError)",
    "\tfrom a.rb:4:in `<main>'",
    "fail: A.B[0]",
    "05:19:12.123 [error] x",
    "** (ArgumentError) y",
    "PHP Fatal error:  Uncaught E: x in /a.php:3",
    "Stack trace:",
    "#0 /a.php(7): f()",
    "Next E: y",
    "{\"log\":\"z\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.6Z\"}",
];

proptest! {
    /// Joined text splits back to the lines; what is read in pieces is read the same; and an event that
    /// is whole stays as it is whatever comes.
    #[test]
    fn nothing_is_lost_and_pieces_make_no_difference(
        lines in prop::collection::vec(prop_oneof![
            prop::sample::select(LINES).prop_map(str::to_owned), "[ -~]{0,9}"], 0..20),
        rule in prop::sample::select(&["off", "auto", "indented", "begins ##", "continues  "][..]),
        limit in prop_oneof![Just(LIMIT), 1usize..60],
        cut in 0usize..400,
    ) {
        let rule: Joining = rule.parse().unwrap();
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let mut back = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(first) = rule.first(rest, limit) {
            let (event, after) = rest.split_at(first.len);
            prop_assert!(event.ends_with(b"\n"));
            let text = String::from_utf8_lossy(event).into_owned();
            let count = text.lines().count();
            prop_assert!(count == 1 || event.len() <= limit + 1);
            back.extend(text.lines().map(str::to_owned));
            // Of what is not whole only lines are left that a later one would have had to tell.
            prop_assert!(first.whole || rule.to_string() == "auto" || after.is_empty());
            // With only a part of the bytes at hand.
            let part = rest.get(..cut).unwrap_or(rest);
            match rule.first(part, limit) {
                None => prop_assert!(!part.contains(&b'\n')),
                Some(seen) if seen.whole => prop_assert_eq!(seen, First { whole: true, ..first }),
                Some(seen) => prop_assert!(seen.len <= first.len),
            }
            rest = after;
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(back, lines);
    }
}

/// The same events inside what container engines put around their lines.
#[test]
fn inside_containers() {
    let texts: [(&str, &[usize]); 3] = [
        (
            "2026-11-21 09:46:44 ERROR x\njava.lang.Error: y\n\tat a.B.c(B.java:1)\nCaused by: z\nnext\n",
            &[4, 1],
        ),
        (
            "Traceback (most recent call last):\n  File \"a\\b\", line 1\nKeyError: 'x'\nbye\n",
            &[3, 1],
        ),
        (
            "2026-11-21 09:46:44.059 UTC [40] ERROR:  x\n2026-11-21 09:46:44.059 UTC [40] STATEMENT:  SELECT\n\
             \t1\n2026-11-21 09:46:44.059 UTC [41] LOG:  y\n",
            &[3, 1],
        ),
    ];
    type Wrap = fn(&str) -> String;
    let wraps: [Wrap; 5] = [
        |line| format!("2026-11-21T05:23:21.473668324Z stderr F {line}\n"),
        |line| {
            let log = line
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\t', "\\t");
            format!(
                "{{\"log\":\"{log}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.6Z\"}}\n"
            )
        },
        |line| format!("web-1  | {line}\n"),
        |line| format!("\u{1b}[36mweb-1  |\u{1b}[0m {line}\n"),
        |line| format!("shop_db_1 | {line}\n"),
    ];
    for (text, want) in texts {
        for wrap in wraps {
            let wrapped: String = text.lines().map(wrap).collect();
            check("auto", &wrapped, want);
        }
    }
    // Rules of the operator's see what is inside as well.
    let inside = "web-1  | [1] a\nweb-1  | b\nweb-1  |  c\nweb-1  | [2] d\n";
    check("begins [#]", inside, &[3, 1]);
    check("continues b", inside, &[2, 1, 1]);
    check("indented", inside, &[1, 2, 1]);
    check("begins web-1", inside, &[1, 1, 1, 1]);
}

#[test]
fn containers_do_not_mix() {
    let error = "2026-11-21 09:46:44 ERROR x";
    let text = format!("web-1  | {error}\nweb-2  |     at b\nweb-1  |     at c\n");
    check("auto", &text, &[1, 1, 1]);
    let text =
        format!("2026-11-21T05:23:21.4Z stderr F {error}\n2026-11-21T05:23:21.4Z stdout F  at x\n");
    check("auto", &text, &[1, 1]);
    check(
        "auto",
        &format!("web-1  | {error}\n  at a file's own line\n"),
        &[1, 1],
    );
}

#[test]
fn pieces_of_a_containers_long_line() {
    let cri = "2026-11-21T05:23:21.4Z stdout P {\"a\":\n2026-11-21T05:23:21.4Z stdout P \"b\n\
               2026-11-21T05:23:21.4Z stdout F c\"}\n2026-11-21T05:23:21.4Z stdout F next\n";
    check("auto", cri, &[3, 1]);
    let json = "{\"log\":\"aaa\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.6Z\"}\n\
                {\"log\":\"bbb\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.6Z\"}\n\
                {\"log\":\"c\\r\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T05:23:16.6Z\"}\n";
    check("auto", json, &[2, 1]);
    check("off", json, &[1, 1, 1]);
}

/// Before 1.73 the message of a panic stood in its first line.
#[test]
fn old_panics_of_rust() {
    check(
        "auto",
        "thread 'main' panicked at 'boom', src/main.rs:2:5\n\
         note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\nnext\n\
         thread 'main' panicked at 'boom', src/main.rs:2:5\nnext\n",
        &[2, 1, 1, 1],
    );
}

/// A program that ends for an exception and is started again makes an event each time.
#[test]
fn each_end_of_ruby_is_an_event() {
    let end = "a.rb:4:in `find': x (IOError)\n\tfrom a.rb:9:in `<main>'\n";
    check("auto", &end.repeat(3), &[2, 2, 2]);
}
