//! `[docker]`: the logs of containers.

use std::path::PathBuf;

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer, de};

use super::Invalid;
use crate::units::Duration;

/// Which engine, and which of its containers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    /// Whether to follow containers.
    pub enabled: bool,
    /// The engine's socket.
    pub socket: PathBuf,
    /// The engine's folder of containers: their json-file logs are read there, not through the socket.
    pub dir: Option<PathBuf>,
    /// How much is read of containers that were there when vigie first meets the engine: lines younger
    /// than this.
    pub backlog: Duration,
    /// Containers with one of these are followed; all when empty.
    pub keep: Vec<Choice>,
    /// Containers with one of these are left out.
    pub leave_out: Vec<Choice>,
    /// Which lines are one event, as in [`super::Files`].
    pub multiline: String,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: "/var/run/docker.sock".into(),
            dir: None,
            backlog: Duration::from_secs(24 * 3600),
            keep: Vec::new(),
            leave_out: Vec::new(),
            multiline: "auto".to_owned(),
        }
    }
}

impl Docker {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let relative = |path: &PathBuf| format!("`{}` is not an absolute path", path.display());
        if !self.socket.is_absolute() {
            return Err(Invalid::new("docker.socket", relative(&self.socket)));
        }
        if let Some(dir) = self.dir.as_ref().filter(|d| !d.is_absolute()) {
            return Err(Invalid::new("docker.dir", relative(dir)));
        }
        match self.multiline.parse::<vigie_parsers::joining::Joining>() {
            Ok(_) => Ok(()),
            Err(why) => Err(Invalid::new("docker.multiline", why)),
        }
    }
}

/// What is asked of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Container,
    Project,
    Service,
    Image,
    Label(String),
}

/// `container=`, `project=`, `service=`, `image=` or `label.NAME=` and a value, which is a glob.
#[derive(Clone, Debug)]
pub struct Choice {
    text: String,
    what: What,
    value: GlobMatcher,
}

/// What a [`Choice`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    /// The name.
    pub container: &'a str,
    /// Compose's project.
    pub project: &'a str,
    /// Compose's service.
    pub service: &'a str,
    /// The image as it was asked for.
    pub image: &'a str,
    /// All labels.
    pub labels: &'a [(String, String)],
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Choice {
    /// Whether a container has it.
    #[must_use]
    pub fn takes(&self, traits: &Traits<'_>) -> bool {
        let value = match &self.what {
            What::Container => traits.container,
            What::Project => traits.project,
            What::Service => traits.service,
            What::Image => traits.image,
            What::Label(name) => match traits.labels.iter().find(|(n, _)| n == name) {
                Some((_, value)) => value,
                None => return false,
            },
        };
        self.value.is_match(value)
    }
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{text}`: write \"service=web*\"; known: container, project, service, image, label.NAME"
            )
        };
        let (what, value) = text.split_once('=').ok_or_else(wanted)?;
        let what = match what {
            "container" => What::Container,
            "project" => What::Project,
            "service" => What::Service,
            "image" => What::Image,
            _ => match what.strip_prefix("label.") {
                Some(name) if !name.is_empty() => What::Label(name.to_owned()),
                _ => return Err(wanted()),
            },
        };
        let glob = Glob::new(value).map_err(|e| format!("`{text}`: {}", e.kind()))?;
        Ok(Self {
            text: text.to_owned(),
            what,
            value: glob.compile_matcher(),
        })
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_look_at_names_and_labels() {
        let labels = [("tier".to_owned(), "db".to_owned())];
        let traits = Traits {
            container: "shop-web-1",
            project: "shop",
            service: "web",
            image: "docker.io/library/nginx:1.27",
            labels: &labels,
        };
        for (text, taken) in [
            ("container=shop-*", true),
            ("container=shop", false),
            ("service=web", true),
            ("project=sh?p", true),
            ("image=*nginx*", true),
            ("label.tier=db", true),
            ("label.tier=*", true),
            ("label.other=*", false),
        ] {
            let choice: Choice = text.parse().unwrap();
            assert_eq!(choice.takes(&traits), taken, "{text}");
        }
        for text in ["web", "name=web", "label.=x", "service=[", ""] {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
    }
}
