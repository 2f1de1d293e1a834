//! What old series are called here: a metric's name and labels from the path of the file and the name
//! of the data source.

use std::path::Path;

use vigie_parsers::archives::Series;
use vigie_query::Labels;

/// Kinds of data sources whose values are rates: the file keeps what they grew a second.
const RATES: [&str; 5] = ["COUNTER", "DERIVE", "ABSOLUTE", "DCOUNTER", "DDERIVE"];
/// Data sources that are called like nothing: the file's name says what they are.
const NAMELESS: [&str; 5] = ["", "42", "value", "data", "sum"];

/// What the user said about names.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// `--name`.
    pub(super) name: Option<String>,
    /// `--label`.
    pub(super) labels: Vec<(String, String)>,
    /// `--counters`.
    pub(super) counters: bool,
}

/// A file as far as its name goes.
pub(super) struct Place<'a> {
    /// The parts of its path.
    parts: Vec<&'a str>,
    /// The same below the folder that was named.
    below: Vec<&'a str>,
    /// The file's name without its ending.
    stem: &'a str,
}

/// A name and labels on their way.
#[derive(Debug, PartialEq)]
struct Naming {
    metric: String,
    labels: Vec<(&'static str, String)>,
}

impl<'a> Place<'a> {
    /// `root` is the folder that was named, if the file was found in one. Parts of a path that are no
    /// text are left out.
    pub(super) fn new(path: &'a Path, root: Option<&Path>) -> Self {
        let parts = |path: &'a Path| -> Vec<&'a str> {
            let folders = path.parent().into_iter().flat_map(Path::components);
            let text = folders.filter_map(|c| c.as_os_str().to_str());
            text.filter(|t| !matches!(*t, "/" | "." | "..")).collect()
        };
        let below = root.and_then(|root| path.strip_prefix(root).ok());
        Self {
            parts: parts(path),
            below: below.map(parts).unwrap_or_default(),
            stem: path.file_stem().and_then(|s| s.to_str()).unwrap_or("file"),
        }
    }

    fn parent(&self) -> &'a str {
        self.parts.last().copied().unwrap_or_default()
    }

    /// The folders below one of this name.
    fn under(&self, name: &str) -> Option<&[&'a str]> {
        let at = self.parts.iter().rposition(|p| *p == name)?;
        self.parts.get(at + 1..)
    }
}

/// Whether the file keeps what a data source grew a second.
pub(super) fn is_rate(one: &Series) -> bool {
    RATES.contains(&one.kind.as_str())
}

/// Whether a rate is below zero somewhere: it is not one of a counter.
pub(super) fn falls(one: &Series) -> bool {
    let mut averages = one.archives.iter().flat_map(|a| &a.average);
    averages.any(|&rate| rate < 0.0)
}

/// Whether a data source is to be read as a counter.
pub(super) fn is_counter(one: &Series, wishes: &Wishes) -> bool {
    wishes.counters && is_rate(one) && !falls(one)
}

/// What a name ends in, unless it was given.
fn ending(rate: bool, counter: bool) -> &'static str {
    match (rate, counter) {
        (_, true) => "_total",
        (true, false) => "_per_second",
        (false, false) => "",
    }
}

/// The name and labels of a data source of rrdtool.
pub(super) fn rrd(place: &Place<'_>, series: &[Series], one: &Series, wishes: &Wishes) -> Labels {
    let has = |name: &str| series.iter().any(|s| s.name == name);
    let rules = [munin, collectd, librenms, cacti];
    let counter = is_counter(one, wishes);
    let (naming, rate) = if has("median") && has("loss") {
        (smokeping(place, one), is_rate(one))
    } else if series.len() == 2 && has("ds0") && has("ds1") {
        let name = if one.name == "ds0" {
            "mrtg_in"
        } else {
            "mrtg_out"
        };
        // MRTG's own files have always been called like its logs.
        (naming(name, [("target", place.stem)]), false)
    } else {
        let naming = rules
            .into_iter()
            .find_map(|rule| rule(place, one))
            .unwrap_or_else(|| plain(place, one));
        (naming, is_rate(one))
    };
    let naming = Naming {
        metric: naming.metric + ending(rate, counter),
        ..naming
    };
    finish(naming, series.len(), one, wishes)
}

