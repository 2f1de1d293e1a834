//! Syslog's severities and facilities (RFC 5424 §6.2.1), used for every kind of log.

/// How bad an event is; the order of the variants is syslog's: smaller is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    /// 0: the system is unusable.
    Emerg,
    /// 1: act at once.
    Alert,
    /// 2: critical.
    Crit,
    /// 3: an error.
    Err,
    /// 4: a warning.
    Warn,
    /// 5: normal but significant.
    Notice,
    /// 6: informational.
    Info,
    /// 7: debugging.
    Debug,
}

impl Severity {
    /// All of them, worst first; the index is syslog's number.
    pub const ALL: [Self; 8] = [
        Self::Emerg,
        Self::Alert,
        Self::Crit,
        Self::Err,
        Self::Warn,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The severity of syslog's number, `None` above 7.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The word the log query uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Err => "err",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Reads the words that programs use (`error`, `WARNING`, `E`…), case-blind.
    #[must_use]
    pub fn from_word(word: &[u8]) -> Option<Self> {
        /// Of the longest word.
        const LEN_MAX: usize = 11;
        let mut lower = [0; LEN_MAX];
        let lower = lower.get_mut(..word.len())?;
        for (lower, byte) in lower.iter_mut().zip(word) {
            *lower = byte.to_ascii_lowercase();
        }
        Some(match &*lower {
            b"emerg" | b"emergency" | b"panic" => Severity::Emerg,
            b"alert" => Severity::Alert,
            b"crit" | b"critical" | b"fatal" | b"ftl" | b"severe" => Severity::Crit,
            b"err" | b"error" => Severity::Err,
            b"warn" | b"warning" | b"wrn" => Severity::Warn,
            b"notice" => Severity::Notice,
            b"info" | b"information" | b"inf" | b"log" => Severity::Info,
            b"debug" | b"dbg" | b"trace" | b"trc" => Severity::Debug,
            _ => return None,
        })
    }
}

/// Where a syslog message comes from, 0 (kern) to 23 (local7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facility(u8);

impl Facility {
    /// syslog's names, by number.
    pub const NAMES: [&'static str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2",
        "local3", "local4", "local5", "local6", "local7",
    ];

    /// The facility of syslog's number, `None` above 23.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < Self::NAMES.len()).then_some(Self(number))
    }

    /// syslog's number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// syslog's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES
            .get(usize::from(self.0))
            .copied()
            .unwrap_or("unknown")
    }
}
