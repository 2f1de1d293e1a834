//! Which files: paths, globs, and the names of log files that vigie recognises.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Directory levels that `**` spans at most.
const DEPTH_MAX: usize = 16;
/// Directory entries looked at for one pattern; a glob over all of `/` ends here.
const ENTRIES_MAX: usize = if cfg!(test) { 1000 } else { 100_000 };

/// Folders of one table that are watched for new files; in others these are found every ten seconds.
const WALKED_MAX: usize = 200;

/// Log files that are recognised by name, below the log directory. Rotated, compressed and binary
/// ones have other names.
const KNOWN: [&str; 5] = [
    "{syslog,messages,secure,maillog,cron,debug,daemon,kern,user}",
    "*.log",
    "{apache2,apt,audit,clamav,fail2ban,haproxy,httpd,letsencrypt,lighttpd,mariadb,mongodb,mysql,\
      named,nginx,openvpn,php,postgresql,rabbitmq,redis,samba,squid,tomcat*,traefik,unattended-upgrades,\
      unifi,varnish,vsftpd}/*.log",
    "{apache2,httpd,nginx}/*{access,error}_log",
    "{apache2,httpd,nginx}/*/*{access,error}{.,_}log",
];
/// Not worth following: what a terminal showed, not what happened.
const KNOWN_NOT: [&str; 1] = ["apt/term.log"];

/// What rsyslog and syslog-ng fill from the same messages that the journal has.
const FROM_JOURNAL: [&str; 2] = [
    "{syslog,messages,secure,maillog,cron,debug,daemon,kern,user}",
    "{auth,cron,daemon,debug,kern,lpr,mail,messages,syslog,user}.log",
];

/// A compiled set of patterns.
#[derive(Debug)]
pub(super) struct Patterns {
    wanted: Vec<Pattern>,
    unwanted: Vec<GlobMatcher>,
    /// The folders that were looked into last, where they are worth watching.
    walked: RefCell<BTreeSet<PathBuf>>,
    /// There was more to look at than we look at.
    crowded: Cell<bool>,
    /// Names that vigie knows by itself: of all that lies below the log directory only little is meant.
    known: bool,
}

#[derive(Debug)]
struct Pattern {
    /// The directory above the first wildcard, or the path itself.
    base: PathBuf,
    /// Levels below it that can match.
    depth: usize,
    glob: GlobMatcher,
}

impl Patterns {
    /// The patterns of an operator's table.
    pub(super) fn new(wanted: &[String], unwanted: &[String]) -> Result<Self, globset::Error> {
        Ok(Self {
            wanted: wanted
                .iter()
                .map(|p| Pattern::new(p))
                .collect::<Result<_, _>>()?,
            unwanted: unwanted.iter().map(|p| glob(p)).collect::<Result<_, _>>()?,
            walked: RefCell::default(),
            crowded: Cell::default(),
            known: false,
        })
    }

    /// The names that vigie recognises below a directory; `beside_journal` takes those too whose lines
    /// the journal has.
    pub(super) fn known(dir: &Path, beside_journal: bool) -> Result<Self, globset::Error> {
        // The directory's own name may hold characters that mean something in a pattern.
        let dir = globset::escape(&dir.to_string_lossy());
        let below = |name: &&str| format!("{dir}/{name}");
        let wanted: Vec<_> = KNOWN.iter().map(below).collect();
        let mut unwanted: Vec<_> = KNOWN_NOT.iter().map(below).collect();
        if !beside_journal {
            unwanted.extend(FROM_JOURNAL.iter().map(below));
        }
        Ok(Self {
            known: true,
            ..Self::new(&wanted, &unwanted)?
        })
    }

