//! Forwarding to targets as one meets them: with certificates, deaf, slow, hasty; of messages as one gets them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use vigie_testkit::program;

use crate::daemon::{Daemon, eventually, free_port, numbers, stored, text};
use crate::forwarders::{certificates, syslog_ng, syslog_ng_command};
use crate::relay::Receiver;

const QUIET: &str = "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
                     [docker]\nenabled = false\n";

/// Starts a daemon that takes syslog over TCP and forwards it; its address.
fn sender(dir: &Path, relay: &str) -> (Daemon, String) {
    let config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:0\"\nprotocols = [\"tcp\"]\n[[relay]]\nhistory = true\n{relay}\n"
    );
    let daemon = Daemon::start(dir, &config);
    let address = daemon.address("syslog tcp ");
    (daemon, address)
}

/// Hands messages over, octet-counted.
fn hand_over(address: &str, messages: &[Vec<u8>]) {
    let mut out = std::io::BufWriter::new(TcpStream::connect(address).unwrap());
    for message in messages {
        write!(out, "{} ", message.len()).unwrap();
        out.write_all(message).unwrap();
    }
    out.flush().unwrap();
}

/// What a connection brings, up to these words.
fn take_until(stream: &mut TcpStream, end: &str) -> Vec<u8> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    text
}

fn numbered(from: usize, to: usize) -> Vec<Vec<u8>> {
    let message =
        |seq| format!("<36>1 2026-11-21T05:10:00Z web1 demo - - - seq={seq} .").into_bytes();
    (from..to).map(message).collect()
}

