//! The part of Go's templates that alerting rules use: labels, the value, pipes and functions.
//!
//! A text is read once, when its rule is. What cannot be read or expanded stays in the text as it
//! was written: an alert with an odd sentence is better than no alert.

use vigie_query::Labels;

use super::humanize;

/// Parentheses and pipes nest no deeper; people reach two.
const DEPTH_MAX: usize = 16;
/// `printf` pads and rounds to no more than this.
const WIDTH_MAX: usize = 100;

/// A text with actions in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Action { source: String, pipe: Pipe },
}

/// Commands; each gets the result of the one before as its last argument.
type Pipe = Vec<Vec<Operand>>;

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Label(String),
    Value,
    Empty,
    Text(String),
    Number(f64),
    Function(String),
    Pipe(Pipe),
}

/// What an operand is worth.
#[derive(Clone, Debug)]
enum Worth {
    Text(String),
    Number(f64),
}

impl Worth {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(n) => vigie_query::promql::format_value(*n),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(n) => Some(*n),
        }
    }
}

impl Template {
    /// Reads a text. Beside the template, what in it is beyond this part of the language.
    pub(crate) fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut parts, mut complaints, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some(start) = rest.find("{{") {
            let Some(length) = rest[start..].find("}}") else {
                complaints.push("`{{` without `}}`".to_owned());
                break;
            };
            let source = &rest[start..start + length + 2];
            let mut before = &rest[..start];
            rest = &rest[start + length + 2..];
            let mut inside = &source[2..source.len() - 2];
            if let Some(trimmed) = inside.strip_prefix("- ") {
                (inside, before) = (trimmed, before.trim_end());
            }
            if let Some(trimmed) = inside.strip_suffix(" -") {
                (inside, rest) = (trimmed, rest.trim_start());
            }
            parts.push(Part::Text(before.to_owned()));
            match pipe(inside) {
                Ok(pipe) => parts.push(Part::Action {
                    source: source.to_owned(),
                    pipe,
                }),
                Err(complaint) => {
                    complaints.push(complaint);
                    parts.push(Part::Text(source.to_owned()));
                }
            }
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        (Self(parts), complaints)
    }

    /// As it is written, but for the space that its actions trim.
    pub(crate) fn source(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Action { source, .. } => source.clone(),
        };
        self.0.iter().map(part).collect()
    }

    /// The text for one alert.
    pub(crate) fn expand(&self, labels: &Labels, value: f64) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Action { source, pipe } => match run(pipe, labels, value) {
                    Some(worth) => out.push_str(&worth.text()),
                    None => out.push_str(source),
                },
            }
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Pipe,
    Open,
    Close,
}

