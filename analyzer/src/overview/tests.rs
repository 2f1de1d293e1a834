//! The sentence for each state of affairs.

use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_store::incidents::{Acknowledgement, Incident, IncidentId, Severity};

use super::{Overview, SourceCount, headline};

fn incident(title: &str, by: Option<&str>) -> Incident {
    Incident {
        id: IncidentId(1),
        key: String::new(),
        title: title.to_owned(),
        severity: Severity::Warning,
        labels: Labels::default(),
        onset: Timestamp(0),
        opened: Timestamp(0),
        acknowledged: by.map(|by| Acknowledgement {
            by: by.to_owned(),
            at: Timestamp(0),
            note: String::new(),
        }),
        resolved: None,
        reopened: 0,
        reopened_at: None,
        entries: 0,
        firing: 1,
        frozen: 0,
    }
}

#[test]
fn the_headline_says_it_first() {
    let full = || incident("/var is full", None);
    let mine = || incident("/srv is slow.", Some("ops"));
    let check = |unresolved: Vec<Incident>, active, failed: &[(&str, &str)], expected: &str| {
        let open = unresolved
            .iter()
            .filter(|i| i.acknowledged.is_none())
            .count();
        let failed = failed.iter().map(|&(n, w)| (n.to_owned(), w.to_owned()));
        let overview = Overview {
            headline: String::new(),
            worst: None,
            unresolved,
            open,
            last_resolved: None,
            sources: SourceCount {
                active,
                failed: failed.collect(),
            },
            changes: Vec::new(),
            stale_since: None,
        };
        assert_eq!(headline(&overview), expected);
    };
    let gone = ("file:/x", "no such file");
    check(vec![], 0, &[], "Nothing is watched yet: no source reports.");
    check(
        vec![],
        1,
        &[],
        "All is quiet: 1 source reporting, no incident open.",
    );
    check(
        vec![],
        12,
        &[],
        "All is quiet: 12 sources reporting, no incident open.",
    );
    check(
        vec![],
        11,
        &[gone],
        "No incident is open; 1 of 12 sources does not report: file:/x (no such file).",
    );
    check(
        vec![],
        10,
        &[gone, gone],
        "No incident is open; 2 of 12 sources do not report.",
    );
    check(vec![full()], 12, &[gone], "/var is full.");
    check(vec![mine()], 12, &[], "/srv is slow; ops has it in hand.");
    check(
        vec![full(), mine()],
        12,
        &[],
        "1 incident is open, 1 in hand. /var is full.",
    );
    check(
        vec![full(), full(), mine()],
        12,
        &[],
        "2 incidents are open, 1 in hand. Worst: /var is full.",
    );
    check(vec![mine(), mine()], 12, &[], "2 incidents, all in hand.");
}