fn relay_status(daemon: &Daemon) -> serde_json::Value {
    let status = text(&daemon.cli(&["status", "--format", "json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let sources = status["sources"].as_array().unwrap();
    let is_relay = |s: &&serde_json::Value| s["source"].as_str().unwrap().starts_with("relay:");
    sources.iter().find(is_relay).cloned().unwrap_or_default()
}

/// A receiver of others takes numbered messages over TLS, each side with a certificate.
fn secure(dir: &Path, port: u16, out: &Path, receiver: Command) {
    let _receiver = Receiver::start(receiver, dir);
    let folder = dir.display();
    let relay = format!(
        "to = \"localhost:{port}\"\n[relay.tls]\nca = \"{folder}/ca.pem\"\n\
         certificate = \"{folder}/sender.example.pem\"\nkey = \"{folder}/sender.example.key\""
    );
    let (_daemon, address) = sender(dir, &relay);
    hand_over(&address, &numbered(0, 2000));
    let found = eventually("all lines arrive", || {
        let text = std::fs::read_to_string(out).unwrap_or_default();
        let found: Vec<usize> = numbers(&text.lines().collect::<Vec<_>>(), "seq=");
        (found.len() >= 2000).then_some(found)
    });
    assert_eq!(found, (0..2000).collect::<Vec<_>>());
}

#[test]
fn rsyslog_takes_what_is_forwarded_over_tls_with_certificates() {
    let Some(rsyslogd) = program("rsyslogd") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (port, out) = (free_port(), dir.path().join("out"));
    let folder = dir.path().display();
    let config = format!(
        "global(workDirectory=\"{folder}\" defaultNetstreamDriverCAFile=\"{folder}/ca.pem\"\n\
         defaultNetstreamDriverCertFile=\"{folder}/localhost.pem\" defaultNetstreamDriverKeyFile=\"{folder}/localhost.key\")\n\
         module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"x509/name\"\n\
         permittedPeer=[\"sender.example\"])\ninput(type=\"imtcp\" port=\"{port}\")\n\
         action(type=\"omfile\" file=\"{}\")\n",
        out.display()
    );
    let path = dir.path().join("rsyslog.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(rsyslogd);
    command.args(["-n", "-i", "NONE", "-f"]).arg(&path);
    secure(dir.path(), port, &out, command);
}

#[test]
fn syslog_ng_takes_what_is_forwarded_over_tls_with_certificates() {
    let Some((program, libraries, modules)) = syslog_ng() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (port, out) = (free_port(), dir.path().join("out"));
    let version = modules.file_name().unwrap().to_str().unwrap().to_owned();
    let folder = dir.path().display();
    let config = format!(
        "@version: {version}\noptions {{ stats-freq(0); flush-lines(1); }};\n\
         source s {{ syslog(ip(127.0.0.1) port({port}) transport(\"tls\") tls(key-file(\"{folder}/localhost.key\")\n\
         cert-file(\"{folder}/localhost.pem\") ca-file(\"{folder}/ca.pem\") peer-verify(required-trusted))); }};\n\
         destination d {{ file(\"{}\"); }};\nlog {{ source(s); destination(d); }};\n",
        out.display()
    );
    let path = dir.path().join("syslog-ng.conf");
    std::fs::write(&path, config).unwrap();
    let command = syslog_ng_command((&program, &libraries, &modules), dir.path(), &path);
    secure(dir.path(), port, &out, command);
}

/// More than kernels keep of it.
#[test]
fn a_target_that_never_reads_is_told_of_and_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let (daemon, address) = sender(
        dir.path(),
        &format!("to = \"{}\"", deaf.local_addr().unwrap()),
    );
    let long = |seq: usize| {
        let text = "0123456789abcdef".repeat(3000);
        format!("<36>1 2026-11-21T05:10:00Z web1 demo - - - seq={seq} {text}").into_bytes()
    };
    hand_over(&address, &(0..400).map(long).collect::<Vec<_>>());
    eventually("the stall is told", || {
        let status = relay_status(&daemon);
        let stuck = status["state"] == "failed" && status["detail"] == "the target takes nothing";
        (stuck && status["lag_bytes"].as_u64() > Some(0)).then_some(())
    });
    let begun = Instant::now();
    assert!(daemon.terminate().success());
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    drop(deaf);
}

/// One message for each connection, as a target does that dies of each.
#[test]
fn a_target_that_closes_after_each_message_gets_on() {
    let dir = tempfile::tempdir().unwrap();
    let hasty = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = hasty.local_addr().unwrap();
    let relay = format!("to = \"{to}\"\nsettle = \"0s\"");
    let (daemon, address) = sender(dir.path(), &relay);
    let frame = |seq: usize| {
        hand_over(&address, &numbered(seq, seq + 1));
        let (mut stream, _) = hasty.accept().unwrap();
        let text = take_until(&mut stream, &format!("seq={seq} ."));
        let mark = text.windows(4).filter(|w| w == b"seq=").count();
        assert_eq!(mark, 1, "{}", String::from_utf8_lossy(&text));
    };
    for seq in 0..4 {
        frame(seq);
    }
    eventually("it is known to be closed", || {
        (relay_status(&daemon)["state"] == "failed").then_some(())
    });
}

/// It may be a proxy without a backend, or only of little patience: what to do is said.
#[test]
fn a_target_that_ends_idle_connections_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let impatient = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = impatient.local_addr().unwrap();
    let (daemon, address) = sender(dir.path(), &format!("to = \"{to}\""));
    hand_over(&address, &numbered(0, 1));
    let (mut stream, _) = impatient.accept().unwrap();
    take_until(&mut stream, "seq=0 .");
    drop(stream);
    eventually("the setting is named", || {
        let status = relay_status(&daemon);
        let detail = status["detail"].as_str().unwrap_or_default();
        detail.contains("make `settle` shorter").then_some(())
    });
}

#[test]
fn a_target_that_reads_slowly_gets_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = slow.local_addr().unwrap();
    let (daemon, address) = sender(dir.path(), &format!("to = \"{to}\""));
    hand_over(&address, &numbered(0, 30_000));
    let (mut stream, _) = slow.accept().unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 20_000];
    while !all.ends_with(b"seq=29999 .") {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "it closed");
        all.extend_from_slice(&buffer[..n]);
        std::thread::park_timeout(Duration::from_micros(200));
    }
    let text = String::from_utf8(all).unwrap();
    let found: Vec<usize> = numbers(&text.split(" .").collect::<Vec<_>>(), "seq=");
    assert_eq!(found, (0..30_000).collect::<Vec<_>>());
    eventually("the account is even", || {
        let status = relay_status(&daemon);
        (status["items"] == 30_000 && status["lag_bytes"] == 0).then_some(())
    });
}

