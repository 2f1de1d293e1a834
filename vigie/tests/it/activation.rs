//! Sockets that whoever starts the daemon has opened for it, as systemd does from a `vigie.socket`.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, eventually, text};

/// The sockets become the descriptors 3 and 4, and the process that is meant becomes the daemon.
const PASS: &str = "exec 3<&0 4<&1 0</dev/null 1>/dev/null\n\
                    export LISTEN_PID=$$ LISTEN_FDS=2\nexec \"$@\"";

/// The daemon with both sockets; who starts it keeps them open.
fn start(
    dir: &std::path::Path,
    config: &str,
    tcp: &TcpListener,
    udp: &UdpSocket,
) -> Result<Daemon, String> {
    let mut command = Command::new("sh");
    command
        .args(["-c", PASS, "sh", env!("CARGO_BIN_EXE_vigie"), "run"])
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::from(OwnedFd::from(tcp.try_clone().unwrap())))
        .stdout(Stdio::from(OwnedFd::from(udp.try_clone().unwrap())));
    Daemon::spawn(dir, config, command)
}

/// Sends a message by both.
fn send(tcp: SocketAddr, udp: SocketAddr, what: &str) {
    let mut stream = TcpStream::connect(tcp).unwrap();
    writeln!(stream, "<13>Nov 21 05:10:56 web1 demo: {what} by tcp").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let message = format!("<13>Nov 21 05:10:56 web1 demo: {what} by udp");
    socket.send_to(message.as_bytes(), udp).unwrap();
}

#[test]
fn passed_sockets_are_used_and_what_was_sent_during_a_restart_waits() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let config = format!(
        "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
         [docker]\nenabled = false\n[[syslog]]\nlisten = \"{}\"\nprotocols = [\"tcp\"]\n\
         [[syslog]]\nlisten = \"{}\"\nprotocols = [\"udp\"]\n",
        at.0, at.1
    );
    let args = [
        "logs",
        "app:demo",
        "--format",
        "raw",
        "--since",
        "1970-01-01",
    ];
    send(at.0, at.1, "before");
    let daemon = start(dir.path(), &config, &tcp, &udp).unwrap();
    let arrive = |daemon: &Daemon, what: &str, n: usize| {
        eventually(what, || {
            let out = text(&daemon.cli(&args));
            let here = [" by tcp", " by udp"].map(|way| out.contains(&format!("{what}{way}")));
            (here == [true, true]).then_some(())?;
            assert_eq!(out.lines().count(), n, "each once: {out}");
            Some(())
        });
    };
    arrive(&daemon, "before", 2);
    assert!(daemon.terminate().success());
    send(at.0, at.1, "between");
    let daemon = start(dir.path(), &config, &tcp, &udp).unwrap();
    arrive(&daemon, "between", 4);
    send(at.0, at.1, "after");
    arrive(&daemon, "after", 6);
}

/// `ListenStream=514` is a socket for both families; the configuration may mean IPv4 with it.
#[test]
fn a_passed_socket_for_both_families_serves_a_listener_for_ipv4() {
    let dir = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("[::]:0").unwrap();
    let udp = UdpSocket::bind("[::]:0").unwrap();
    let ports = [tcp.local_addr(), udp.local_addr()].map(|a| a.unwrap().port());
    let config = |host: &str| {
        format!(
            "[host]\nenabled = false\n[journal]\nenabled = false\n[known_files]\nenabled = false\n\
             [docker]\nenabled = false\n[[syslog]]\nlisten = \"{host}:{}\"\nprotocols = [\"tcp\"]\n\
             [[syslog]]\nlisten = \"{host}:{}\"\nprotocols = [\"udp\"]\n",
            ports[0], ports[1]
        )
    };
    let daemon = start(dir.path(), &config("0.0.0.0"), &tcp, &udp).unwrap();
    let at = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    send(at[0], at[1], "hello");
    eventually("both arrive", || {
        let out = text(&daemon.cli(&["logs", "@all peer=127.0.0.1 hello | count"]));
        out.contains('2').then_some(())
    });
    assert!(daemon.terminate().success());
    let Err(refused) = start(dir.path(), &config("127.0.0.1"), &tcp, &udp) else {
        panic!("it would listen wider than was asked for")
    };
    let named = format!("the socket [::]:{} that was passed takes it", ports[0]);
    assert!(refused.contains(&named), "{refused}");
}
