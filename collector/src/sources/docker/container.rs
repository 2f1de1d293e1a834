//! What an engine knows of a container, from its own JSON.

use serde::Deserialize;

use crate::config::{Choice, Traits};

/// Bytes of a name or a label that are kept; engines allow 64 for host names, and labels any length.
const VALUE_LEN_MAX: usize = 200;
/// Labels that are looked at; the rest cannot be chosen by.
const LABELS_MAX: usize = 200;

/// What lines of a container are told by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) terminal: bool,
    pub(super) running: bool,
    /// The log driver, as `json-file`.
    pub(super) driver: String,
    /// The engine may begin new files for its log.
    pub(super) rotates: bool,
}

/// The part of `GET /containers/ID/json`, and of `config.v2.json`, that we read. All may be absent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    name: Option<String>,
    config: Config,
    state: State,
    host_config: HostConfig,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    tty: bool,
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    running: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    log_config: LogConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Config")]
    options: Option<std::collections::BTreeMap<String, String>>,
}

impl LogConfig {
    /// Only json-file without a size never does: `local` has one of its own, and so has the copy that
    /// engines keep of what goes elsewhere.
    fn rotates(&self) -> bool {
        let options = self.options.as_ref();
        let size = options.and_then(|o| o.get("max-size")).map_or("", |s| s);
        self.kind.as_deref() != Some("json-file") || !matches!(size, "" | "-1")
    }
}

impl Container {
    /// Reads what the engine says, or has written, of a container; `id` stands in for a missing name.
    pub(super) fn read(json: &[u8], id: &str) -> Result<Self, serde_json::Error> {
        let found: Inspected = serde_json::from_slice(json)?;
        let name = found.name.unwrap_or_default();
        let name = name.trim_start_matches('/');
        let short = id.get(..12).unwrap_or(id);
        let labels = found.config.labels.unwrap_or_default().into_iter();
        let log = found.host_config.log_config;
        Ok(Self {
            name: bounded(if name.is_empty() { short } else { name }),
            image: bounded(&found.config.image.unwrap_or_default()),
            labels: labels
                .take(LABELS_MAX)
                .map(|(n, v)| (bounded(&n), bounded(&v)))
                .collect(),
            terminal: found.config.tty,
            running: found.state.running,
            rotates: log.rotates(),
            driver: log.kind.unwrap_or_default(),
        })
    }

    fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    /// Compose's project, or the stack of a swarm.
    fn project(&self) -> &str {
        match self.label("com.docker.compose.project") {
            "" => self.label("com.docker.stack.namespace"),
            project => project,
        }
    }

    fn service(&self) -> &str {
        match self.label("com.docker.compose.service") {
            "" => self.label("com.docker.swarm.service.name"),
            service => service,
        }
    }

    /// Whether the configuration wants it.
    pub(super) fn is_wanted(&self, keep: &[Choice], leave_out: &[Choice]) -> bool {
        let traits = Traits {
            container: &self.name,
            project: self.project(),
            service: self.service(),
            image: &self.image,
            labels: &self.labels,
        };
        let takes = |choice: &Choice| choice.takes(&traits);
        (keep.is_empty() || keep.iter().any(takes)) && !leave_out.iter().any(takes)
    }

    /// The fields of its lines.
    pub(super) fn fields(&self, host: &str, stream: &str) -> Vec<(String, String)> {
        let app = match self.service() {
            "" => &self.name,
            service => service,
        };
        [
            ("container", self.name.as_str()),
            ("project", self.project()),
            ("service", self.service()),
            ("image", &self.image),
            ("stream", stream),
            ("app", app),
            ("host", host),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}

/// Text of at most [`VALUE_LEN_MAX`] bytes.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(VALUE_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Whether it is an id: it becomes a part of addresses, keys and paths.
pub(super) fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_compose() {
        let json = br#"{"Name":"/shop-web-1","State":{"Running":true},"Config":{"Tty":true,"Image":"nginx:1.27",
            "Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}},
            "HostConfig":{"LogConfig":{"Type":"json-file","Config":{}}},"More":[1,2]}"#;
        let found = Container::read(json, "0123456789abcdef").unwrap();
        assert!(found.running && found.terminal && found.driver == "json-file");
        let fields = found.fields("vm", "stderr");
        let want = [
            ("container", "shop-web-1"),
            ("project", "shop"),
            ("service", "web"),
            ("image", "nginx:1.27"),
            ("stream", "stderr"),
            ("app", "web"),
            ("host", "vm"),
        ];
        assert_eq!(fields, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
        let choice = |text: &str| vec![text.parse::<Choice>().unwrap()];
        assert!(found.is_wanted(&[], &[]) && found.is_wanted(&choice("project=shop"), &[]));
        assert!(!found.is_wanted(&choice("project=other"), &[]));
        assert!(!found.is_wanted(&[], &choice("service=w*")));
    }

    #[test]
    fn only_a_json_file_without_a_size_never_rotates() {
        for (log, rotates) in [
            (r#""Type":"json-file","Config":{}"#, false),
            (r#""Type":"json-file","Config":null"#, false),
            (r#""Type":"json-file","Config":{"max-size":"-1"}"#, false),
            (
                r#""Type":"json-file","Config":{"max-size":"10m","max-file":"3"}"#,
                true,
            ),
            (r#""Type":"local","Config":{}"#, true),
            (r#""Type":"fluentd","Config":{}"#, true),
        ] {
            let json = format!("{{\"HostConfig\":{{\"LogConfig\":{{{log}}}}}}}");
            let found = Container::read(json.as_bytes(), "0123456789abcdef").unwrap();
            assert_eq!(found.rotates, rotates, "{log}");
        }
    }

    #[test]
    fn anything_may_be_absent_or_too_long() {
        let found = Container::read(br#"{"Config":{"Labels":null}}"#, "0123456789abcdef").unwrap();
        assert_eq!(found.name, "0123456789ab");
        assert_eq!(found.fields("vm", "stdout").len(), 4);
        let long = format!("{{\"Name\":\"/{}\"}}", "é".repeat(500));
        let found = Container::read(long.as_bytes(), "x").unwrap();
        assert_eq!(found.name.len(), VALUE_LEN_MAX);
        assert!(Container::read(b"7", "x").is_err() && Container::read(b"", "x").is_err());
        assert!(is_id(&"0af".repeat(10)) && !is_id("../../etc/passwd") && !is_id(""));
    }
}
