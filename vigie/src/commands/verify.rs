//! `vigie verify`: reads every block and every ring, and says what is damaged.

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value as Json, json};
use vigie_store::events::{EventRepair, EventReport};
use vigie_store::series::{Report as SeriesReport, SeriesRepair};
use vigie_store::{Reader, Writer};

use super::{Entry, Outcome, format};
use crate::context::Context;
use crate::output;

pub(super) const ENTRY: Entry = Entry {
    name: "verify",
    about: "Reads every block and ring of the store and says what is damaged.",
    flags,
    run,
};

/// Damages that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

fn flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("repair")
                .long("repair")
                .action(ArgAction::SetTrue)
                .help(
                    "Write what is left of damaged blocks of log lines anew and strike out damaged pages \
                     of figures; the daemon must not run",
                ),
        )
        .arg(format(&["text", "json"]))
}

/// What was read.
struct Report {
    series: SeriesReport,
    events: EventReport,
}

impl Report {
    fn read(reader: &Reader) -> Result<Self> {
        Ok(Self {
            series: reader.verify_series()?,
            events: reader.verify_events()?,
        })
    }

    /// How many things are wrong.
    fn faults(&self) -> u64 {
        let SeriesReport {
            damaged,
            broken_groups,
            miscounted_groups,
            ..
        } = &self.series;
        damaged + broken_groups + miscounted_groups + self.events.damage.len() as u64
    }

    /// What is wrong, for people; of many pages the first are named.
    fn damage(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for page in &self.series.damage {
            let slots = page.step_ms.map(|ms| format!(" ({} slots)", length(ms)));
            all.push(format!(
                "figures: page {} of group {}{} is damaged",
                page.row,
                page.group,
                slots.unwrap_or_default()
            ));
        }
        let old = self.series.old.iter();
        all.extend(old.map(|page| format!("figures: {page} is damaged")));
        if self.series.broken_groups > 0 {
            all.push(format!(
                "figures: of {} groups what is not in pages yet cannot be read in full",
                self.series.broken_groups
            ));
        }
        if self.series.miscounted_groups > 0 {
            all.push(format!(
                "figures: of {} groups the pages occupy something else than is written down",
                self.series.miscounted_groups
            ));
        }
        let events = self.events.damage.iter();
        all.extend(events.map(|damage| format!("events: {damage}")));
        all
    }

    fn print(&self, quiet: bool) {
        let named = self.damage();
        for line in named.iter().take(NAMED_MAX) {
            println!("{}", output::printable(line.as_bytes()));
        }
        let faults = self.faults();
        if faults > named.len().min(NAMED_MAX) as u64 {
            println!("damaged in all: {faults}");
        }
        if quiet {
            return;
        }
        println!(
            "figures: {} pages, {}; events: {} blocks, {} lines, {}: {}",
            self.series.pages,
            output::bytes(self.series.bytes),
            self.events.blocks,
            self.events.lines,
            output::bytes(self.events.bytes),
            match faults {
                0 => "all as written",
                _ => "damaged",
            },
        );
    }

    fn as_json(&self, repaired: Option<&Repaired>) -> Json {
        let s = &self.series;
        let pages = s.damage.iter().map(|page| {
            json!({
                "page": page.row,
                "group": page.group,
                "step_s": page.step_ms.map(|ms| ms as f64 / 1000.0),
            })
        });
        json!({
            "sound": self.faults() == 0,
            "figures": {
                "pages": s.pages,
                "bytes": s.bytes,
                "damaged_pages": s.damaged,
                "damage": pages.collect::<Vec<_>>(),
                "imported_damage": s.old,
                "broken_groups": s.broken_groups,
                "miscounted_groups": s.miscounted_groups,
            },
            "events": {
                "blocks": self.events.blocks,
                "lines": self.events.lines,
                "bytes": self.events.bytes,
                "damage": self.events.damage,
            },
            "repaired": repaired.map(|r| json!({
                "blocks": r.events.blocks, "lines_kept": r.events.kept, "lines_lost": r.events.lost,
                "pages_struck_out": r.series.pages, "groups_counted": r.series.groups,
            })),
        })
    }
}

/// The length of a slot as retention rules write it.
fn length(ms: i64) -> String {
    match ms {
        ms if ms % 3_600_000 == 0 => format!("{} h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

/// What was mended.
#[derive(Default)]
struct Repaired {
    events: EventRepair,
    series: SeriesRepair,
}

/// Repairs what then is read.
fn repair(cx: &Context) -> Result<Repaired> {
    let mut writer = Writer::open(&cx.data, &cx.config.store_options(), cx.now)
        .context("a repair writes to the store itself")?;
    Ok(Repaired {
        events: writer.repair_events()?,
        series: writer.repair_series(cx.now)?,
    })
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<Outcome> {
    let repaired = matches.get_flag("repair").then(|| repair(cx)).transpose()?;
    let report = Report::read(&cx.reader()?)?;
    let format = matches.get_one::<String>("format").map(String::as_str);
    if format == Some("json") {
        println!("{}", report.as_json(repaired.as_ref()));
    } else {
        if let Some(r) = &repaired {
            println!(
                "repaired: {} blocks, {} lines of them are kept, {} are lost; {} pages of figures struck out",
                r.events.blocks, r.events.kept, r.events.lost, r.series.pages
            );
        }
        report.print(cx.quiet);
    }
    Ok(match report.faults() {
        0 => Outcome::Fine,
        _ => Outcome::Trouble,
    })
}

#[cfg(test)]
mod tests {
    use vigie_store::series::Damage;

    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_and_counted() {
        let mut report = Report {
            series: SeriesReport::default(),
            events: EventReport::default(),
        };
        assert_eq!((report.faults(), report.damage().len()), (0, 0));
        assert_eq!(report.as_json(None)["sound"], true);
        report.series.miscounted_groups = 2;
        assert_eq!(report.faults(), 2);
        assert_eq!(
            report.damage(),
            ["figures: of 2 groups the pages occupy something else than is written down"]
        );
        report.series.broken_groups = 1;
        report.series.damaged = 1;
        report.series.damage.push(Damage {
            row: 70,
            group: 4,
            step_ms: Some(600_000),
        });
        report
            .series
            .old
            .push("page 9 of the imported up".to_owned());
        report.events.damage.push("block 3 is damaged".to_owned());
        assert_eq!(
            report.damage()[0],
            "figures: page 70 of group 4 (10 min slots) is damaged"
        );
        assert_eq!(report.damage().len(), 5);
        let json = report.as_json(Some(&Repaired::default()));
        assert_eq!(json["sound"], false);
        assert_eq!(json["figures"]["miscounted_groups"], 2);
        assert_eq!(json["figures"]["damage"][0]["step_s"], 600.0);
        assert_eq!(json["repaired"]["blocks"], 0);
    }
}
