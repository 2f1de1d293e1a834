//! What pages load besides themselves: embedded, compressed beforehand, kept by browsers for ever.

/// One embedded file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The name by which templates ask for it.
    pub(crate) name: &'static str,
    /// Its address, which changes with its contents.
    pub(crate) path: &'static str,
    /// Its type.
    pub(crate) kind: &'static str,
    /// As it is.
    pub(crate) plain: &'static [u8],
    /// Gzipped.
    pub(crate) gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The address of an embedded file.
pub(crate) fn path(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|a| a.name == name);
    found.map_or("", |a| a.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_and_small() {
        for name in ["vigie.css", "vigie.js", "uplot.js"] {
            assert!(path(name).starts_with("/assets/"), "{name}");
        }
        let bytes: usize = ASSETS.iter().map(|a| a.gzip.len()).sum();
        // The first page may transfer 150 KiB in all; its HTML needs the larger half.
        assert!(bytes < 60 << 10, "{bytes} bytes gzipped");
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in ASSETS.iter().filter(|a| a.name != "uplot.js") {
            let text = String::from_utf8_lossy(asset.plain);
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{}",
                asset.name
            );
        }
    }
}
