//! Just enough WebDriver (W3C) to drive a headless Chromium: one session, scripts, pictures, the
//! console. Waiting happens inside the browser, so no test sleeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The browser may take so long for what a test waits for.
const PATIENCE_MS: u64 = 60_000;

/// A browser window. Closed when dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Opens a window; `driver` is chromedriver, `chromium` the browser.
    pub(crate) fn start(driver: &std::path::Path, chromium: &std::path::Path) -> Self {
        let mut child = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("successfully on port ")?
                .1
                .trim_end_matches('.')
                .parse()
                .ok()
        });
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self {
            driver: child,
            port: port.expect("chromedriver says its port"),
            session: String::new(),
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--window-size=1440,900",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"script": PATIENCE_MS, "pageLoad": PATIENCE_MS},
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", &wanted);
        made["sessionId"]
            .as_str()
            .expect("a session")
            .clone_into(&mut browser.session);
        browser
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn go(&mut self, url: &str) {
        self.command("url", &json!({"url": url}));
    }

    /// Runs a script; what it returns.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        self.command("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits, inside the browser, until an expression is true.
    pub(crate) fn until(&mut self, condition: &str) {
        let script = format!(
            "const done = arguments[0], look = () => {{ let is = false; try {{ is = {condition}; }} catch {{}} \
             if (is) done(true); else setTimeout(look, 20); }}; look();"
        );
        let is = self.command("execute/async", &json!({"script": script, "args": []}));
        assert_eq!(is, json!(true), "never: {condition}");
    }

    /// Gives the window another size.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        // A headless window may be narrower than a real one only by emulation.
        let metrics = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}});
        self.command("goog/cdp/execute", &metrics);
    }

    /// The window as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let encoded = self.get("screenshot");
        base64(encoded.as_str().expect("a picture"))
    }

    /// What the console has complained about since it was asked last.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let log = self.command("se/log", &json!({"type": "browser"}));
        let severe = |e: &&Value| matches!(e["level"].as_str(), Some("SEVERE" | "WARNING"));
        let entries = log.as_array().into_iter().flatten().filter(severe);
        entries.map(|e| e["message"].to_string()).collect()
    }

    fn command(&mut self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        self.ask("POST", &path, body)
    }

    fn get(&mut self, path: &str) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        self.ask("GET", &path, &Value::Null)
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].take();
        if let Some(error) = value["error"].as_str() {
            panic!("{path}: {error}: {}", value["message"]);
        }
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A failed test has its own message; the window goes with the driver in any case.
        let path = format!("/session/{}", self.session);
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.ask("DELETE", &path, &Value::Null)
        }));
        drop(closed);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut have) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(bits >> have & 0xff).unwrap());
        }
    }
    out
}
