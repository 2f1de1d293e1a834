//! What an import says: what was taken, what was not and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vigie_parsers::Timestamp;
use vigie_parsers::archives::File;
use vigie_query::Labels;
use vigie_store::series::Taken;

use crate::commands::Outcome;
use crate::context::Context;
use crate::{output, times};

/// Files that are told one by one; of more only those with something new.
const TOLD_MAX: usize = 20;

/// See the top.
pub(super) struct Report {
    bar: ProgressBar,
    quiet: bool,
    verbose: bool,
    tz: jiff::tz::TimeZone,
    files: usize,
    told: usize,
    new: u64,
    more: u64,
    same: u64,
    values: u64,
    failed: u64,
    /// How many files have something to say, and the first of them.
    remarks: BTreeMap<String, (u64, PathBuf)>,
}

fn shown(path: &Path) -> String {
    output::printable(path.as_os_str().as_encoded_bytes()).into_owned()
}

impl Report {
    pub(super) fn new(cx: &Context) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            quiet: cx.quiet,
            verbose: cx.verbose > 0,
            tz: cx.tz.clone(),
            files: 0,
            told: 0,
            new: 0,
            more: 0,
            same: 0,
            values: 0,
            failed: 0,
            remarks: BTreeMap::new(),
        }
    }

    /// So many files are to be read.
    pub(super) fn begin(&mut self, files: usize) {
        self.files = files;
        if !self.quiet && files > 1 {
            // Hidden by itself where standard error is no terminal.
            let target = ProgressDrawTarget::stderr();
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}");
            self.bar = ProgressBar::with_draw_target(Some(files as u64), target)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
    }

    pub(super) fn failed(&mut self, path: &Path, error: &anyhow::Error) {
        self.failed += 1;
        let text = output::printable(format!("{error:#}").as_bytes()).into_owned();
        self.bar
            .suspend(|| eprintln!("vigie: {}: {text}", shown(path)));
    }

    /// A file was read; what it leaves out is told in the end.
    pub(super) fn read(&mut self, path: &Path, file: &File) {
        self.bar.inc(1);
        let left_out = file
            .left_out
            .iter()
            .map(|text| format!("not taken: {text}"));
        for text in left_out.chain(file.notes.iter().cloned()) {
            let remark = self
                .remarks
                .entry(text)
                .or_insert_with(|| (0, path.to_owned()));
            remark.0 += 1;
        }
    }

    pub(super) fn would_take(&mut self, path: &Path, labels: &[Labels]) {
        for labels in labels {
            let name = output::printable(labels.to_string().as_bytes()).into_owned();
            self.bar.suspend(|| println!("{}: {name}", shown(path)));
        }
    }

    pub(super) fn taken(&mut self, labels: &[Labels], file: &File, taken: &[Taken]) {
        let news = taken.iter().any(|t| *t != Taken::Same);
        for ((labels, series), taken) in labels.iter().zip(&file.series).zip(taken) {
            let what = match taken {
                Taken::New(n) => {
                    self.new += 1;
                    self.values += n;
                    format!("{n} values")
                }
                Taken::More(n) => {
                    self.more += 1;
                    self.values += n;
                    format!("{n} values more")
                }
                Taken::Same => {
                    self.same += 1;
                    "there already".to_owned()
                }
            };
            if self.quiet || !self.verbose && (self.told >= TOLD_MAX || self.files > 1 && !news) {
                continue;
            }
            self.told += 1;
            let archives: Vec<String> = series
                .archives
                .iter()
                .map(|a| {
                    let from = times::show(Timestamp((a.first + 1) * a.step_s * 1000), &self.tz);
                    format!("{} from {from}", output::duration(a.step_s * 1000))
                })
                .collect();
            let name = output::printable(labels.to_string().as_bytes()).into_owned();
            self.bar
                .suspend(|| println!("{name}: {what} ({})", archives.join(", ")));
        }
    }

    /// Why the import ends before its end, with what was taken so far.
    pub(super) fn broken_off(&self, error: anyhow::Error) -> anyhow::Error {
        self.bar.finish_and_clear();
        let series = self.new + self.more + self.same;
        error.context(format!(
            "the import was broken off after {series} series, which stay; run it again for the others"
        ))
    }

    /// The sum of it.
    pub(super) fn end(self) -> Outcome {
        self.bar.finish_and_clear();
        if !self.quiet {
            for (text, (files, first)) in &self.remarks {
                let more = if *files > 1 {
                    format!(" and {} more", files - 1)
                } else {
                    String::new()
                };
                println!(
                    "{}{more}: {}",
                    shown(first),
                    output::printable(text.as_bytes())
                );
            }
            println!(
                "{} file{}: {} series new, {} with more, {} as they were, {} values; {} not read",
                self.files,
                if self.files == 1 { "" } else { "s" },
                self.new,
                self.more,
                self.same,
                self.values,
                self.failed
            );
        }
        if self.failed == 0 {
            Outcome::Fine
        } else {
            Outcome::Trouble
        }
    }
}
