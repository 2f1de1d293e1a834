//! Addresses of networks and time zones, as the configuration writes them.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, de};

/// An IANA time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub TimeZone);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        TimeZone::get(&name).map(Self).map_err(|_| {
            de::Error::custom(format!(
                "unknown time zone `{name}`; write an IANA name such as \"Europe/Paris\" or \"UTC\""
            ))
        })
    }
}

/// An address or a network, as `192.0.2.7` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address that came through an IPv6 socket counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (a, b, width) = match (self.base, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(a.to_bits()), u128::from(b.to_bits()), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let host_bits = u32::from(128_u8.min(width).saturating_sub(self.prefix));
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        a & mask == b & mask
    }

    /// How many leading bits are fixed: of two networks that hold an address, the one with more is
    /// the narrower.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a network; write \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\""
            )
        };
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(p) => p.parse().ok().filter(|p| *p <= width).ok_or_else(wrong)?,
            None => width,
        };
        Ok(Self { base, prefix })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}
