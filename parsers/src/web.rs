//! What a web log says beside its fields: who is not a person, and what became of the request.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Words that programs put into their own names, in lower case. The first group covers nearly all that
/// declare themselves; the others have names of their own.
const BOT_WORDS: &[&[u8]] = &[
    // Declared robots.
    b"bot",
    b"crawl",
    b"spider",
    b"slurp",
    b"scrap",
    b"archiver",
    b"fetcher",
    b"scanner",
    b"indexer",
    // Those that do not say bot.
    b"cohere-ai",
    b"ai2bot",
    b"chatgpt-user",
    b"perplexity",
    b"google-extended",
    b"diffbot",
    b"meta-externalagent",
    b"facebookexternalhit",
    b"mistralai-user",
    b"omgili",
    b"timpibot",
    b"youbot",
    // Monitors and health checks.
    b"uptime",
    b"pingdom",
    b"statuscake",
    b"monitor",
    b"nagios",
    b"check_http",
    b"blackbox",
    b"prometheus",
    b"zabbix",
    b"kube-probe",
    b"healthcheck",
    b"elb-health",
    b"googlehc",
    b"site24x7",
    b"newrelic",
    b"datadog",
    // Preview and feed readers.
    b"whatsapp",
    b"embedly",
    b"feedly",
    b"feedfetcher",
    b"mediapartners-google",
    b"google-inspectiontool",
    b"lighthouse",
    b"bingpreview",
    b"yahoo! slurp",
    b"ia_archiver",
    b"headlesschrome",
    b"phantomjs",
    // Libraries and tools: nobody reads with them.
    b"curl/",
    b"wget/",
    b"python-requests",
    b"python-urllib",
    b"aiohttp",
    b"httpx/",
    b"go-http-client",
    b"java/",
    b"okhttp",
    b"apache-httpclient",
    b"libwww-perl",
    b"lwp::",
    b"scrapy",
    b"guzzlehttp",
    b"node-fetch",
    b"axios/",
    b"ruby",
    b"php/",
    b"zgrab",
    b"masscan",
    b"nmap",
    b"nikto",
    b"nuclei",
    b"censys",
    b"sqlmap",
];

/// Products in which a word of the table is part of another name.
const NO_BOTS: &[&[u8]] = &[b"cubot"];

/// Real agents are far shorter; the rest of a longer one is not looked at.
const AGENT_MAX: usize = 512;

/// Whether the agent declares itself a program: a crawler, a monitor, a library. An empty agent (or
/// `-`) is none of a browser either. What pretends to be a browser is not found out here.
#[must_use]
pub fn is_bot(agent: &[u8]) -> bool {
    matches!(agent, b"" | b"-") || word(agent).is_some()
}

/// The name that such an agent gives itself: `Googlebot`, `curl`, `kube-probe`; the product around the
/// word that gave it away, without its version.
#[must_use]
pub fn bot_name(agent: &[u8]) -> Option<&[u8]> {
    let (start, end) = word(agent)?;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let front = agent.get(..start)?.iter().rev().take_while(|b| is_name(b));
    let start = start - front.count();
    let inside = agent.get(start..end)?;
    // A word of the table may end with the slash before the version.
    let inside = inside.strip_suffix(b"/").unwrap_or(inside);
    let end = start + inside.len();
    let back = agent.get(end..)?.iter().take_while(|b| is_name(b)).count();
    agent.get(start..end + back)
}

/// All words at once, in either case. Of two that begin together the first counts, so a product that only
/// contains a word hides it.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostFirst)
        .kind(Some(AhoCorasickKind::DFA))
        .build(NO_BOTS.iter().chain(BOT_WORDS))
        .expect("a table of short words")
});

/// Where the first word of the table stands.
fn word(agent: &[u8]) -> Option<(usize, usize)> {
    let agent = agent.get(..AGENT_MAX).unwrap_or(agent);
    let mut found = WORDS.find_iter(agent);
    let word = found.find(|m| m.pattern().as_usize() >= NO_BOTS.len())?;
    Some((word.start(), word.end()))
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    /// 1xx.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirect,
    /// 4xx: the client's fault.
    ClientError,
    /// 5xx: the server's.
    ServerError,
    /// Anything else (nginx writes 000 when the client left first).
    Other,
}

impl StatusClass {
    /// The class of a status code as it is written in a log.
    #[must_use]
    pub fn of(status: &[u8]) -> Self {
        match status {
            [first, b'0'..=b'9', b'0'..=b'9'] => match first {
                b'1' => Self::Informational,
                b'2' => Self::Success,
                b'3' => Self::Redirect,
                b'4' => Self::ClientError,
                b'5' => Self::ServerError,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// `1xx` to `5xx`, as in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs() {
        for (agent, bot) in [
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                true,
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                true,
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PetalBot/1.0)",
                true,
            ),
            ("Mozilla/5.0 (compatible; ChatGPT-User/1.0)", true),
            ("meta-externalagent/1.1", true),
            ("kube-probe/1.29", true),
            ("check_http/v2.3.3 (monitoring-plugins 2.3.3)", true),
            ("Prometheus/2.42.0", true),
            ("curl/8.5.0", true),
            ("-", true),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                false,
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
                false,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1",
                false,
            ),
        ] {
            assert_eq!(is_bot(agent.as_bytes()), bot, "{agent}");
        }
    }

    #[test]
    fn names() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Some("Googlebot"),
            ),
            ("meta-externalagent/1.1", Some("meta-externalagent")),
            ("kube-probe/1.29", Some("kube-probe")),
            ("check_http/v2.3.3", Some("check_http")),
            ("curl/8.5.0", Some("curl")),
            ("Go-http-client/2.0", Some("Go-http-client")),
            (
                "Mozilla/5.0+(compatible;+bingbot/2.0;++http://www.bing.com/bingbot.htm)",
                Some("bingbot"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0",
                None,
            ),
            ("-", None),
        ] {
            let found = bot_name(agent.as_bytes());
            assert_eq!(found, name.map(str::as_bytes), "{agent}");
        }
    }

    #[test]
    fn classes() {
        for (status, class) in [
            ("200", "2xx"),
            ("404", "4xx"),
            ("502", "5xx"),
            ("000", "other"),
            ("20", "other"),
            ("-", "other"),
        ] {
            assert_eq!(StatusClass::of(status.as_bytes()).as_str(), class);
        }
    }
}
