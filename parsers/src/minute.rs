//! Stamps in the minute of the stamp before: nearly all are, and then only the seconds are read.
//!
//! What is remembered is a stamp's text up to the seconds, and what that text means. The same text
//! means the same, so this only saves time.

use crate::stamp::{self, Bsd, Stamp};
use crate::{Context, Timestamp};

/// The last minutes, by the way they were written.
#[derive(Clone, Debug)]
pub(crate) struct Minutes {
    /// `2026-11-21T05:10:`
    iso: Minute<17>,
    /// `21/Nov/2026:05:19:`
    clf: Minute<18>,
    /// `Nov 21 05:11:`, with the year that was found for it.
    bsd: Option<Minute<13>>,
}

/// The text of a minute and its civil time in ms.
#[derive(Clone, Debug)]
struct Minute<const N: usize> {
    text: [u8; N],
    civil: i64,
}

impl<const N: usize> Minute<N> {
    /// The civil ms of a whole second in this minute, if `s` begins so.
    #[inline]
    fn second(&self, s: &[u8]) -> Option<i64> {
        let (text, rest) = s.split_first_chunk::<N>()?;
        let [a @ b'0'..=b'5', b @ b'0'..=b'9', ..] = rest else {
            return None;
        };
        if *text != self.text {
            return None;
        }
        Some(self.civil + (i64::from(a - b'0') * 10 + i64::from(b - b'0')) * 1000)
    }

    /// The minute of a stamp whose hour begins at `hour` and whose seconds follow the text.
    fn of(s: &[u8], hour: usize, civil: i64) -> Option<Self> {
        let text = *s.first_chunk::<N>()?;
        let colons = text.last() == Some(&b':') && text.get(hour + 2) == Some(&b':');
        (colons && hour + 6 == N).then(|| Self {
            text,
            civil: civil - civil.rem_euclid(60_000),
        })
    }
}

impl Minutes {
    pub(crate) const NONE: Self = Self {
        iso: Minute {
            text: *b"1970-01-01T00:00:",
            civil: 0,
        },
        clf: Minute {
            text: *b"01/Jan/1970:00:00:",
            civil: 0,
        },
        bsd: None,
    };
}

/// As [`stamp::iso`].
#[inline]
pub(crate) fn iso(cx: &mut Context, s: &[u8]) -> Option<Stamp> {
    if let Some(civil) = cx.minutes.iso.second(s) {
        return Some(stamp::iso_rest(s, civil, 19));
    }
    let found = stamp::iso(s)?;
    if let Some(minute) = Minute::of(s, 11, found.civil) {
        cx.minutes.iso = minute;
    }
    Some(found)
}

/// As [`stamp::clf`].
#[inline]
pub(crate) fn clf(cx: &mut Context, s: &[u8]) -> Option<Stamp> {
    if let Some(civil) = cx.minutes.clf.second(s) {
        return Some(stamp::clf_rest(s, civil, 20));
    }
    let found = stamp::clf(s)?;
    if let Some(minute) = Minute::of(s, 12, found.civil) {
        cx.minutes.clf = minute;
    }
    Some(found)
}

/// As [`stamp::bsd`], but resolved: the time, whether it is guessed, and the length.
#[inline]
pub(crate) fn bsd(cx: &mut Context, s: &[u8]) -> Option<Option<(Timestamp, bool, usize)>> {
    // What may follow the seconds otherwise is a fraction or a year.
    let plain = match s.get(15..18) {
        Some([b' ', b'1' | b'2', b'9' | b'0']) => false,
        Some([b' ', ..]) => true,
        _ => false,
    };
    if plain
        && let Some(civil) = cx.minutes.bsd.as_ref().and_then(|m| m.second(s))
        && let Some(time) = cx.within_year(civil)
    {
        return Some(Some((time, true, 15)));
    }
    Some(match stamp::bsd(s)? {
        Bsd::Full(full) => {
            let (time, guessed) = full.resolve(cx);
            Some((time, guessed, full.len))
        }
        Bsd::Short(short) => short.resolve(cx).map(|time| {
            if let Some(minute) = Minute::of(s, 7, short.civil(cx)) {
                cx.minutes.bsd = Some(minute);
            }
            (time, true, short.len)
        }),
    })
}
