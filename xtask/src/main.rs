//! Automation: everything that is done to the project with one command each.

mod bench;
mod setup;
mod test;

use std::process::ExitCode;

/// A task: its word, what it does, how.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<bool>,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        about: "everything that must hold: format, lints, tests, processes, pages",
        run: test::run,
    },
    Task {
        name: "setup",
        about: "installs the Debian packages whose programs the tests talk to",
        run: setup::run,
    },
    Task {
        name: "bench",
        about: "measures: all, or those named",
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let task = args
        .first()
        .and_then(|name| TASKS.iter().find(|t| t.name == name));
    let Some(task) = task else {
        eprintln!("usage: cargo xtask TASK\n");
        for task in TASKS {
            eprintln!("  {:8} {}", task.name, task.about);
        }
        return ExitCode::from(2);
    };
    match (task.run)(&args[1..]) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("xtask {}: {e:#}", task.name);
            ExitCode::from(2)
        }
    }
}
