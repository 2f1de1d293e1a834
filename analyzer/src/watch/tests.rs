//! The watch on a real store: it ticks, remembers, stops, and sees machines start anew.

use std::sync::Arc;
use std::sync::mpsc::channel;

use vigie_store::incidents::ChangeKind;
use vigie_store::{Clock, Options, Reader, Synchronous, Writer};

use super::Watch;
use crate::model::{Figures, at};
use crate::reboots::Boots;
use crate::rules::Rules;
use crate::{Memory, overview};

#[test]
fn a_watch_remembers_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    };
    let writer = Writer::open(dir.path(), &options, at(0)).unwrap();
    let clock: Clock = Arc::new(|| at(0));
    let (handle, thread) = vigie_store::spawn(writer, clock);
    let reader = Reader::open(dir.path()).unwrap();
    let mine = reader.another().unwrap();
    let mut watch = Watch::new(Rules::builtin(), handle.clone(), mine, "web1").unwrap();
    for s in [0, 10, 70] {
        watch.tick(at(s)).unwrap();
    }
    let memory = Memory::from_text(&reader.setting(Memory::KEY).unwrap().unwrap());
    assert_eq!(memory.evaluated, Some(at(70)));
    assert_eq!(watch.engine().counts().failures, 0);
    assert_eq!(watch.next_due(), at(80));
    // Its thread ends when nobody can stop it any more, or says so.
    let (stop, stopped) = channel();
    drop(stop);
    let clock: Clock = Arc::new(|| at(100));
    watch.run(&clock, &stopped);
    assert_eq!(overview(&reader, at(71)).unwrap().stale_since, None);
    assert_eq!(
        overview(&reader, at(700)).unwrap().stale_since,
        Some(at(70))
    );
    handle.close();
    thread.join().unwrap();
}

#[test]
fn a_machine_that_starts_anew_is_a_change() {
    let boots = |web1: f64, web2: Option<f64>| {
        let mut figures = Figures::every(10);
        figures.add(
            "node_boot_time_seconds",
            &[("instance", "web1")],
            move |_| Some(web1),
        );
        figures.add(
            "node_boot_time_seconds",
            &[("instance", "web2")],
            move |_| web2,
        );
        figures
    };
    let mut known = Boots::default();
    let mut look = |figures: &Figures, s: i64| {
        let (news, changes) = known.watch(figures, at(s)).unwrap();
        known = Boots::from_text(&known.to_text());
        (news, changes)
    };
    assert_eq!(
        look(&boots(1000.0, None), 0),
        (true, Vec::new()),
        "the first sight is no news"
    );
    assert_eq!(
        look(&boots(1001.0, None), 60),
        (false, Vec::new()),
        "the clock was corrected"
    );
    let (news, changes) = look(&boots(5000.5, Some(7.0)), 120);
    assert!(news);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].kind, ChangeKind::Reboot);
    assert_eq!(changes[0].at.0, 5_000_500);
    assert_eq!(changes[0].text, "web1 started anew");
    assert_eq!(
        look(&boots(5000.5, Some(f64::NAN)), 180),
        (false, Vec::new())
    );
}
