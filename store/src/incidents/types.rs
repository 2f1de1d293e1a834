//! What the incident book holds.

use std::fmt;

use vigie_parsers::Timestamp;
use vigie_query::Labels;

/// Declares an enum whose variants have a word for tables, pages and JSON; the order is the rank.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them, in rank order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in tables, on pages and in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }

            /// The one with this rank.
            #[must_use]
            pub fn from_rank(rank: i64) -> Option<Self> {
                Self::ALL.get(usize::try_from(rank).ok()?).copied()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How an alert is. An inactive one has no row.
    AlertState {
        /// The condition holds, not yet long enough.
        Pending = "pending",
        /// The condition holds, or has not been false long enough, or cannot be told.
        Firing = "firing",
        /// It has fired and is over.
        Resolved = "resolved",
    }
}

words! {
    /// How much an alert or an incident matters: the label `severity` of its rule. Smaller is less.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// To be looked at in working hours.
        Warning = "warning",
        /// Something is failing or will soon.
        Critical = "critical",
        /// Somebody has to get up.
        Page = "page",
    }
}

words! {
    /// Where an incident stands.
    IncidentState {
        /// Nobody has taken it.
        Open = "open",
        /// Somebody has it in hand.
        Acknowledged = "acknowledged",
        /// It is over.
        Resolved = "resolved",
    }
}

words! {
    /// What an entry of the time line records.
    What {
        /// The incident was opened.
        Opened = "opened",
        /// It was resolved and began again.
        Reopened = "reopened",
        /// An alert of it began to fire.
        Fired = "fired",
        /// An alert of it ended.
        Cleared = "cleared",
        /// An alert of it can no longer be judged: no data, or its rule fails.
        Frozen = "frozen",
        /// It can be judged again.
        Thawed = "thawed",
        /// Its severity rose.
        Raised = "raised",
        /// Somebody took it.
        Acknowledged = "acknowledged",
        /// It was resolved.
        Resolved = "resolved",
        /// Somebody wrote something down.
        Noted = "noted",
    }
}

words! {
    /// What kind of change somebody made, or vigie saw.
    ChangeKind {
        /// A remark.
        Note = "note",
        /// A new version was brought out.
        Deploy = "deploy",
        /// A configuration was altered.
        Config = "config",
        /// A package was installed, upgraded or removed.
        Package = "package",
        /// A service was started anew.
        Restart = "restart",
        /// A machine was started anew.
        Reboot = "reboot",
        /// Somebody logged in with power to change things.
        Login = "login",
        /// A service moved to another machine.
        Failover = "failover",
        /// Planned work.
        Maintenance = "maintenance",
    }
}

/// One rule that holds, or did, for one label set. The rule and the labels are its identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// `group/name` of the rule.
    pub rule: String,
    /// The labels of the series it holds for, the rule's own labels, and `alertname`.
    pub labels: Labels,
    /// How it is.
    pub state: AlertState,
    /// Since when the condition holds; time in which nobody looked is taken out.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// While firing: since when the condition is seen false.
    pub clear_since: Option<Timestamp>,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// When this was written; the value may have moved since.
    pub written_at: Timestamp,
    /// The last value of the expression.
    pub value: f64,
    /// `summary`, `description` and the like, expanded.
    pub annotations: Vec<(String, String)>,
    /// Why it cannot be judged at the moment, if so: it then stays as it is.
    pub frozen: Option<Frozen>,
    /// The incident it belongs to, once it has fired.
    pub incident: Option<IncidentId>,
}

impl Alert {
    /// The name of the rule: the label `alertname`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or(&self.rule)
    }

    /// How much it matters: the label `severity`, a warning when it is absent or another word.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let word = self.labels.get("severity").unwrap_or_default();
        Severity::from_word(word).unwrap_or(Severity::Warning)
    }

    /// One of the annotations.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }
}

/// Why an alert cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// The number of an incident; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

impl std::str::FromStr for IncidentId {
    type Err = std::num::ParseIntError;

    /// Reads `142`, `INC-142` and `inc-142`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("INC-") => &text[4..],
            _ => text,
        };
        number.parse().map(Self)
    }
}

