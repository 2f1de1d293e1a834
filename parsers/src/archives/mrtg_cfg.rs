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

/// Lines of a configuration at most, with all that it includes.
const LINES_MAX: usize = 1_000_000;
/// Files within files at most: what is deeper includes itself.
const DEPTH_MAX: usize = 16;
/// Files that are included at most: a file for each router of a large network.
const FILES_MAX: usize = 10_000;

/// What concerns the logs of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where logs lie: `LogDir`, else `WorkDir`, as it is written.
    pub log_dir: Option<String>,
    /// The targets, in their order.
    pub targets: Vec<Target>,
    /// What it includes that could not be read, each with the reason; for people.
    pub left_out: Vec<String>,
}

/// A file that a configuration includes: what it is called in messages, and its bytes.
pub type Included = (String, Vec<u8>);

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
    /// `Options` has `gauge`: its values are no rates.
    pub gauge: bool,
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

/// Reads a configuration that includes nothing. What does not concern logs is passed over.
///
/// # Errors
/// When a line is no `Key: value` or `Key[target]: value`, or when there is no target.
pub fn read(bytes: &[u8]) -> Result<Config, Damage> {
    read_with(bytes, &mut |_| Err("it is not followed here".to_owned()))
}

/// The same with what it includes. `open` gives the files that an `Include` means, in the order in which
/// they are to be read, or says why there are none. As in MRTG they take the line's place.
///
/// # Errors
/// As [`read`]; also when files include one another in a circle, or more of them than anybody has.
pub fn read_with(
    bytes: &[u8],
    open: &mut dyn FnMut(&str) -> Result<Vec<Included>, String>,
) -> Result<Config, Damage> {
    let mut lines = Lines {
        found: Vec::new(),
        files: vec![String::new()],
        read: 0,
        left_out: Vec::new(),
        open,
    };
    lines.add(0, bytes)?;
    let mut config = Config::default();
    let mut defaults = Defaults::default();
    let mut work_dir = None;
    for line in &lines.found {
        let (key, value) = line
            .text
            .split_once(':')
            .ok_or_else(|| lines.damage(line, "no `Key: value` and no `Key[target]: value`"))?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let Some((key, target)) = key.split_once('[') else {
            match key.as_str() {
                "logdir" => config.log_dir = Some(value.to_owned()),
                "workdir" => work_dir = Some(value.to_owned()),
                _ => {}
            }
            continue;
        };
        let target = target
            .strip_suffix(']')
            .ok_or_else(|| lines.damage(line, "`[` without its `]`"))?;
        match target {
            "_" => defaults.set(key, 0, value),
            "^" => defaults.set(key, 1, value),
            "$" => defaults.set(key, 2, value),
            name => config.set(&defaults, name, key, value),
        }
    }
    config.log_dir = config.log_dir.or(work_dir);
    config.left_out = lines.left_out;
    if config.targets.is_empty() {
        return Err(Damage::line(1, "no target: not a configuration of MRTG"));
    }
    Ok(config)
}

/// A line with what continues it.
struct Line {
    /// Its place among the files.
    file: usize,
    /// Of its first line.
    number: usize,
    text: String,
}

/// The lines of a configuration and of all that it includes, without comments.
struct Lines<'a> {
    found: Vec<Line>,
    /// The names of the files; the first has none.
    files: Vec<String>,
    /// Lines read so far, comments too.
    read: usize,
    left_out: Vec<String>,
    open: &'a mut dyn FnMut(&str) -> Result<Vec<Included>, String>,
}

