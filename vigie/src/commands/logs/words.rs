//! The words of a query on a command line, told apart from flags and files.
//!
//! A query may begin with a dash (`-healthcheck`), and it may follow `--file F`: neither can be told
//! from the flags alone, so the arguments are put in order before they are read: flags, `--`, query.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, Command};

/// Endings of names that nobody writes into a query.
const FILE_ENDINGS: [&str; 7] = ["log", "gz", "zst", "json", "txt", "xz", "bz2"];

/// The first of several arguments of a query, or the only one if it is written as a path, that may have
/// been meant as one more file: for when nothing was found.
pub(super) fn mistaken<'a>(words: &[&'a String]) -> Option<&'a str> {
    let (first, others) = words.split_first()?;
    let as_path = first.contains('/');
    let plain = !first.contains(|c: char| c.is_whitespace() || "|=:<>()\"'~*@".contains(c));
    let plain = plain && !first.starts_with('-');
    (plain && (as_path || !others.is_empty())).then_some(first.as_str())
}

/// Puts the arguments behind the command's name in order. `is_file` asks whether a name exists.
pub(crate) fn arrange(
    command: &Command,
    args: impl IntoIterator<Item = OsString>,
    is_file: impl Fn(&OsStr) -> bool,
) -> Vec<OsString> {
    let (mut flags, mut words) = (Vec::new(), Vec::new());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        if text == "--" {
            words.extend(args);
            break;
        }
        let Some(flag) = flag(command, &text) else {
            words.push(arg);
            continue;
        };
        flags.push(arg);
        let Flag::Value(known) = flag else { continue };
        flags.extend(args.next());
        if known.is_some_and(|a| a.get_id() == "file") {
            // More files may follow; what is none begins the query.
            while let Some(more) = args.next_if(|a| is_name(a, &is_file)) {
                flags.push(more);
            }
        }
    }
    if !words.is_empty() {
        flags.push("--".into());
        flags.extend(words);
    }
    flags
}

/// The place of the command's name: flags of all commands may come before it.
pub(crate) fn command(cli: &Command, args: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        match flag(cli, &args.get(at)?.to_string_lossy()) {
            None => return Some(at),
            Some(Flag::Alone) => at += 1,
            Some(Flag::Value(_)) => at += 2,
        }
    }
}

/// Whether an argument behind `--file F` names one more file.
fn is_name(arg: &OsStr, is_file: &impl Fn(&OsStr) -> bool) -> bool {
    let text = arg.to_string_lossy();
    if text.starts_with('-') && text != "-" {
        return false;
    }
    let ending = Path::new(arg).extension().and_then(OsStr::to_str);
    let looks = ending.is_some_and(|e| FILE_ENDINGS.contains(&e))
        && !text.contains(|c: char| c.is_whitespace() || "|=:<>()\"'~*".contains(c));
    is_file(arg) || looks || text == "-"
}

enum Flag<'a> {
    Alone,
    /// Its value is the next argument.
    Value(Option<&'a Arg>),
}

/// What an argument is, if it is no word of a query.
fn flag<'a>(command: &'a Command, text: &str) -> Option<Flag<'a>> {
    let takes = |arg: &Arg| arg.get_action().takes_values();
    let of = |arg: &'a Arg| match takes(arg) {
        true => Flag::Value(Some(arg)),
        false => Flag::Alone,
    };
    if let Some(name) = text.strip_prefix("--") {
        if name.contains('=') {
            return Some(Flag::Alone);
        }
        let known = command.get_arguments().find(|a| a.get_long() == Some(name));
        // What nobody knows is left for the error.
        return Some(known.map_or(Flag::Alone, of));
    }
    let cluster = text.strip_prefix('-').filter(|c| !c.is_empty())?;
    for (at, letter) in cluster.char_indices() {
        let known = command
            .get_arguments()
            .find(|a| a.get_short() == Some(letter));
        let Some(arg) = known else {
            return "hV"
                .contains(letter)
                .then_some(Flag::Alone)
                .filter(|_| cluster.len() == 1);
        };
        if takes(arg) {
            let value = cluster.get(at + letter.len_utf8()..).unwrap_or_default();
            return match value.strip_prefix('=').unwrap_or(value) {
                "" => Some(Flag::Value(Some(arg))),
                // The short ones take numbers: `-n20` is a flag, `-nginx` a word.
                number if number.bytes().all(|b| b.is_ascii_digit()) => Some(Flag::Alone),
                _ => None,
            };
        }
    }
    Some(Flag::Alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, expected: &str) {
        let cli = crate::commands::cli();
        let mut cli = cli;
        cli.build();
        let logs = cli.find_subcommand("logs").unwrap();
        let split = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let found = arrange(logs, split(args), |name| name == "there" || name == "a.log");
        assert_eq!(found, split(expected), "{args}");
    }

    #[test]
    fn a_name_that_became_a_word_is_found() {
        let check = |words: &[&str], expected: Option<&str>| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let words: Vec<&String> = words.iter().collect();
            assert_eq!(mistaken(&words), expected, "{words:?}");
        };
        check(&["nothere", "status>=500"], Some("nothere"));
        check(&["/var/log/nothere"], Some("/var/log/nothere"));
        for words in [
            &[] as &[&str],
            &["error"],
            &["status>=500", "error"],
            &["a | top path", "b"],
        ] {
            check(words, None);
        }
    }

    #[test]
    fn the_command_stands_behind_common_flags() {
        let mut cli = crate::commands::cli();
        cli.build();
        let check = |args: &str, expected: Option<usize>| {
            let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
            assert_eq!(command(&cli, &args), expected, "{args:?}");
        };
        check("vigie logs x", Some(1));
        check("vigie --data logs -q logs x", Some(4));
        check("vigie --data=logs query logs", Some(2));
        check("vigie", None);
        check("vigie -v", None);
    }

    #[test]
    fn flags_first_then_the_query() {
        check("timeout", "-- timeout");
        check("timeout --since 2h", "--since 2h -- timeout");
        check("-healthcheck app:nginx", "-- -healthcheck app:nginx");
        check(
            "app:nginx -healthcheck -n 5",
            "-n 5 -- app:nginx -healthcheck",
        );
        check("-nginx -n20 -C3", "-n20 -C3 -- -nginx");
        check("-f -q -vv x", "-f -q -vv -- x");
        check("-qn 5 x", "-qn 5 -- x");
        check("-h", "-h");
        check("-help", "-- -help");
        check("--data=d x", "--data=d -- x");
        check("--unknown x", "--unknown -- x");
        check("x -- --since", "-- x --since");
        check("--file a.log timeout", "--file a.log -- timeout");
        check(
            "--file a.log there gone.gz err or warn",
            "--file a.log there gone.gz -- err or warn",
        );
        check("--file - -x", "--file - -- -x");
        check("--file a.log path=/x.log", "--file a.log -- path=/x.log");
        check(
            "--file a.log --stats x --file b x",
            "--file a.log --stats --file b -- x x",
        );
        check("x | count", "-- x | count");
    }
}