/// Alerts that belong together, with a life.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// What makes alerts belong to it: the rule's name and the instance.
    pub key: String,
    /// One sentence: the summary of its first alert.
    pub title: String,
    /// The worst of its alerts so far.
    pub severity: Severity,
    /// The labels that its alerts have in common.
    pub labels: Labels,
    /// Since when the condition holds: before it was opened.
    pub onset: Timestamp,
    /// When it was opened.
    pub opened: Timestamp,
    /// Who has it in hand.
    pub acknowledged: Option<Acknowledgement>,
    /// How it ended; gone again when it is reopened.
    pub resolved: Option<Resolution>,
    /// How often it was reopened.
    pub reopened: u32,
    /// When it was reopened last.
    pub reopened_at: Option<Timestamp>,
    /// Entries of its time line, those beyond [`super::ENTRIES_MAX`] counted.
    pub entries: u32,
    /// How many of its alerts fire.
    pub firing: u32,
    /// How many of those cannot be judged at the moment.
    pub frozen: u32,
}

impl Incident {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> IncidentState {
        match (&self.resolved, &self.acknowledged) {
            (Some(_), _) => IncidentState::Resolved,
            (None, Some(_)) => IncidentState::Acknowledged,
            (None, None) => IncidentState::Open,
        }
    }

    /// How long it lasted, or has so far, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self, now: Timestamp) -> i64 {
        let end = self.resolved.as_ref().map_or(now, |r| r.at);
        end.since_ms(self.opened).max(0)
    }
}

/// Who took an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they wrote; may be empty.
    pub note: String,
}

/// How an incident ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// When.
    pub at: Timestamp,
    /// Who; `None` when its alerts ended by themselves.
    pub by: Option<String>,
    /// Why, in words; may be empty.
    pub reason: String,
}

/// An incident to be opened.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIncident {
    /// See [`Incident::key`].
    pub key: String,
    /// See [`Incident::title`].
    pub title: String,
    /// See [`Incident::severity`].
    pub severity: Severity,
    /// See [`Incident::labels`].
    pub labels: Labels,
    /// See [`Incident::onset`].
    pub onset: Timestamp,
    /// See [`Incident::opened`].
    pub opened: Timestamp,
}

/// One entry of a time line.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place in the incident's time line, from 1.
    pub seq: u32,
    /// When.
    pub at: Timestamp,
    /// Who; `vigie` for what vigie did itself.
    pub who: String,
    /// What happened.
    pub what: What,
    /// Where the incident stood before.
    pub from: IncidentState,
    /// Where it stood after.
    pub to: IncidentState,
    /// The alert that it is about, if it is about one.
    pub alert: Option<Labels>,
    /// The value of the alert's expression at the time.
    pub value: Option<f64>,
    /// Why, or what was written; may be empty.
    pub reason: String,
}

/// An entry to be written; [`Entry`] says what the fields are.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of Entry")]
pub struct NewEntry<'a> {
    pub at: Timestamp,
    pub who: &'a str,
    pub what: What,
    pub from: IncidentState,
    pub to: IncidentState,
    pub alert: Option<&'a Alert>,
    pub reason: &'a str,
}

/// Which incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only those that are not resolved.
    pub unresolved: bool,
    /// Only those that lasted at this time or later.
    pub since: Option<Timestamp>,
    /// Only those opened before.
    pub until: Option<Timestamp>,
    /// Only those with a smaller number: the next page.
    pub before: Option<IncidentId>,
    /// At most so many.
    pub limit: usize,
}

impl Default for IncidentFilter {
    fn default() -> Self {
        Self {
            unresolved: false,
            since: None,
            until: None,
            before: None,
            limit: 100,
        }
    }
}

impl IncidentFilter {
    /// Those that are not resolved.
    #[must_use]
    pub fn unresolved() -> Self {
        Self {
            unresolved: true,
            ..Self::default()
        }
    }
}

/// Something that was altered: a mark on the time line of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: ChangeKind,
    /// What, in words.
    pub text: String,
    /// What it concerns (`instance`, `service`…).
    pub labels: Labels,
}
