//! Which listeners take each other's place: the kernel refuses the second one, and we say which two.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Listen, Protocol, Syslog};

/// All IPv4 addresses of the machine.
const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// All IPv6 addresses, and as a rule the IPv4 ones with them.
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Whether both want the same kind of port: TCP and TLS share theirs.
pub(crate) fn is_same_transport(a: Protocol, b: Protocol) -> bool {
    let plain = |p| match p {
        Protocol::Tls => Protocol::Tcp,
        other => other,
    };
    plain(a) == plain(b)
}

/// Whether who listens at `taken` takes what comes to `wanted`; `[::]` takes IPv4 too.
pub(crate) fn takes(taken: &Listen, wanted: &Listen) -> bool {
    match (taken, wanted) {
        (Listen::Path(a), Listen::Path(b)) => a == b,
        (Listen::Address(a), Listen::Address(b)) => {
            let covers = |wide: IpAddr, narrow: IpAddr| {
                wide == narrow || wide == ANY6 || (wide == ANY4 && narrow.is_ipv4())
            };
            let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
            a.port() == b.port() && (covers(one, other) || covers(other, one))
        }
        _ => false,
    }
}

/// Whether a `[::]` listener leaves IPv4 alone: when another table has it, as `0.0.0.0` with the same
/// port.
pub(crate) fn is_only_v6(address: SocketAddr, protocol: Protocol, tables: &[Syslog]) -> bool {
    address.ip() == ANY6 && is_asked_for(SocketAddr::new(ANY4, address.port()), protocol, tables)
}

/// The address at which a socket for all IPv4 addresses may have been made: one for both families, unless
/// another table means that one.
pub(crate) fn dual(
    address: SocketAddr,
    protocol: Protocol,
    tables: &[Syslog],
) -> Option<SocketAddr> {
    let both = SocketAddr::new(ANY6, address.port());
    (address.ip() == ANY4 && !is_asked_for(both, protocol, tables)).then_some(both)
}

fn is_asked_for(address: SocketAddr, protocol: Protocol, tables: &[Syslog]) -> bool {
    let wanted = Listen::Address(address);
    tables.iter().any(|t| {
        let mut protocols = t.protocols.iter();
        t.listen == wanted && protocols.any(|&p| is_same_transport(p, protocol))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_whose_place() {
        let at = |text: &str| Listen::Address(text.parse().unwrap());
        for (a, b, expected) in [
            ("0.0.0.0:514", "0.0.0.0:514", true),
            ("0.0.0.0:514", "0.0.0.0:515", false),
            ("0.0.0.0:514", "127.0.0.1:514", true),
            ("192.0.2.7:514", "127.0.0.1:514", false),
            ("0.0.0.0:514", "[::1]:514", false),
            ("0.0.0.0:514", "[::]:514", true),
            ("[::]:514", "[::1]:514", true),
            ("[::]:514", "127.0.0.1:514", true),
            ("[::ffff:127.0.0.1]:514", "127.0.0.1:514", true),
        ] {
            assert_eq!(takes(&at(a), &at(b)), expected, "{a} {b}");
            assert_eq!(takes(&at(b), &at(a)), expected, "{b} {a}");
        }
        let path = |text: &str| Listen::Path(text.into());
        assert!(takes(&path("/run/a"), &path("/run/a")));
        assert!(!takes(&path("/run/a"), &at("0.0.0.0:514")));
    }

    #[test]
    fn both_wildcards_share_a_port() {
        let table = |listen: &str, protocols: &[Protocol]| Syslog {
            listen: Listen::Address(listen.parse().unwrap()),
            protocols: protocols.to_vec(),
            ..Syslog::default()
        };
        let (udp, tcp, tls) = (Protocol::Udp, Protocol::Tcp, Protocol::Tls);
        let any6: SocketAddr = "[::]:514".parse().unwrap();
        let any4: SocketAddr = "0.0.0.0:514".parse().unwrap();
        for (other, protocols, expected) in [
            ("0.0.0.0:514", &[udp][..], true),
            ("0.0.0.0:514", &[tcp], false),
            ("0.0.0.0:515", &[udp], false),
            ("127.0.0.1:514", &[udp], false),
        ] {
            let tables = [table("[::]:514", &[udp]), table(other, protocols)];
            assert_eq!(is_only_v6(any6, udp, &tables), expected, "{other}");
            assert_eq!(dual(any4, udp, &tables), None);
        }
        let tables = [table("0.0.0.0:514", &[tls])];
        assert!(is_only_v6(any6, tcp, &tables), "TLS is TCP");
        assert_eq!(dual(any4, tls, &tables), Some(any6));
        assert_eq!(dual(any6, tls, &tables), None);
    }
}
