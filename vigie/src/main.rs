//! `vigie`: the command line, the configuration, the wiring. What the commands do lives in the
//! other crates.

mod commands;
mod config;
mod context;
mod demo;
mod files;
mod histogram;
mod log_retention;
mod logging;
mod output;
mod reload;
mod retention;
mod times;

use std::process::ExitCode;

fn main() -> ExitCode {
    reset_sigpipe();
    let matches =
        match commands::cli().try_get_matches_from(commands::arguments(std::env::args_os())) {
            Ok(matches) => matches,
            Err(e) => {
                // Nobody is left to tell when the terminal is gone.
                let _ = e.print();
                let code = if e.use_stderr() {
                    commands::COULD_NOT_RUN
                } else {
                    0
                };
                return ExitCode::from(code);
            }
        };
    commands::run(&matches)
}

/// A pipe that closes ends the program without a word, as with every other filter.
fn reset_sigpipe() {
    #[expect(
        unsafe_code,
        reason = "the only way to undo what the runtime did to SIGPIPE"
    )]
    // SAFETY: called before any thread exists; SIG_DFL is a valid disposition for SIGPIPE.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