/// The name and labels of a curve of MRTG: `name` is `in`, `out` or `max_in`, `max_out`; whether it is read
/// as a counter.
pub(super) fn mrtg(
    target: &str,
    title: &str,
    (one, counter): (&Series, bool),
    wishes: &Wishes,
) -> Labels {
    let metric = format!("mrtg_{}{}", one.name, ending(false, counter));
    finish(
        naming(&metric, [("target", target), ("title", title)]),
        2,
        one,
        wishes,
    )
}

/// The name and labels of a file of whisper: its dotted path is a label.
pub(super) fn whisper(place: &Place<'_>, one: &Series, wishes: &Wishes) -> Labels {
    let folders = place.under("whisper").unwrap_or(&place.below);
    let path: Vec<&str> = folders.iter().copied().chain([place.stem]).collect();
    let metric = format!("graphite_{}", place.stem);
    finish(
        naming(&metric, [("path", path.join(".").as_str())]),
        1,
        one,
        wishes,
    )
}

fn naming<const N: usize>(metric: &str, labels: [(&'static str, &str); N]) -> Naming {
    Naming {
        metric: metric.to_owned(),
        labels: labels
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
    }
}

fn finish(naming: Naming, series: usize, one: &Series, wishes: &Wishes) -> Labels {
    let metric = match &wishes.name {
        Some(name) if series > 1 => format!("{name}_{}", one.name),
        Some(name) => name.clone(),
        None => naming.metric,
    };
    let metric = metric_name(&metric);
    let own = naming.labels.into_iter().map(|(n, v)| (n.to_owned(), v));
    // A later one takes the place of an earlier one; an empty value is no label.
    let pairs = own
        .chain(wishes.labels.iter().cloned())
        .filter(|(_, v)| !v.is_empty());
    Labels::new(pairs.chain([("__name__".to_owned(), metric)]))
}

/// Letters, digits and `_`, no digit first.
fn metric_name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let name: String = text
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

/// `DOMAIN/HOST-PLUGIN-FIELD-g.rrd`; the data source is called 42.
fn munin(place: &Place<'_>, one: &Series) -> Option<Naming> {
    if one.name != "42" {
        return None;
    }
    let (rest, kind) = place.stem.rsplit_once('-')?;
    let (rest, field) = rest.rsplit_once('-')?;
    matches!(kind, "g" | "c" | "d" | "a").then_some(())?;
    // Both a host and a plugin may have dashes; a host's name has dots.
    let parts: Vec<&str> = rest.split('-').collect();
    let host = parts.iter().rposition(|p| p.contains('.')).unwrap_or(0) + 1;
    let (host, plugin) = (parts.get(..host)?.join("-"), parts.get(host..)?.join("_"));
    if plugin.is_empty() {
        return None;
    }
    let labels = [
        ("instance", host.as_str()),
        ("group", place.parent()),
        ("field", field),
    ];
    Some(naming(&format!("munin_{plugin}"), labels))
}

/// `…/collectd/rrd/HOST/PLUGIN-INSTANCE/TYPE-INSTANCE.rrd`, named as its exporter names them.
fn collectd(place: &Place<'_>, one: &Series) -> Option<Naming> {
    let [.., host, plugin] = place.under("collectd")? else {
        return None;
    };
    let split = |text: &'_ str| -> (String, String) {
        let (name, instance) = text.split_once('-').unwrap_or((text, ""));
        (name.to_owned(), instance.to_owned())
    };
    let ((plugin, plugin_instance), (kind, type_instance)) = (split(plugin), split(place.stem));
    let mut metric = format!("collectd_{plugin}");
    for part in [&kind, &one.name] {
        if *part != plugin && part != "value" {
            metric.push('_');
            metric.push_str(part);
        }
    }
    let labels = vec![
        ("instance", (*host).to_owned()),
        ("plugin_instance", plugin_instance),
        ("type", type_instance),
    ];
    Some(Naming { metric, labels })
}

/// `…/librenms/rrd/HOST/port-id12.rrd`: what stands before the first dash is the kind.
fn librenms(place: &Place<'_>, one: &Series) -> Option<Naming> {
    place.under("librenms")?;
    let (kind, id) = place.stem.split_once('-').unwrap_or((place.stem, ""));
    let metric = format!("librenms_{kind}_{}", one.name).to_ascii_lowercase();
    Some(naming(&metric, [("instance", place.parent()), ("id", id)]))
}

/// `HOST_SOURCE_12.rrd`, or `12/34.rrd`: the numbers of host and data in its database.
fn cacti(place: &Place<'_>, one: &Series) -> Option<Naming> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let metric = format!("cacti_{}", one.name);
    if number(place.stem) && number(place.parent()) {
        return Some(naming(
            &metric,
            [("host", place.parent()), ("id", place.stem)],
        ));
    }
    let (rest, id) = place.stem.rsplit_once('_').filter(|(_, id)| number(id))?;
    let under_rra = place.parent() == "rra";
    let host = match rest
        .strip_suffix(one.name.as_str())
        .and_then(|h| h.strip_suffix('_'))
    {
        Some(host) => host,
        None if under_rra => rest,
        None => return None,
    };
    Some(naming(&metric, [("instance", host), ("id", id)]))
}

/// `GROUP/HOST.rrd` with loss, median and the pings in order.
fn smokeping(place: &Place<'_>, one: &Series) -> Naming {
    let ping = one
        .name
        .strip_prefix("ping")
        .filter(|n| n.parse::<u32>().is_ok());
    let metric = match ping {
        Some(_) => "smokeping_ping".to_owned(),
        None => format!("smokeping_{}", one.name),
    };
    let labels = [
        ("group", place.parent()),
        ("target", place.stem),
        ("rank", ping.unwrap_or_default()),
    ];
    naming(&metric, labels)
}

/// Any other: the data source's name, and the file's as a label.
fn plain(place: &Place<'_>, one: &Series) -> Naming {
    let file: Vec<&str> = place.below.iter().copied().chain([place.stem]).collect();
    if NAMELESS.contains(&one.name.as_str()) {
        let folder = place.below.join("/");
        return naming(place.stem, [("folder", folder.as_str())]);
    }
    naming(&one.name, [("file", file.join("/").as_str())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, kind: &str) -> Series {
        Series {
            name: name.to_owned(),
            kind: kind.to_owned(),
            archives: Vec::new(),
        }
    }

    #[test]
    fn paths_of_known_programs_come_out_readable() {
        let rows = [
            (
                "/var/lib/munin/example.org/web1.example.org-cpu-user-d.rrd",
                "42",
                "DERIVE",
                "munin_cpu_per_second{field=\"user\",group=\"example.org\",instance=\"web1.example.org\"}",
            ),
            (
                "/var/lib/munin/lab/a-b.lab-diskstats_latency-sda-avgwait-g.rrd",
                "42",
                "GAUGE",
                "munin_diskstats_latency_sda{field=\"avgwait\",group=\"lab\",instance=\"a-b.lab\"}",
            ),
            (
                "/var/lib/collectd/rrd/web1/cpu-0/cpu-idle.rrd",
                "value",
                "DERIVE",
                "collectd_cpu_per_second{instance=\"web1\",plugin_instance=\"0\",type=\"idle\"}",
            ),
            (
                "/var/lib/collectd/rrd/web1/interface-eth0/if_octets.rrd",
                "rx",
                "DERIVE",
                "collectd_interface_if_octets_rx_per_second{instance=\"web1\",plugin_instance=\"eth0\"}",
            ),
            (
                "/opt/librenms/rrd/r1.example.org/port-id12.rrd",
                "INOCTETS",
                "DERIVE",
                "librenms_port_inoctets_per_second{id=\"id12\",instance=\"r1.example.org\"}",
            ),
            (
                "/usr/share/cacti/site/rra/router_traffic_in_42.rrd",
                "traffic_in",
                "COUNTER",
                "cacti_traffic_in_per_second{id=\"42\",instance=\"router\"}",
            ),
            (
                "/usr/share/cacti/site/rra/7/42.rrd",
                "load",
                "GAUGE",
                "cacti_load{host=\"7\",id=\"42\"}",
            ),
            (
                "/srv/x/room.rrd",
                "temperature",
                "GAUGE",
                "temperature{file=\"room\"}",
            ),
            ("/srv/x/3 rooms.rrd", "value", "GAUGE", "_3_rooms"),
        ];
        for (path, name, kind, want) in rows {
            let one = series(name, kind);
            let place = Place::new(Path::new(path), None);
            let got = rrd(&place, std::slice::from_ref(&one), &one, &Wishes::default());
            assert_eq!(got.to_string(), want, "{path}");
        }
    }

    #[test]
    fn counters_are_called_totals_unless_they_fall() {
        let wishes = Wishes {
            counters: true,
            ..Wishes::default()
        };
        let place = Place::new(Path::new("/srv/rra/router_traffic_in_42.rrd"), None);
        let name = |kind: &str, rate: f64| {
            let mut one = series("traffic_in", kind);
            one.archives.push(vigie_parsers::archives::Archive {
                average: vec![f64::NAN, rate],
                ..Default::default()
            });
            let named = rrd(&place, std::slice::from_ref(&one), &one, &wishes);
            (named.name().to_owned(), is_counter(&one, &wishes))
        };
        let is = |name: &str, counter| (name.to_owned(), counter);
        assert_eq!(name("COUNTER", 1.0), is("cacti_traffic_in_total", true));
        assert_eq!(
            name("DERIVE", -1.0),
            is("cacti_traffic_in_per_second", false)
        );
        assert_eq!(name("GAUGE", 1.0), is("cacti_traffic_in", false));
    }

    #[test]
    fn several_sources_of_one_file() {
        let names = |path: &str, sources: &[&str]| -> Vec<String> {
            let all: Vec<Series> = sources.iter().map(|n| series(n, "COUNTER")).collect();
            let place = Place::new(Path::new(path), None);
            all.iter()
                .map(|one| rrd(&place, &all, one, &Wishes::default()).to_string())
                .collect()
        };
        assert_eq!(
            names("/w/r1_2.rrd", &["ds0", "ds1"]),
            ["mrtg_in{target=\"r1_2\"}", "mrtg_out{target=\"r1_2\"}"]
        );
        let smoke = names("/s/EU/paris.rrd", &["loss", "median", "ping7"]);
        assert_eq!(
            smoke[2],
            "smokeping_ping_per_second{group=\"EU\",rank=\"7\",target=\"paris\"}"
        );
        assert_eq!(
            names("/s/rra/h_traffic_in_9.rrd", &["traffic_in", "traffic_out"])[1],
            "cacti_traffic_out_per_second{id=\"9\",instance=\"h_traffic_in\"}"
        );
    }

    #[test]
    fn wishes_come_first() {
        let wishes = Wishes {
            name: Some("line".to_owned()),
            labels: vec![
                ("site".to_owned(), "paris".to_owned()),
                ("target".to_owned(), "x".to_owned()),
            ],
            counters: false,
        };
        let place = Place::new(Path::new("/w/whisper/servers/web1/load.wsp"), None);
        let one = series("", "average");
        assert_eq!(
            whisper(&place, &one, &Wishes::default()).to_string(),
            "graphite_load{path=\"servers.web1.load\"}"
        );
        assert_eq!(
            whisper(&place, &one, &wishes).to_string(),
            "line{path=\"servers.web1.load\",site=\"paris\",target=\"x\"}"
        );
        assert_eq!(
            mrtg("r1", "", (&series("in", ""), false), &wishes).to_string(),
            "line_in{site=\"paris\",target=\"x\"}"
        );
    }
}
