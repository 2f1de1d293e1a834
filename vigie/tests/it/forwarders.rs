//! rsyslog and syslog-ng forward to the daemon by every transport they have: each message once, in the
//! sender's words.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use vigie_testkit::program;

use crate::daemon::{Daemon, eventually, text};

/// Messages by each transport.
const COUNT: usize = 2000;

const LISTEN: &str = r#"
[host]
enabled = false
[journal]
enabled = false
[known_files]
enabled = false
[[syslog]]
listen = "127.0.0.1:0"
[[syslog]]
listen = "127.0.0.1:0"
protocols = ["tls"]
[syslog.tls]
certificate = "DIR/localhost.pem"
key = "DIR/localhost.key"
client_ca = "DIR/ca.pem"
permitted_peers = ["sender.example"]
"#;

/// A forwarding daemon of others, ended with the test.
struct Forwarder(Child);

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority, and what it signs for both sides, in `dir`.
pub(crate) fn certificates(dir: &Path) {
    // OpenSSL takes a certificate for its own issuer when both have one name.
    let named = |name: &str, alternatives: Vec<String>| {
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority", vec![]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
    for name in ["localhost", "sender.example"] {
        let key = KeyPair::generate().unwrap();
        let params = named(name, vec![name.to_owned()]);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn port(daemon: &Daemon, protocol: &str) -> u16 {
    let address = daemon.address(&format!("syslog {protocol} "));
    address.parse::<SocketAddr>().unwrap().port()
}

/// Writes numbered messages into the socket of a transport, as syslog(3) would.
fn send(socket: &Path, transport: &str) {
    let sender = UnixDatagram::unbound().unwrap();
    eventually(transport, || sender.connect(socket).ok());
    for seq in 0..COUNT {
        let message =
            format!("<36>Nov 21 05:10:56 demo[4853]: run={transport} seq={seq} it's \"quoted\"");
        sender.send(message.as_bytes()).unwrap();
    }
}

/// Waits until all messages of a transport are in the store, and looks at each.
fn check(daemon: &Daemon, transport: &str) {
    let query = format!("app:demo \"run={transport}\"");
    let args = [
        "logs",
        &query,
        "--format",
        "json",
        "-n",
        "10000",
        "--since",
        "1970-01-01",
    ];
    let events = eventually(transport, || {
        let out = text(&daemon.cli(&args));
        let events: Vec<serde_json::Value> = out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        (events.len() >= COUNT).then_some(events)
    });
    assert_eq!(events.len(), COUNT, "{transport}: none twice");
    let mut seen = vec![false; COUNT];
    for event in &events {
        let message = event["message"].as_str().unwrap();
        let rest = message
            .strip_prefix(&format!("run={transport} seq="))
            .expect(message);
        let (seq, tail) = rest.split_once(' ').unwrap();
        assert_eq!(tail, "it's \"quoted\"", "{transport}");
        assert_eq!(event["level"], "warn", "{transport}");
        seen[seq.parse::<usize>().unwrap()] = true;
    }
    assert!(seen.iter().all(|s| *s), "{transport}: all numbers");
}

/// Starts the daemon and a forwarder whose configuration `configure` writes; sends by each transport.
fn forward(transports: &[&str], start: impl FnOnce(&Path, &Daemon) -> Command) {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let config = LISTEN.replace("DIR", dir.path().to_str().unwrap());
    let daemon = Daemon::start(dir.path(), &config);
    let mut command = start(dir.path(), &daemon);
    let log = std::fs::File::create(dir.path().join("forwarder.log")).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _forwarder = Forwarder(command.spawn().unwrap());
    for transport in transports {
        send(&dir.path().join(transport), transport);
    }
    for transport in transports {
        check(&daemon, transport);
    }
    let status = daemon.cli(&["status", "--format", "json"]);
    assert!(
        !text(&status).contains("kernel"),
        "nothing was dropped: {}",
        text(&status)
    );
}

#[test]
fn rsyslog_by_udp_tcp_and_tls() {
    let Some(rsyslogd) = program("rsyslogd") else {
        return;
    };
    let transports = ["udp3164", "udp5424", "tcp3164", "tcp5424", "tls5424"];
    forward(&transports, |dir, daemon| {
        let dir = dir.to_str().unwrap();
        let mut config = format!(
            "global(workDirectory=\"{dir}\" defaultNetstreamDriverCAFile=\"{dir}/ca.pem\"\n\
             defaultNetstreamDriverCertFile=\"{dir}/sender.example.pem\"\n\
             defaultNetstreamDriverKeyFile=\"{dir}/sender.example.key\")\n\
             module(load=\"imuxsock\" sysSock.use=\"off\")\n"
        );
        for name in transports {
            let (protocol, rfc) = name.split_at(3);
            let template = match rfc {
                "3164" => "RSYSLOG_TraditionalForwardFormat",
                _ => "RSYSLOG_SyslogProtocol23Format",
            };
            let framing = match (protocol, rfc) {
                ("udp", _) | (_, "3164") => "",
                _ => "TCP_Framing=\"octet-counted\"",
            };
            let tls = match protocol {
                "tls" => {
                    "StreamDriver=\"gtls\" StreamDriverMode=\"1\" \
                     StreamDriverAuthMode=\"x509/name\" StreamDriverPermittedPeers=\"localhost\""
                }
                _ => "",
            };
            let transport = if protocol == "udp" { "udp" } else { "tcp" };
            let port = port(daemon, protocol);
            config.push_str(&format!(
                "input(type=\"imuxsock\" socket=\"{dir}/{name}\" ruleset=\"{name}\")\n\
                 ruleset(name=\"{name}\") {{ action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\"\n\
                 protocol=\"{transport}\" template=\"{template}\" {framing} {tls}) }}\n"
            ));
        }
        let path = Path::new(dir).join("rsyslog.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(rsyslogd);
        command.args(["-n", "-f"]).arg(path).args(["-i", "NONE"]);
        command
    });
}

/// syslog-ng as `cargo xtask setup` unpacks it: its program, its libraries and its modules.
pub(crate) fn syslog_ng() -> Option<(PathBuf, PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("syslog-ng/usr");
    let program = root.join("sbin/syslog-ng");
    if !program.exists() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI needs syslog-ng"
        );
        println!("skipped: syslog-ng is not unpacked (cargo xtask setup)");
        return None;
    }
    let version = std::fs::read_dir(root.join("lib/syslog-ng"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.is_dir())
        .expect("a folder of modules");
    Some((program, root.join("lib"), version))
}

/// Starts it from where it was unpacked, with all its files in `dir`.
pub(crate) fn syslog_ng_command(
    (program, libraries, modules): (&Path, &Path, &Path),
    dir: &Path,
    config: &Path,
) -> Command {
    let mut every = vec![libraries.to_owned(), libraries.join("syslog-ng")];
    every.push(libraries.join(format!("{}-linux-gnu", std::env::consts::ARCH)));
    let every: Vec<_> = every.iter().map(|p| p.to_str().unwrap()).collect();
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", every.join(":"))
        .args(["-F", "--no-caps"])
        .arg(format!("--module-path={}", modules.display()))
        .arg("-f")
        .arg(config)
        .arg("-R")
        .arg(dir.join("ng.persist"))
        .arg("-p")
        .arg(dir.join("ng.pid"))
        .arg("-c")
        .arg(dir.join("ng.ctl"));
    command
}

#[test]
fn syslog_ng_by_udp_tcp_and_tls() {
    let Some((program, libraries, modules)) = syslog_ng() else {
        return;
    };
    let transports = ["udp3164", "udp5424", "tcp3164", "tcp5424", "tls5424"];
    forward(&transports, |dir, daemon| {
        let version = modules.file_name().unwrap().to_str().unwrap();
        let dir = dir.to_str().unwrap();
        let mut config = format!("@version: {version}\noptions {{ stats-freq(0); }};\n");
        for name in transports {
            let (protocol, rfc) = name.split_at(3);
            let driver = if rfc == "3164" { "network" } else { "syslog" };
            let port = port(daemon, protocol);
            let tls = match protocol {
                "tls" => format!(
                    "tls(ca-file(\"{dir}/ca.pem\") cert-file(\"{dir}/sender.example.pem\") \
                     key-file(\"{dir}/sender.example.key\") peer-verify(required-trusted))"
                ),
                _ => String::new(),
            };
            let target = if protocol == "tls" {
                "localhost"
            } else {
                "127.0.0.1"
            };
            config.push_str(&format!(
                "source s_{name} {{ unix-dgram(\"{dir}/{name}\"); }};\n\
                 destination d_{name} {{ {driver}(\"{target}\" port({port}) transport(\"{protocol}\") \
                 persist-name(\"{name}\") {tls}); }};\n\
                 log {{ source(s_{name}); destination(d_{name}); }};\n"
            ));
        }
        let path = Path::new(dir).join("syslog-ng.conf");
        std::fs::write(&path, config).unwrap();
        syslog_ng_command((&program, &libraries, &modules), Path::new(dir), &path)
    });
}
