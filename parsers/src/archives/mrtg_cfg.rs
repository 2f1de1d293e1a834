//! `mrtg.cfg`: which logs there are, what they are called, and what their lines can carry.
//!
//! ```text
//! WorkDir: /var/www/mrtg
//! Options[_]: growright, bits        for all targets below
//! Target[r1_2]: 2:public@r1
//! MaxBytes[r1_2]: 1250000
//! Title[^]: Line of                  put before what follows;  [$]: put behind it
//!     continued with leading space
//! ```

use super::Damage;

/// Lines of a configuration at most.
const LINES_MAX: usize = 1_000_000;

/// What concerns the logs of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where logs lie: `LogDir`, else `WorkDir`, as it is written.
    pub log_dir: Option<String>,
    /// The targets, in their order.
    pub targets: Vec<Target>,
    /// Files that it includes; they are not read here.
    pub includes: Vec<String>,
}

/// A target: one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name in small letters: the log's name without `.log`.
    pub name: String,
    /// `Title`.
    pub title: String,
    /// `MaxBytes1` and `MaxBytes2`, or `MaxBytes` for both: of in and out, in the log's unit.
    pub max: [Option<u64>; 2],
    /// `Directory`: below the log directory.
    pub directory: String,
}

/// A key's values for all targets.
#[derive(Default)]
struct Defaults {
    /// `[_]`, `[^]` and `[$]` by key.
    values: Vec<(String, [String; 3])>,
}

impl Defaults {
    fn set(&mut self, key: &str, which: usize, value: &str) {
        let known = self.values.iter().position(|(k, _)| k == key);
        let at = known.unwrap_or_else(|| {
            self.values.push((key.to_owned(), <[String; 3]>::default()));
            self.values.len() - 1
        });
        if let Some(slot) = self
            .values
            .get_mut(at)
            .and_then(|(_, all)| all.get_mut(which))
        {
            value.clone_into(slot);
        }
    }

    /// A target's value, its own or the default one, between what stands before and behind.
    fn apply(&self, key: &str, own: Option<&str>) -> String {
        let Some((_, [default, before, behind])) = self.values.iter().find(|(k, _)| k == key)
        else {
            return own.unwrap_or_default().to_owned();
        };
        let words = [before.as_str(), own.unwrap_or(default), behind.as_str()];
        let said: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        said.join(" ")
    }
}

/// Reads a configuration. What does not concern logs is passed over.
///
/// # Errors
/// When a line is no `Key: value` or `Key[target]: value`, or when there is no target.
pub fn read(bytes: &[u8]) -> Result<Config, Damage> {
    let text = String::from_utf8_lossy(bytes);
    let mut config = Config::default();
    let mut defaults = Defaults::default();
    let mut work_dir = None;
    for (number, line) in lines(&text)? {
        let (key, value) = line
            .split_once(':')
            .ok_or_else(|| Damage::line(number, "no `Key: value` and no `Key[target]: value`"))?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let Some((key, target)) = key.split_once('[') else {
            match key.as_str() {
                "logdir" => config.log_dir = Some(value.to_owned()),
                "workdir" => work_dir = Some(value.to_owned()),
                "include" => config.includes.push(value.to_owned()),
                _ => {}
            }
            continue;
        };
        let target = target
            .strip_suffix(']')
            .ok_or_else(|| Damage::line(number, "`[` without its `]`"))?;
        match target {
            "_" => defaults.set(key, 0, value),
            "^" => defaults.set(key, 1, value),
            "$" => defaults.set(key, 2, value),
            name => config.set(&defaults, name, key, value),
        }
    }
    config.log_dir = config.log_dir.or(work_dir);
    if config.targets.is_empty() {
        return Err(Damage::line(1, "no target: not a configuration of MRTG"));
    }
    Ok(config)
}

/// Lines with what continues them, without comments, each with the number of its first.
fn lines(text: &str) -> Result<Vec<(usize, String)>, Damage> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if at == LINES_MAX {
            return Err(Damage::line(at, "too long for a configuration"));
        }
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        match lines.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some((_, before)) => {
                before.push(' ');
                before.push_str(bare);
            }
            None => lines.push((at + 1, bare.to_owned())),
        }
    }
    Ok(lines)
}

impl Config {
    fn set(&mut self, defaults: &Defaults, name: &str, key: &str, value: &str) {
        let known = self.targets.iter().position(|t| t.name == name);
        let at = known.unwrap_or_else(|| {
            self.targets.push(Target {
                name: name.to_owned(),
                title: defaults.apply("title", None),
                max: ["maxbytes1", "maxbytes2"].map(|key| {
                    let all = || defaults.apply("maxbytes", None);
                    defaults
                        .apply(key, None)
                        .parse()
                        .or_else(|_| all().parse())
                        .ok()
                }),
                directory: defaults.apply("directory", None),
            });
            self.targets.len() - 1
        });
        let Some(target) = self.targets.get_mut(at) else {
            return;
        };
        let value = defaults.apply(key, Some(value));
        let number = value.parse().ok();
        match key {
            "title" => target.title = value,
            "directory" => target.directory = value,
            "maxbytes" => target.max = [number, number],
            "maxbytes1" => target.max = [number, target.max[1]],
            "maxbytes2" => target.max = [target.max[0], number],
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_with_their_defaults() {
        let config = read(
            b"# made by cfgmaker\nWorkDir: /var/www/mrtg\nOptions[_]: bits\nMaxBytes[_]: 1250000\n\
              Title[^]: Line\nTarget[R1_2]: 2:public@r1:\nTitle[r1_2]: eth0\n   of r1\nPageTop[r1_2]: <h1>a: b</h1>\n\
              Target[r1_3]: 3:public@r1\nMaxBytes2[r1_3]: 99\nDirectory[r1_3]: sub\n",
        )
        .unwrap();
        assert_eq!(config.log_dir.as_deref(), Some("/var/www/mrtg"));
        let [a, b] = &config.targets[..] else {
            panic!("{config:?}")
        };
        assert_eq!(
            (a.name.as_str(), a.title.as_str(), a.max),
            ("r1_2", "Line eth0 of r1", [Some(1_250_000); 2])
        );
        assert_eq!(
            (b.title.as_str(), b.max, b.directory.as_str()),
            ("Line", [Some(1_250_000), Some(99)], "sub")
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (text, want) in [
            ("hello\n", "line 1: no `Key: value`"),
            ("\n# x\nTarget[r1: a\n", "line 3: `[` without"),
            ("WorkDir: /x\n", "line 1: no target"),
        ] {
            let said = read(text.as_bytes()).unwrap_err().to_string();
            assert!(said.starts_with(want), "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ a-zA-Z_^$:\\[\\]#\n]{0,200}") {
            let _ = read(text.as_bytes());
        }
    }
}
