//! How the writer is: for pages, `vigie status` and its own figures.

use vigie_parsers::Timestamp;

use crate::Error;

/// Why nothing can be written to the store, and since when. What is received waits in memory meanwhile, as
/// far as it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When the first of these commits failed.
    pub since: Timestamp,
    /// Commits that failed one after the other.
    pub failures: u64,
    /// Why the last one did.
    pub why: String,
}

/// A time in which nothing could be written, and that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTrouble {
    /// What was wrong.
    pub trouble: Trouble,
    /// When a commit succeeded again.
    pub until: Timestamp,
}

impl PastTrouble {
    /// Its key among the settings.
    pub(crate) const KEY: &str = "store.trouble";

    /// The text under the key.
    pub(crate) fn tell(trouble: &Trouble, until: Timestamp) -> String {
        let Trouble {
            since,
            failures,
            why,
        } = trouble;
        format!("{} {} {failures} {why}", since.0, until.0)
    }

    /// Reads it again; `None` where it makes no sense.
    pub(crate) fn heard(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut time = || Some(Timestamp(parts.next()?.parse().ok()?));
        let (since, until) = (time()?, time()?);
        let failures = parts.next()?.parse().ok()?;
        let why = parts.next()?.to_owned();
        let trouble = Trouble {
            since,
            failures,
            why,
        };
        Some(Self { trouble, until })
    }
}

/// How the writer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When the last commit succeeded.
    pub committed_at: Option<Timestamp>,
    /// Why the last commit did not, if it did not.
    pub trouble: Option<Trouble>,
    /// Commits since the start.
    pub commits: u64,
    /// Commits that failed, since the start.
    pub failures: u64,
}

impl Health {
    /// A commit succeeded.
    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        self.committed_at = Some(now);
        self.commits += 1;
        self.trouble = None;
    }

    /// A commit failed.
    pub(crate) fn failed(&mut self, error: &Error, now: Timestamp) {
        self.failures += 1;
        let before = self.trouble.take();
        self.trouble = Some(Trouble {
            since: before.as_ref().map_or(now, |t| t.since),
            failures: before.map_or(0, |t| t.failures) + 1,
            why: error.to_string(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_begins_with_the_first_failure_and_ends_with_a_success() {
        let mut health = Health::default();
        health.succeeded(Timestamp(1));
        health.failed(&Error::Full, Timestamp(2));
        health.failed(&Error::Closed, Timestamp(3));
        let trouble = Trouble {
            since: Timestamp(2),
            failures: 2,
            why: Error::Closed.to_string(),
        };
        assert_eq!(health.trouble.as_ref(), Some(&trouble));
        let told = PastTrouble::tell(&trouble, Timestamp(4));
        let until = Timestamp(4);
        assert_eq!(
            PastTrouble::heard(&told),
            Some(PastTrouble { trouble, until })
        );
        health.succeeded(Timestamp(4));
        health.failed(&Error::Full, Timestamp(9));
        let trouble = health.trouble.unwrap();
        assert_eq!((trouble.since.0, trouble.failures), (9, 1));
        assert_eq!((health.commits, health.failures), (2, 3));
        for text in ["", "1 2", "1 2 x y", "a b c d"] {
            assert_eq!(PastTrouble::heard(text), None, "{text}");
        }
    }
}
