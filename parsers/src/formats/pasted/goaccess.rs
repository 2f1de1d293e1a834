//! GoAccess' three settings, each behind its name as in `goaccess.conf`, or the name of one of its own
//! formats:
//! `log-format %h %^[%d:%t %^] "%r" %s %b date-format %d/%b/%Y time-format %H:%M:%S`, `COMBINED`.

use super::Fault;
use super::build::{Builder, Found};
use super::clock::{self, Part};
use super::template::{Template, What};
use super::text::Text;
use crate::record::{Field, Kind};

/// Name, log format, date format, time format.
const PRESETS: &[[&str; 4]] = &[
    [
        "COMBINED",
        "%h %e %^ [%x] \"%r\" %s %b \"%R\" \"%u\"",
        CLF,
        "",
    ],
    [
        "VCOMBINED",
        "%v:%^ %h %^ %e [%x] \"%r\" %s %b \"%R\" \"%u\"",
        CLF,
        "",
    ],
    ["COMMON", "%h %^ %e [%x] \"%r\" %s %b", CLF, ""],
    ["VCOMMON", "%v:%^ %h %^ %e [%x] \"%r\" %s %b", CLF, ""],
    [
        "W3C",
        "%d %t %^ %m %U %q %^ %^ %h %u %R %s %^ %^ %L",
        "%Y-%m-%d",
        "%H:%M:%S",
    ],
    [
        "CLOUDFRONT",
        "%d\t%t\t%^\t%b\t%h\t%m\t%v\t%U\t%s\t%R\t%u\t%q\t%^\t%C\t%^\t%^\t%^\t%^\t%T\t%^\t%K\t%k\t%^\t%H\t%^",
        "%Y-%m-%d",
        "%H:%M:%S",
    ],
    [
        "CLOUDSTORAGE",
        "\"%x\",\"%h\",%^,%^,\"%m\",\"%U\",\"%s\",%^,\"%b\",\"%D\",%^,\"%R\",\"%u\"%^",
        "%f",
        "",
    ],
    [
        "AWSELB",
        "%^ %dT%t.%^ %^ %h:%^ %^ %^ %T %^ %s %^ %^ %b \"%r\" \"%u\" %k %K %^ \"%^\" \"%v\"%^",
        "%Y-%m-%d",
        "%H:%M:%S",
    ],
    [
        "AWSALB",
        "%^ %dT%t.%^ %v %h:%^ %^ %^ %T %^ %s %^ %^ %b \"%r\" \"%u\" %k %K %^",
        "%Y-%m-%d",
        "%H:%M:%S",
    ],
    [
        "AWSS3",
        "%^ %v [%x] %h %^\"%r\" %s %^ %b %^ %L %^ \"%R\" \"%u\"%^",
        CLF,
        "",
    ],
    ["SQUID", "%x.%^ %~%L %h %^/%s %b %m %U %^", "%s", ""],
    [
        "TRAEFIKCLF",
        "%h - %e [%x] \"%r\" %s %b \"%R\" \"%u\" %^ \"%^\" \"%^\" %Lms",
        CLF,
        "",
    ],
];
const CLF: &str = "%d/%b/%Y:%H:%M:%S %z";

/// The settings of one definition.
struct Settings {
    log: Text,
    date: Text,
    time: Text,
}

pub(super) fn compile(given: &Text) -> Result<Template, Fault> {
    let settings = settings(given)?;
    let log = &settings.log;
    let mut builder = Builder::with_escapes(true);
    let mut at = 0;
    while let Some(byte) = log.get(at) {
        match (byte, log.get(at + 1)) {
            (b'\\', Some(next)) => {
                builder.byte(match next {
                    b't' => b'\t',
                    other => other,
                });
                at += 2;
            }
            (b'%', _) if log.range(at, at + 8) == b"%d:%t %^" && settings.is_clf() => {
                // GoAccess leaves the zone out; it is there.
                builder.piece(Found::new(What::Clf, 2, "time"), log, at, at + 8);
                at += 8;
            }
            (b'%', _) => at = piece(&settings, at, &mut builder)?,
            (b'~', Some(b'h')) => at = list(log, at, &mut builder)?,
            _ => {
                builder.byte(byte);
                at += 1;
            }
        }
    }
    builder.finish()
}

impl Settings {
    fn is_clf(&self) -> bool {
        self.date.bytes() == b"%d/%b/%Y" && matches!(self.time.bytes(), b"%H:%M:%S" | b"%T")
    }
}