fn tokens(source: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '|' => tokens.push(Token::Pipe),
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '"' | '`' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            Some('n') => text.push('\n'),
                            Some('t') => text.push('\t'),
                            Some(other) => text.push(other),
                            None => {}
                        },
                        Some(other) => text.push(other),
                        None => return Err("a text without its closing quote".to_owned()),
                    }
                }
                tokens.push(Token::Text(text));
            }
            first => {
                let mut word = String::from(first);
                while let Some(&next) = chars.peek() {
                    if next.is_whitespace() || "|()\"`".contains(next) {
                        break;
                    }
                    word.push(next);
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn pipe(source: &str) -> Result<Pipe, String> {
    commands(&mut tokens(source)?.into_iter(), 0)
}

/// Reads commands up to the end, or inside parentheses (depth > 0) up to the closing one.
fn commands(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Result<Pipe, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".to_owned());
    }
    let (mut pipe, mut command) = (Vec::new(), Vec::new());
    let mut closed = depth == 0;
    while let Some(token) = tokens.next() {
        match token {
            Token::Pipe => pipe.push(std::mem::take(&mut command)),
            Token::Open => command.push(Operand::Pipe(commands(tokens, depth + 1)?)),
            Token::Close => {
                closed = depth > 0;
                if !closed {
                    return Err("`)` without `(`".to_owned());
                }
                break;
            }
            Token::Text(text) => command.push(Operand::Text(text)),
            Token::Word(word) => command.push(operand(word)?),
        }
    }
    if !closed {
        return Err("`(` without `)`".to_owned());
    }
    pipe.push(command);
    if pipe.iter().any(Vec::is_empty) {
        return Err("an empty action".to_owned());
    }
    Ok(pipe)
}

fn operand(word: String) -> Result<Operand, String> {
    for prefix in ["$labels.", ".Labels."] {
        if let Some(name) = word.strip_prefix(prefix) {
            return Ok(Operand::Label(name.to_owned()));
        }
    }
    if word.starts_with("$externalLabels.") || word.starts_with(".ExternalLabels.") {
        return Ok(Operand::Empty);
    }
    match word.as_str() {
        "$value" | ".Value" => Ok(Operand::Value),
        "$externalURL" | ".ExternalURL" => Ok(Operand::Empty),
        "$labels" | ".Labels" => Err("`$labels` without the name of a label".to_owned()),
        known if FUNCTIONS.contains(&known) => Ok(Operand::Function(word)),
        _ => match word.parse() {
            Ok(number) => Ok(Operand::Number(number)),
            Err(_) => Err(format!(
                "`{word}` is not supported here; known: $labels.NAME, $value, {}",
                FUNCTIONS.join(", ")
            )),
        },
    }
}

const FUNCTIONS: [&str; 10] = [
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "printf",
    "stripPort",
    "title",
    "toLower",
    "toUpper",
];

fn run(pipe: &Pipe, labels: &Labels, value: f64) -> Option<Worth> {
    let mut carried = None;
    for command in pipe {
        let (first, rest) = command.split_first()?;
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(worth(operand, labels, value)?);
        }
        arguments.extend(carried.take());
        carried = Some(match first {
            Operand::Function(name) => call(name, &arguments)?,
            operand if arguments.is_empty() => worth(operand, labels, value)?,
            _ => return None,
        });
    }
    carried
}

fn worth(operand: &Operand, labels: &Labels, value: f64) -> Option<Worth> {
    Some(match operand {
        Operand::Label(name) => Worth::Text(labels.get(name).unwrap_or_default().to_owned()),
        Operand::Value => Worth::Number(value),
        Operand::Empty => Worth::Text(String::new()),
        Operand::Text(text) => Worth::Text(text.clone()),
        Operand::Number(number) => Worth::Number(*number),
        Operand::Pipe(pipe) => run(pipe, labels, value)?,
        Operand::Function(_) => return None,
    })
}

fn call(name: &str, arguments: &[Worth]) -> Option<Worth> {
    if name == "printf" {
        let (format, rest) = arguments.split_first()?;
        return Some(Worth::Text(printf(&format.text(), rest)));
    }
    let [argument] = arguments else {
        return None;
    };
    let text = argument.text();
    Some(Worth::Text(match name {
        "humanize" => humanize::metric(argument.number()?),
        "humanize1024" => humanize::binary(argument.number()?),
        "humanizeDuration" => humanize::duration(argument.number()?),
        "humanizePercentage" => humanize::percentage(argument.number()?),
        "humanizeTimestamp" => humanize::timestamp(argument.number()?),
        "stripPort" => strip_port(&text).to_owned(),
        "title" => {
            let mut chars = text.chars();
            let first = chars.next().map(char::to_uppercase);
            first.into_iter().flatten().chain(chars).collect()
        }
        "toLower" => text.to_lowercase(),
        "toUpper" => text.to_uppercase(),
        _ => return None,
    }))
}

fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
            match bare {
                Some(address) => address,
                // An IPv6 address without brackets has no port.
                None if name.contains(':') => host,
                None => name,
            }
        }
        _ => host,
    }
}

/// `%s %v %d %f %e %g %q %%` with flags `-`, `0`, width and precision; as lenient about types as
/// rules need: `%d` of 3.0 is 3.
fn printf(format: &str, arguments: &[Worth]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        let mut verb = None;
        for next in chars.by_ref() {
            if next.is_ascii_alphabetic() || next == '%' {
                verb = Some(next);
                break;
            }
            spec.push(next);
        }
        match verb {
            Some('%') => out.push('%'),
            Some(verb) => {
                if let Some(argument) = arguments.next() {
                    out.push_str(&padded(&spec, verb, argument));
                }
            }
            None => {}
        }
    }
    out
}

