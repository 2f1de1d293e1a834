//! The daemon's own pages, opened in Chromium.

use std::net::UdpSocket;

use super::{
    Browser, fits_a_phone, has_charts, has_lines, logs_find, overview_is_sound, picture,
    tail_follows, theme_switches, values_are_live,
};
use crate::daemon::Daemon;
use vigie_testkit::program;

const LISTEN: &str = "[journal]\nenabled = false\n[known_files]\nenabled = false\n[[syslog]]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn pages_work_in_a_browser() {
    let (Some(driver), Some(chromium)) = (program("chromedriver"), program("chromium")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), LISTEN);
    let (base, syslog) = (daemon.url(), daemon.address("syslog udp "));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let say = |words: &str| {
        socket
            .send_to(format!("<11>app: {words}").as_bytes(), &syslog)
            .unwrap()
    };
    say("needle <b>in</b> the haystack");
    let mut browser = Browser::start(&driver, &chromium);
    has_lines(&mut browser, &base, "haystack");
    has_charts(&mut browser, &base);
    overview_is_sound(&mut browser, &base);
    theme_switches(&mut browser, &base);
    values_are_live(&mut browser, &base);
    logs_find(&mut browser, &base, "haystack");
    tail_follows(&mut browser, &base, "latecomer", || {
        say("latecomer arrives");
    });
    fits_a_phone(&mut browser, &base);
}

#[test]
fn the_demonstration_shows_a_life_that_goes_on() {
    let (Some(driver), Some(chromium)) = (program("chromedriver"), program("chromium")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::try_start(dir.path(), "", "demo --days 1").unwrap();
    let base = daemon.url();
    let mut browser = Browser::start(&driver, &chromium);
    has_charts(&mut browser, &base);
    has_lines(&mut browser, &base, "status:*");
    browser.go(&format!("{base}/"));
    let text = browser.run("return document.body.textContent").to_string();
    for host in ["web1", "web2", "data1"] {
        assert!(text.contains(host), "{host} is missing");
    }
    values_are_live(&mut browser, &base);
    // The pictures of the README.
    if let Some(dir) = std::env::var_os("VIGIE_SCREENSHOTS") {
        for theme in ["light", "dark"] {
            let file = std::path::Path::new(&dir).join(format!("overview-{theme}.png"));
            picture(&mut browser, &base, theme, (1440, 1270), &file);
        }
    }
    assert!(daemon.terminate().success());
}