#[test]
fn a_name_that_means_nothing_is_told_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, _) = sender(dir.path(), "to = \"logs.invalid:6514\"");
    let detail = eventually("it is told", || {
        let status = relay_status(&daemon);
        (status["state"] == "failed").then(|| status["detail"].as_str().unwrap().to_owned())
    });
    assert!(detail.contains("logs.invalid"), "{detail}");
}

/// What others would cut, fold or refuse.
#[test]
fn odd_messages_come_over_byte_for_byte() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = free_port();
    let far_config = format!(
        "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tcp\"]\nrelay = true\n"
    );
    let takes = Daemon::start(far.path(), &far_config);
    let relay = format!("to = \"127.0.0.1:{port}\"\npeer = \"vigie\"");
    let (sends, address) = sender(near.path(), &relay);
    let head = b"<36>1 2026-11-21T05:10:00Z web1 odd - - ";
    let fields: String = (0..100).map(|n| format!("f{n}=\"v\\\"{n}\" ")).collect();
    let bodies: Vec<Vec<u8>> = vec![
        b"- two\nlines\nand \r a return".to_vec(),
        b"- a \0 NUL and \x1b[31m an escape".to_vec(),
        b"- not UTF-8: \xff\xfe\xc3\x28 \xf0\x9f".to_vec(),
        format!("- {}", "y".repeat(70_000)).into_bytes(),
        format!("[many@1 {}] with a hundred fields", fields.trim_end()).into_bytes(),
        b"[vigie@32473 relay=\"0123456789abcdef0123456789abcdef\" seq=\"9\" via=\"x\"] not ours"
            .to_vec(),
        b"- ".to_vec(),
    ];
    let messages: Vec<_> = bodies.iter().map(|b| [head, &b[..]].concat()).collect();
    hand_over(&address, &messages);
    let lines = |dir: &Path| {
        let all = [
            "logs",
            "app:odd",
            "--format",
            "json",
            "--since",
            "2020-01-01",
        ];
        let out = text(&crate::daemon::cli(dir, &all));
        let event = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
        let mut all: Vec<_> = out.lines().map(event).collect();
        for event in &mut all {
            // What differs by right: who brought it, and when.
            let event = event.as_object_mut().unwrap();
            for own in ["id", "recv", "source", "via"] {
                event.remove(own);
            }
        }
        all.sort_by_key(ToString::to_string);
        all
    };
    let raw = |dir: &Path| stored(dir, "app:odd");
    eventually("all are over", || {
        (lines(far.path()).len() >= messages.len()).then_some(())
    });
    assert_eq!(raw(near.path()), raw(far.path()));
    assert_eq!(lines(near.path()), lines(far.path()));
    assert_eq!(lines(far.path()).len(), messages.len());
    let status = relay_status(&sends);
    assert_eq!(status["dropped"], serde_json::json!({}), "{status}");
    drop((takes, sends));
}

