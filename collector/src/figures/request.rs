//! What an access line says of its request.

use vigie_parsers::{Field, Name, Record};

/// What an access line says.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) vhost: Option<&'a [u8]>,
    pub(super) method: &'a [u8],
    pub(super) status: Option<u16>,
    pub(super) bytes: Option<f64>,
    pub(super) duration: Option<f64>,
    pub(super) agent: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A line with a method and a status is an access line, whatever its format. Of two pieces for one
    /// field the first counts, as in a query.
    pub(super) fn read(line: &'a [u8], record: &Record) -> Option<Self> {
        let mut request = Self::default();
        let mut found = false;
        for span in &record.fields {
            let Name::Known(field) = span.name else {
                continue;
            };
            let text = span.text(line);
            match field {
                Field::Vhost => request.vhost = request.vhost.or(Some(text)),
                Field::Method if request.method.is_empty() => request.method = text,
                Field::Status if !found => {
                    found = true;
                    request.status = number(text).and_then(|n| u16::try_from(n).ok());
                }
                Field::Bytes if request.bytes.is_none() => {
                    request.bytes = number(text).map(float);
                }
                Field::Duration if request.duration.is_none() => {
                    request.duration = seconds(&span.value(line));
                }
                Field::Agent => request.agent = request.agent.or(Some(text)),
                _ => {}
            }
        }
        (found && (!request.method.is_empty() || record.find("request").is_some()))
            .then_some(request)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    crate::sources::number(text)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the size of an answer is far below 2^53"
)]
fn float(n: u64) -> f64 {
    n as f64
}

fn seconds(text: &[u8]) -> Option<f64> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}