/// Takes `log-format … date-format … time-format …` apart, in any order and on any lines.
fn settings(given: &Text) -> Result<Settings, Fault> {
    if let Some([_, log, date, time]) = PRESETS
        .iter()
        .find(|[name, ..]| given.bytes() == name.as_bytes())
    {
        let [log, date, time] = [log, date, time].map(|t| Text::of(t));
        return Ok(Settings { log, date, time });
    }
    const KEYS: [&str; 4] = [
        "log-format",
        "date-format",
        "time-format",
        "datetime-format",
    ];
    let mut found: Vec<(usize, &str)> = Vec::new();
    for at in 0..given.len() {
        let before = at.checked_sub(1).and_then(|n| given.get(n));
        if !before.is_none_or(|b| b.is_ascii_whitespace()) {
            continue;
        }
        let rest = given.range(at, given.len());
        found.extend(KEYS.iter().filter_map(|key| {
            let after = rest.strip_prefix(key.as_bytes())?.first()?;
            (after.is_ascii_whitespace() || *after == b'=').then_some((at, *key))
        }));
    }
    let part = |key: &str| {
        let n = found.iter().position(|(_, k)| *k == key)?;
        let (at, _) = found.get(n)?;
        let end = found.get(n + 1).map_or(given.len(), |(end, _)| *end);
        let value = given.slice(at + key.len(), end).trim();
        let skip = usize::from(value.get(0) == Some(b'='));
        Some(value.slice(skip, value.len()).trim())
    };
    let first = found.first().map_or(given.len(), |(at, _)| *at);
    let bare = Some(given.slice(0, first).trim()).filter(|t| t.len() > 0);
    let Some(log) = part("log-format").or(bare) else {
        return Err(given.fault(0, "there is no log-format"));
    };
    Ok(Settings {
        log,
        date: part("date-format")
            .or_else(|| part("datetime-format"))
            .unwrap_or_default(),
        time: part("time-format").unwrap_or_default(),
    })
}

fn piece(settings: &Settings, at: usize, builder: &mut Builder) -> Result<usize, Fault> {
    let log = &settings.log;
    let known = |field, label: &str| Found::new(What::Known(field, Kind::Plain), 1, label);
    let text = |field, label: &str| Found::new(What::Known(field, Kind::Quoted), 1, label);
    let count = |kind, rank| {
        let what = What::Number(Field::Duration, kind);
        Found::new(what, rank, "duration_other")
    };
    let found = match log.get(at + 1) {
        Some(b'^') => Found::new(What::Skip, 0, ""),
        Some(b'~') => {
            builder.blanks();
            return Ok(at + 2);
        }
        Some(b'%') => {
            builder.byte(b'%');
            return Ok(at + 2);
        }
        Some(letter @ (b'd' | b't' | b'x')) => {
            let what = time(settings, letter, at)?;
            Found::new(what, 1, "time")
        }
        Some(b'h') => known(Field::Ip, "client"),
        Some(b'v') => Found::new(What::Vhost, 1, "server_name"),
        Some(b'e') => text(Field::User, "user"),
        Some(b'C') => Found::named("cache", Kind::Quoted),
        Some(b'r') => Found::new(What::Request(Kind::Quoted), 9, "request"),
        Some(b'm') => known(Field::Method, "request_method"),
        Some(b'U') => Found::new(What::Target(Kind::Quoted), 2, "uri"),
        Some(b'q') => Found::new(What::Query(Kind::Quoted), 3, "args"),
        Some(b'H') => known(Field::Protocol, "request_protocol"),
        Some(b's') => Found::new(What::Status, 1, "status"),
        Some(b'b') => Found::new(What::Number(Field::Bytes, Kind::Plain), 1, "bytes"),
        Some(b'R') => text(Field::Referer, "referer"),
        Some(b'u') => text(Field::Agent, "agent"),
        Some(b'n') => count(Kind::Nanos, 4),
        Some(b'D') => count(Kind::Micros, 3),
        Some(b'L') => count(Kind::Millis, 2),
        Some(b'T') => count(Kind::Plain, 1),
        Some(b'K') => Found::named("ssl_protocol", Kind::Quoted),
        Some(b'k') => Found::named("ssl_cipher", Kind::Quoted),
        Some(b'M') => Found::named("sent.content_type", Kind::Quoted),
        Some(other) => {
            let what = format!("unknown specifier `%{}`", char::from(other));
            return Err(log.fault(at, what));
        }
        None => return Err(log.fault(at, "`%` stands alone at the end")),
    };
    builder.piece(found, log, at, at + 2);
    Ok(at + 2)
}

fn time(settings: &Settings, letter: u8, at: usize) -> Result<What, Fault> {
    let (format, name) = match letter {
        b't' => (&settings.time, "time-format"),
        _ => (&settings.date, "date-format"),
    };
    if format.len() == 0 {
        let what = format!("`%{}` needs a {name}", char::from(letter));
        return Err(settings.log.fault(at, what));
    }
    if format.bytes() == CLF.as_bytes() {
        return Ok(What::Clf);
    }
    // Alone as the date-format, GoAccess' `%f` is a count of microseconds since 1970.
    if format.bytes() == b"%f" && letter != b't' {
        return Ok(What::Clock([Part::Epoch(1_000_000)].into()));
    }
    Ok(What::Clock(clock::compile(format)?.into()))
}

/// `~h{, }`: the client is the first of a list.
fn list(log: &Text, at: usize, builder: &mut Builder) -> Result<usize, Fault> {
    let (mut separators, mut end) = (b", ".to_vec(), at + 2);
    if log.get(end) == Some(b'{') {
        let inside = log.range(end + 1, log.len());
        let Some(len) = inside.iter().position(|&b| b == b'}') else {
            return Err(log.fault(end, "`{` is not closed"));
        };
        separators = log.range(end + 1, end + 1 + len).to_vec();
        end += len + 2;
    }
    let mut found = Found::new(What::First(separators.into()), 2, "forwarded_for");
    found.list = true;
    builder.piece(found, log, at, end);
    Ok(end)
}