/// It takes connections and lines though it has nobody to hand them to.
#[test]
fn what_a_proxy_took_while_its_backend_was_down_is_sent_again() {
    let Some(haproxy) = program("haproxy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (front, back) = (free_port(), free_port());
    let config = format!(
        "defaults\n mode tcp\n retries 0\n timeout connect 1s\n timeout client 1m\n timeout server 1m\n\
         listen syslog\n bind 127.0.0.1:{front}\n server logs 127.0.0.1:{back}\n"
    );
    let path = dir.path().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(haproxy);
    command.args(["-db", "-f"]).arg(&path);
    let _proxy = Receiver::start(command, dir.path());
    eventually("the proxy listens", || {
        TcpStream::connect(("127.0.0.1", front)).ok()
    });
    let relay = format!("to = \"127.0.0.1:{front}\"\nsettle = \"2s\"");
    let (daemon, address) = sender(dir.path(), &relay);
    let mut details = std::collections::BTreeSet::new();
    for part in 0..3_usize {
        hand_over(&address, &numbered(part * 500, part * 500 + 500));
        eventually("it is sent and lost", || {
            let status = relay_status(&daemon);
            if part > 0 {
                assert_eq!(status["state"], "failed", "{status}");
                details.insert(status["detail"].as_str().unwrap().to_owned());
            }
            let lost = status["items"].as_u64() >= Some(500 * (part as u64 + 1));
            (lost && status["state"] == "failed").then_some(())
        });
    }
    let since = |d: &String| d.split_once("; so since ").unwrap().1.to_owned();
    let since: std::collections::BTreeSet<_> = details.iter().map(since).collect();
    assert_eq!(since.len(), 1, "one outage: {details:?}");
    let backend = TcpListener::bind(("127.0.0.1", back)).unwrap();
    let (mut stream, _) = backend.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut all = Vec::new();
    let found = eventually("all lines arrive", || {
        let mut buffer = [0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
        }
        let text = String::from_utf8_lossy(&all).into_owned();
        let mut found: Vec<usize> = numbers(&text.split(" .").collect::<Vec<_>>(), "seq=");
        found.dedup();
        (found.len() >= 1500).then_some(found)
    });
    assert_eq!(found, (0..1500).collect::<Vec<_>>());
    eventually("it works", || {
        (relay_status(&daemon)["state"] == "active").then_some(())
    });
}

/// An authority that signs what one wants; certificate and key are written to `NAME.pem` and `NAME.key`.
fn expired(dir: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(vec![]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2021, 11, 21);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("localhost.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("localhost.key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_told_of_steadily() {
    let (good, other, old) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    certificates(good.path());
    certificates(other.path());
    expired(old.path());
    for (server, ca, host, why) in [
        (
            &good,
            &other,
            "localhost",
            "not signed by an authority in `ca`",
        ),
        (&good, &good, "127.0.0.1", "is not for `127.0.0.1`, but for"),
        (&old, &old, "localhost", "has expired: 2021-11-21T00:00:00Z"),
    ] {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (port, folder) = (free_port(), server.path().display());
        let far_config = format!(
            "{QUIET}[[syslog]]\nlisten = \"127.0.0.1:{port}\"\nprotocols = [\"tls\"]\n[syslog.tls]\n\
             certificate = \"{folder}/localhost.pem\"\nkey = \"{folder}/localhost.key\"\n"
        );
        let takes = Daemon::start(far.path(), &far_config);
        let relay = format!(
            "to = \"{host}:{port}\"\n[relay.tls]\nca = \"{}/ca.pem\"",
            ca.path().display()
        );
        // Nothing is to be sent, and it is told all the same.
        let (daemon, _) = sender(near.path(), &relay);
        let mut details = std::collections::BTreeSet::new();
        eventually("it is tried again", || {
            let status = relay_status(&daemon);
            if status["state"] == "failed" || !details.is_empty() {
                assert_eq!(status["state"], "failed", "{status}");
                details.insert(status["detail"].as_str().unwrap().to_owned());
            }
            let tried = text(&takes.cli(&["status", "--format", "json"]));
            let tried: serde_json::Value = serde_json::from_str(&tried).unwrap();
            let sources = tried["sources"].as_array().unwrap();
            let refused = |s: &serde_json::Value| s["dropped"]["tls_refused"].as_u64();
            let refused = sources.iter().filter_map(refused).max();
            (refused >= Some(3) && !details.is_empty()).then_some(())
        });
        assert_eq!(details.len(), 1, "{details:?}");
        let detail = details.first().unwrap();
        assert!(detail.contains(why), "{detail}");
        assert!(detail.contains("; so since 20"), "{detail}");
        let check = daemon.cli(&["check"]);
        assert_eq!(check.status.code(), Some(1));
        let check = text(&check);
        let finding = format!("relay.to {host}:{port}: the target's certificate");
        assert!(check.contains(&finding) && check.contains(why), "{check}");
    }
}
