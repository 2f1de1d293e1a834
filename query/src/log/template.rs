//! The pattern of a message: what stays when its variable parts are left out.
//!
//! The rule, one pass and no state, so the same message gives the same pattern wherever it is asked:
//! a token is a run of ASCII letters, digits, `_`, `.` and `-`. A token with a digit is a variable,
//! but for a final `.`, and for what ends at the last `-` before its first digit (`blk_-`, `req-`).

/// Where a variable stood.
pub(super) const VARIABLE: &[u8] = b"<*>";

/// The pattern of a message, `<*>` for each variable.
#[must_use]
pub fn template(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    template_into(message, &mut out);
    out
}

/// As [`template`], appended to a buffer of the caller's.
pub fn template_into(message: &[u8], out: &mut Vec<u8>) {
    let mut rest = message;
    while !rest.is_empty() {
        let token_len = rest
            .iter()
            .position(|b| !in_token(*b))
            .unwrap_or(rest.len());
        let (token, tail) = rest.split_at(token_len);
        push_token(token, out);
        let gap_len = tail.iter().position(|b| in_token(*b)).unwrap_or(tail.len());
        let (gap, next) = tail.split_at(gap_len);
        out.extend_from_slice(gap);
        rest = next;
    }
}

fn push_token(token: &[u8], out: &mut Vec<u8>) {
    let Some(digit) = token.iter().position(u8::is_ascii_digit) else {
        out.extend_from_slice(token);
        return;
    };
    let dash = token[..digit].iter().rposition(|b| *b == b'-');
    out.extend_from_slice(&token[..dash.map_or(0, |at| at + 1)]);
    out.extend_from_slice(VARIABLE);
    if token.ends_with(b".") {
        out.push(b'.');
    }
}

fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn variables_are_left_out() {
        let check = |message: &str, expected: &str| {
            let found = template(message.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), expected, "{message:?}");
        };
        check("", "");
        check("Server listening on port.", "Server listening on port.");
        check(
            "Failed password for root from 10.0.0.7 port 4242 ssh2",
            "Failed password for root from <*> port <*> <*>",
        );
        check("took 12ms.", "took <*>.");
        check("blk_-1608999 done", "blk_-<*> done");
        check("req-ab-77f ok", "req-ab-<*> ok");
        check("a-1-2", "a-<*>");
        check("temp -5", "temp -<*>");
        check("x=1,y=2", "x=<*>,y=<*>");
        check("für 3 Käufe", "für <*> Käufe");
    }
}