fn padded(spec: &str, verb: char, argument: &Worth) -> String {
    let flags = spec.len() - spec.trim_start_matches(['-', '+', ' ', '0', '#']).len();
    let (flags, sizes) = spec.split_at(flags);
    let (width, precision) = sizes.split_once('.').unwrap_or((sizes, ""));
    let size = |text: &str| text.parse::<usize>().ok().map(|n| n.min(WIDTH_MAX));
    let digits = size(precision).or(sizes.contains('.').then_some(0));
    let text = match (verb, argument.number()) {
        ('d', Some(n)) => format!("{:.0}", n.trunc()),
        ('f' | 'F', Some(n)) if n.is_finite() => format!("{n:.*}", digits.unwrap_or(6)),
        ('e', Some(n)) if n.is_finite() => format!("{n:.*e}", digits.unwrap_or(6)),
        ('g', Some(n)) if digits.is_some() => humanize::general(n, digits.unwrap_or(6)),
        ('q', _) => format!("{:?}", argument.text()),
        _ => argument.text(),
    };
    let width = size(width).unwrap_or(0);
    if flags.contains('-') {
        format!("{text:<width$}")
    } else if flags.contains('0') && argument.number().is_some() {
        format!("{text:0>width$}")
    } else {
        format!("{text:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(text: &str) -> String {
        let labels = Labels::new([("instance", "web1:9100"), ("mountpoint", "/var")]);
        Template::parse(text).0.expand(&labels, 1234.5678)
    }

    #[test]
    fn texts_expand_as_in_prometheus() {
        for (text, expected) in [
            ("plain", "plain"),
            (
                "{{ $labels.mountpoint }} on {{$labels.instance}}",
                "/var on web1:9100",
            ),
            ("{{ .Labels.mountpoint }}={{ .Value }}", "/var=1234.5678"),
            ("[{{ $labels.absent }}]", "[]"),
            ("{{ $value | humanize }}", "1.235k"),
            ("{{ humanize $value }}", "1.235k"),
            ("{{ $value | humanize1024 }}B", "1.206kiB"),
            ("{{ $value | humanizeDuration }}", "20m 34s"),
            ("{{ $value | humanizePercentage }}", "1.235e+05%"),
            ("{{ printf \"%.2f\" $value }}", "1234.57"),
            ("{{ $value | printf `%.1f %%` }}", "1234.6 %"),
            (
                "{{ printf \"%s has %d\" $labels.instance $value }}",
                "web1:9100 has 1234",
            ),
            (
                "{{ printf \"%6.1f|%-6d|%06d\" $value 3 4 }}",
                "1234.6|3     |000004",
            ),
            ("{{ (printf \"%.0f\" $value) | toUpper }}", "1235"),
            ("{{ $labels.instance | stripPort | title }}", "Web1"),
            ("a {{- $value -}} b", "a1234.5678b"),
            ("{{ $externalURL }}x", "x"),
            ("{{ \"a\\\"b\" }}", "a\"b"),
        ] {
            assert_eq!(expand(text), expected, "{text}");
            assert_eq!(Template::parse(text).1, [""; 0], "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_stays() {
        for text in [
            "{{ if gt $value 1.0 }}",
            "{{ range query \"up\" }}",
            "{{ $labels }}",
            "{{ }}",
            "{{ $value | }}",
            "{{ (humanize $value }}",
            "{{ ) }}",
            "{{ \"open }}",
            "x {{ $value",
        ] {
            assert_eq!(expand(text), text);
            assert_eq!(Template::parse(text).1.len(), 1, "{text}");
        }
        // Read, but not to be expanded for these labels.
        assert_eq!(
            expand("{{ $labels.mountpoint | humanize }}!"),
            "{{ $labels.mountpoint | humanize }}!"
        );
        assert!(expand(&format!("{{{{ {}{} }}}}", "(".repeat(99), ")".repeat(99))).contains("(("));
        assert_eq!(expand("{{ printf \"%99999999d\" 1 }}").len(), WIDTH_MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\{\\{|\\}\\}|[ $.|()\"%a-z0-9é-]|printf|humanize|\\$value){0,24}") {
            let _ = expand(&text);
        }
    }
}
