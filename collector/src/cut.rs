//! The mark of lines that are not whole.

use std::borrow::Cow;
use std::sync::Arc;

use vigie_parsers::Origin;

use crate::lines::LINE_LEN_MAX;

/// The field that lines have whose end is missing.
const FIELD: (&str, &str) = ("truncated", "true");

/// Where a line comes from, with the field `truncated` if its end is missing or about to be cut. Such lines are
/// long or rare, so each may have an origin of its own.
pub(crate) fn origin<'a>(
    origin: &'a Arc<Origin>,
    line: &[u8],
    is_cut: bool,
) -> Cow<'a, Arc<Origin>> {
    if !is_cut && line.len() <= LINE_LEN_MAX {
        return Cow::Borrowed(origin);
    }
    let mut marked = Origin::clone(origin);
    marked.fields.push((FIELD.0.to_owned(), FIELD.1.to_owned()));
    Cow::Owned(Arc::new(marked))
}