    /// Whether a path is wanted.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.wanted.iter().any(|p| p.glob.is_match(path))
            && !self.unwanted.iter().any(|g| g.is_match(path))
    }

    /// The folders in which new files may appear: those of the patterns, and with an operator's patterns those
    /// below that were looked into.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let bases = self.wanted.iter().filter_map(Pattern::folder);
        let mut folders: BTreeSet<_> = bases.map(Path::to_owned).collect();
        if !self.known {
            folders.extend(self.walked.borrow().iter().cloned());
        }
        folders
    }

    /// Why files that match may not have been found the last time.
    pub(super) fn trouble(&self) -> Option<String> {
        let why = || {
            format!(
                "more than {ENTRIES_MAX} entries in its folders, files among the others are not seen"
            )
        };
        self.crowded.get().then(why)
    }

    /// The paths that match now, files or not.
    pub(super) fn find(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut walked = self.walked.borrow_mut();
        walked.clear();
        let whole = |pattern: &Pattern| pattern.find(&mut found, &mut walked);
        let each: Vec<bool> = self.wanted.iter().map(whole).collect();
        self.crowded.set(each.contains(&false));
        found.retain(|path| !self.unwanted.iter().any(|g| g.is_match(path)));
        found
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, globset::Error> {
        let meta = |part: &str| part.contains(['*', '?', '[', ']', '{', '}', '\\']);
        let parts: Vec<_> = text.split('/').filter(|p| !p.is_empty()).collect();
        let plain = parts.iter().take_while(|p| !meta(p)).count();
        let rest = parts.get(plain..).unwrap_or_default();
        // A brace may hold slashes of its own; each may make the path longer.
        let depth = if rest.iter().any(|p| p.contains("**")) {
            DEPTH_MAX
        } else {
            rest.len()
        };
        let base: PathBuf = ["/"].iter().chain(parts.iter().take(plain)).collect();
        Ok(Self {
            base,
            depth,
            glob: glob(text)?,
        })
    }

    /// Where the names that can match lie, or would lie: the nearest folder that is there.
    fn folder(&self) -> Option<&Path> {
        let mut folders = self.base.ancestors().skip(usize::from(self.depth == 0));
        // In the root others come and go all the time.
        folders
            .find(|f| f.is_dir())
            .filter(|f| f.parent().is_some())
    }

    /// Whether all was looked at.
    fn find(&self, found: &mut BTreeSet<PathBuf>, walked: &mut BTreeSet<PathBuf>) -> bool {
        if self.depth == 0 {
            if self.base.symlink_metadata().is_ok() {
                found.insert(self.base.clone());
            }
            return true;
        }
        let mut entries = 0;
        let mut dirs = vec![(self.base.clone(), 1)];
        while let Some((dir, level)) = dirs.pop() {
            if walked.len() < WALKED_MAX && dir.is_dir() {
                walked.insert(dir.clone());
            }
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                entries += 1;
                if entries > ENTRIES_MAX {
                    return false;
                }
                let path = entry.path();
                if self.glob.is_match(&path) {
                    found.insert(path.clone());
                }
                // Links to directories are followed where the pattern's own depth ends the walk.
                let kind = entry.file_type();
                let dir = kind.is_ok_and(|t| {
                    t.is_dir() || (t.is_symlink() && self.depth < DEPTH_MAX && path.is_dir())
                });
                if dir && level < self.depth {
                    dirs.push((path, level + 1));
                }
            }
        }
        true
    }
}

fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(text).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(patterns: &Patterns, dir: &Path) -> Vec<String> {
        let found = patterns.find().into_iter();
        found
            .map(|p| p.strip_prefix(dir).unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn recognised_names() {
        let dir = tree(&[
            "syslog",
            "syslog.1",
            "syslog.2.gz",
            "wtmp",
            "btmp",
            "lastlog",
            "auth.log",
            "dpkg.log",
            "nginx/access.log",
            "nginx/access.log.1",
            "nginx/site/error.log",
            "httpd/ssl_access_log",
            "postgresql/postgresql-15-main.log",
            "apt/history.log",
            "apt/term.log",
            "journal/0123/system.journal",
            "unknown/deep.log",
        ]);
        let expected = [
            "apt/history.log",
            "auth.log",
            "dpkg.log",
            "httpd/ssl_access_log",
            "nginx/access.log",
            "nginx/site/error.log",
            "postgresql/postgresql-15-main.log",
            "syslog",
        ];
        assert_eq!(
            names(&Patterns::known(dir.path(), true).unwrap(), dir.path()),
            expected
        );
        let beside: Vec<_> = expected
            .into_iter()
            .filter(|n| !["auth.log", "syslog"].contains(n))
            .collect();
        assert_eq!(
            names(&Patterns::known(dir.path(), false).unwrap(), dir.path()),
            beside
        );
    }

    #[test]
    fn folders_are_watched_before_there_is_a_file() {
        let dir = tree(&["a/b/y.txt", "known/journal/x"]);
        let path = |name: &str| dir.path().join(name);
        let folders = |pattern: &str| {
            let pattern = path(pattern).to_string_lossy().into_owned();
            let patterns = Patterns::new(&[pattern], &[]).unwrap();
            patterns.find();
            patterns.folders()
        };
        assert_eq!(folders("a/x.log"), [path("a")].into());
        assert_eq!(folders("none/deep/*.log"), [dir.path().to_owned()].into());
        assert_eq!(folders("a/*/*.log"), [path("a"), path("a/b")].into());
        let known = Patterns::known(&path("known"), true).unwrap();
        known.find();
        assert_eq!(known.folders(), [path("known")].into());
    }

    #[test]
    fn globs_and_plain_paths() {
        let dir = tree(&["a/x.log", "a/b/y.log", "a/b/c/z.log", "a/b/c/z.txt"]);
        let root = dir.path().to_string_lossy().into_owned();
        let find = |wanted: &[&str], unwanted: &[&str]| {
            let text = |p: &[&str]| p.iter().map(|p| format!("{root}/{p}")).collect::<Vec<_>>();
            names(
                &Patterns::new(&text(wanted), &text(unwanted)).unwrap(),
                dir.path(),
            )
        };
        assert_eq!(find(&["a/*.log"], &[]), ["a/x.log"]);
        assert_eq!(find(&["a/*/*.log"], &[]), ["a/b/y.log"]);
        assert_eq!(find(&["**/*.log"], &["**/c/*"]), ["a/b/y.log", "a/x.log"]);
        assert_eq!(find(&["a/x.log", "a/none.log"], &[]), ["a/x.log"]);
    }
}