impl Lines<'_> {
    fn damage(&self, line: &Line, what: &str) -> Damage {
        let name = self.files.get(line.file).filter(|name| !name.is_empty());
        match name {
            Some(name) => Damage::line(line.number, format!("{what} (in {name})")),
            None => Damage::line(line.number, what),
        }
    }

    /// Takes the lines of a file, `depth` files within the first one.
    fn add(&mut self, depth: usize, bytes: &[u8]) -> Result<(), Damage> {
        let file = self.files.len() - 1;
        let text = String::from_utf8_lossy(bytes);
        for (at, line) in text.lines().enumerate() {
            self.read += 1;
            let bare = line.trim();
            let new = |text: &str| Line {
                file,
                number: at + 1,
                text: text.to_owned(),
            };
            if self.read > LINES_MAX {
                return Err(self.damage(&new(""), "too long for a configuration"));
            }
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            let continues = line.starts_with([' ', '\t']);
            if let Some(name) = include(line) {
                self.include(&new(""), depth, name)?;
            } else if let Some(before) = self.found.last_mut().filter(|_| continues) {
                before.text.push(' ');
                before.text.push_str(bare);
            } else {
                self.found.push(new(bare));
            }
        }
        Ok(())
    }

    fn include(&mut self, line: &Line, depth: usize, name: &str) -> Result<(), Damage> {
        if depth == DEPTH_MAX {
            let what = format!("{DEPTH_MAX} files within one another: a circle");
            return Err(self.damage(line, &what));
        }
        let files = match (self.open)(name) {
            Ok(files) => files,
            Err(reason) => {
                self.left_out.push(format!("Include: {name}: {reason}"));
                return Ok(());
            }
        };
        for (name, bytes) in files {
            if self.files.len() > FILES_MAX {
                return Err(self.damage(line, "more files are included than anybody has"));
            }
            self.files.push(name);
            self.add(depth + 1, &bytes)?;
        }
        Ok(())
    }
}

/// What a line includes.
fn include(line: &str) -> Option<&str> {
    let (key, name) = line.split_once(':')?;
    let name = name.trim();
    (key.eq_ignore_ascii_case("include") && !name.is_empty()).then_some(name)
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
                gauge: is_gauge(&defaults.apply("options", None)),
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
            "options" => target.gauge = is_gauge(&value),
            "maxbytes" => target.max = [number, number],
            "maxbytes1" => target.max = [number, target.max[1]],
            "maxbytes2" => target.max = [target.max[0], number],
            _ => {}
        }
    }
}

/// Whether options say that values are no rates.
fn is_gauge(options: &str) -> bool {
    let mut words = options.split([',', ' ']);
    words.any(|word| word.eq_ignore_ascii_case("gauge"))
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

    /// A configuration with files by name.
    fn with(files: &[(&str, &str)]) -> Result<Config, Damage> {
        let open = &mut |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            let (name, text) = found.ok_or("no such file")?;
            Ok(vec![((*name).to_owned(), text.as_bytes().to_vec())])
        };
        read_with(files[0].1.as_bytes(), open)
    }

    #[test]
    fn included_files_stand_where_they_are_named() {
        let config = with(&[
            (
                "",
                "WorkDir: /w\nMaxBytes[_]: 5\nInclude: a.cfg\nTarget[last]: 9:p@r\nINCLUDE:  gone.cfg \n",
            ),
            (
                "a.cfg",
                "Target[one]: 1:p@r\ninclude:b.cfg\nMaxBytes[_]: 7\n",
            ),
            (
                "b.cfg",
                "  and on\nOptions[_]: growright, gauge\nTarget[two]: 2:p@r\nOptions[two]: bits\nTarget[three]: 3:p@r\n",
            ),
        ])
        .unwrap();
        let found: Vec<_> = config
            .targets
            .iter()
            .map(|t| (t.name.as_str(), t.max[0], t.gauge))
            .collect();
        assert_eq!(
            found,
            [
                ("one", Some(5), false),
                ("two", Some(5), false),
                ("three", Some(5), true),
                ("last", Some(7), true)
            ]
        );
        assert_eq!(config.left_out, ["Include: gone.cfg: no such file"]);
    }

    #[test]
    fn circles_and_too_many_files_are_refused() {
        let said = with(&[("me", "Target[a]: 1\nInclude: me\n")])
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("line 2: 16 files within one another: a circle (in me)"),
            "{said}"
        );
        // Two of itself, sixteen deep, would be 65,536.
        let said = with(&[("me", "Include: me\nInclude: me\n")])
            .unwrap_err()
            .to_string();
        assert!(said.contains("circle"), "{said}");
        let mut open = |_: &str| Ok(vec![(String::new(), Vec::new()); FILES_MAX + 1]);
        let said = read_with(b"Include: *\n", &mut open)
            .unwrap_err()
            .to_string();
        assert!(said.contains("more files"), "{said}");
        let said = with(&[("", "Include: x\nTarget[a]: 1\n"), ("x", "\nhello\n")]).unwrap_err();
        assert!(
            said.to_string().starts_with("line 2: no `Key: value`"),
            "{said}"
        );
        assert!(said.to_string().ends_with("(in x)"), "{said}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ a-zA-Z_^$:\\[\\]#\n]{0,200}") {
            let _ = read(text.as_bytes());
        }
    }
}
