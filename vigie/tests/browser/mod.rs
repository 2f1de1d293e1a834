//! The pages in a real browser: what loads, what moves, what is found. Each function takes the
//! address of a running vigie.

mod driver;
mod pages;

use std::path::Path;

pub(crate) use driver::Browser;

/// Waits until the overview has its charts: until then the page loads itself anew.
pub(crate) fn has_charts(browser: &mut Browser, base: &str) {
    browser.go(&format!("{base}/healthz"));
    browser.until(
        "(fetch('/api/series?view=overview').then(r => r.json()) \
         .then(a => { window.found = a.charts.some(c => c.id == 'cpu') }), window.found)",
    );
}

/// Waits until a log query finds something.
pub(crate) fn has_lines(browser: &mut Browser, base: &str, query: &str) {
    browser.go(&format!("{base}/healthz"));
    browser.until(&format!(
        "(fetch('/api/v1/logs?q=' + encodeURIComponent({})).then(r => r.json()) \
         .then(a => {{ window.found = a.data.events.length }}), window.found > 0)",
        serde_json::json!(query)
    ));
}

/// The overview loads without a complaint, asks nobody but us, and its charts become interactive.
pub(crate) fn overview_is_sound(browser: &mut Browser, base: &str) {
    // Tall enough for the chart: those below the fold wait until they are scrolled to.
    browser.size(1440, 1400);
    browser.go(&format!("{base}/"));
    browser.until("document.querySelector('[data-chart=cpu][data-ready]') !== null");
    browser.until("document.querySelector('[data-chart=cpu] canvas') !== null");
    let strangers = browser.run(
        "return performance.getEntriesByType('resource').map(e => e.name) \
         .filter(u => !u.startsWith(location.origin) && !u.startsWith('data:'))",
    );
    assert_eq!(
        strangers,
        serde_json::json!([]),
        "requests to other origins"
    );
    let transferred = browser.run(
        "return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')] \
         .reduce((n, e) => n + (e.transferSize || 0), 0)",
    );
    let bytes = transferred.as_f64().unwrap();
    println!("the overview transfers {bytes} bytes");
    assert!(
        bytes > 10_000.0 && bytes <= 150.0 * 1024.0,
        "{bytes} bytes for the first page"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new(), "console");
}

/// A click on the theme turns light into dark, and the next page remembers.
pub(crate) fn theme_switches(browser: &mut Browser, base: &str) {
    let color = "return getComputedStyle(document.body).backgroundColor";
    browser.go(&format!("{base}/?theme=light"));
    let light = browser.run(color);
    browser.run("document.querySelector('[data-do=theme]').click()");
    let dark = browser.run(color);
    assert_ne!(light, dark);
    browser.go(&format!("{base}/incidents"));
    assert_eq!(browser.run(color), dark);
    browser.run("document.querySelector('[data-do=theme]').click()");
}

/// Vital signs change by themselves.
pub(crate) fn values_are_live(browser: &mut Browser, base: &str) {
    browser.go(&format!("{base}/"));
    browser.run("window.was = document.querySelector('.vitals').textContent");
    browser.until("document.querySelector('.vitals').textContent !== window.was");
}

/// The logs page finds a line by a word of it, and opens it.
pub(crate) fn logs_find(browser: &mut Browser, base: &str, word: &str) {
    browser.go(&format!("{base}/logs"));
    browser.run(&format!(
        "const q = document.querySelector('#qform [data-query]'); q.value = {}; q.form.submit()",
        serde_json::json!(word)
    ));
    browser.until(&format!(
        "location.search.includes('q=') && \
         [...document.querySelectorAll('.row .msg')].some(m => m.textContent.includes({}))",
        serde_json::json!(word)
    ));
    browser.run("document.querySelector('.row > summary').click()");
    browser.until("document.querySelector('.row[open] .rx dl > div') !== null");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "console");
}

/// The live tail shows what arrives; `send` makes a line with the word arrive.
pub(crate) fn tail_follows(browser: &mut Browser, base: &str, word: &str, mut send: impl FnMut()) {
    browser.go(&format!("{base}/logs?q={word}"));
    browser.run("document.querySelector('#tail').click()");
    send();
    browser.until(&format!(
        "[...document.querySelectorAll('.row .msg')].some(m => m.textContent.includes({}))",
        serde_json::json!(word)
    ));
}

/// On a phone nothing is wider than the screen.
pub(crate) fn fits_a_phone(browser: &mut Browser, base: &str) {
    browser.size(390, 844);
    for path in ["/", "/logs", "/incidents", "/explore?s=node_load1"] {
        browser.go(&format!("{base}{path}"));
        let wide = browser.run(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]",
        );
        let [page, screen] = [0, 1].map(|i| wide[i].as_u64().unwrap());
        assert!(
            page <= screen,
            "{path} is {page} px wide on a screen of {screen}"
        );
    }
    browser.size(1440, 900);
}

/// A picture of a page.
pub(crate) fn picture(
    browser: &mut Browser,
    base: &str,
    theme: &str,
    size: (u32, u32),
    file: &Path,
) {
    browser.size(size.0, size.1);
    browser.go(&format!("{base}/?theme={theme}"));
    browser.until("document.querySelector('[data-chart=cpu][data-ready]') !== null");
    std::fs::write(file, browser.picture()).unwrap();
}
