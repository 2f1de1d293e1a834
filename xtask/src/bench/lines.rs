//! Log lines made up by rule: the same ones in every run, as uneven as real ones.

use std::io::Write;

/// Small numbers by splitmix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64)
            .try_into()
            .unwrap_or(0)
    }

    /// Small ones often, large ones seldom: about as `1/x`.
    pub(super) fn skewed(&mut self, n: u64) -> u64 {
        let bits = u64::from(64 - n.leading_zeros());
        let shift = self.below(bits);
        self.below((n >> shift).max(1))
    }
}

const MONTH_START_S: i64 = 1_793_491_200;

fn clock(line: usize, per_second: usize) -> (i64, u64, u64, u64, u64) {
    let at = line / per_second;
    let second = i64::try_from(at).unwrap_or(0);
    let s = at as u64;
    let (day, hour) = (1 + s / 86_400 % 28, s / 3600 % 24);
    (
        (MONTH_START_S + second) * 1000,
        day,
        hour,
        s / 60 % 60,
        s % 60,
    )
}

const SECTIONS: &[&str] = &[
    "news",
    "blog",
    "shop",
    "api/v2/items",
    "img",
    "assets/js",
    "user",
    "search",
];
const ENDS: &[&str] = &[
    "",
    ".html",
    ".php",
    ".png",
    ".js",
    "/",
    "/edit",
    "/comments",
];
const SYSTEMS: &[&str] = &[
    "Windows NT 10.0; Win64; x64",
    "X11; Linux x86_64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "iPhone; CPU iPhone OS 18_1 like Mac OS X",
];

/// The nth access line, about 230 bytes; its time in milliseconds.
pub(super) fn access(dice: &mut Dice, n: usize, out: &mut Vec<u8>) -> i64 {
    let (time, day, hour, minute, second) = clock(n, 1500);
    let client = dice.skewed(124_000).wrapping_mul(0x9e37_79b9);
    let path = dice.skewed(95_000);
    let status = [
        200, 200, 200, 200, 200, 200, 200, 304, 301, 404, 404, 500, 502,
    ];
    let status = status[usize::try_from(dice.skewed(status.len() as u64)).unwrap_or(0)];
    let bytes = dice.skewed(200_000) + path % 977;
    let agent = dice.skewed(2_900);
    let section = |p: u64| SECTIONS[usize::try_from(p % 8).unwrap_or(0)];
    let end = |p: u64| ENDS[usize::try_from(p / 8 % 8).unwrap_or(0)];
    let method = if dice.below(20) == 0 { "POST" } else { "GET" };
    out.clear();
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "{}.{}.{}.{} - - [{day:02}/Nov/2026:{hour:02}:{minute:02}:{second:02} +0000] \"{method} /{}/{path}{} HTTP/1.1\" {status} {bytes} \"https://www.example.org/{}/{}\" \"Mozilla/5.0 ({}) AppleWebKit/537.{} (KHTML, like Gecko) Chrome/{}.0.{}.{} Safari/537.36\"",
        1 + client % 223,
        client >> 8 & 255,
        client >> 16 & 255,
        client >> 24 & 255,
        section(path),
        end(path),
        section(path / 3),
        path / 7,
        SYSTEMS[usize::try_from(agent % 4).unwrap_or(0)],
        30 + agent % 7,
        90 + agent % 41,
        4000 + agent * 7 % 2000,
        agent % 199,
    );
    time
}

/// The nth syslog line, about 155 bytes, with random ids; its time in milliseconds.
pub(super) fn syslog(dice: &mut Dice, n: usize, out: &mut Vec<u8>) -> i64 {
    let (time, day, hour, minute, second) = clock(n, 1500);
    let host = dice.skewed(40);
    out.clear();
    let pid = 300 + dice.skewed(30_000);
    let _ = write!(
        out,
        "<{}>Nov {day:2} {hour:02}:{minute:02}:{second:02} node{host:02} ",
        [30, 38, 134, 131, 30, 30][usize::try_from(dice.skewed(6)).unwrap_or(0)],
    );
    let _ = match dice.below(7) {
        0 => write!(
            out,
            "sshd[{pid}]: Failed password for invalid user {} from 10.{}.{}.{} port {} ssh2",
            ["admin", "root", "oracle", "test"][usize::try_from(dice.below(4)).unwrap_or(0)],
            dice.below(8),
            dice.below(256),
            dice.below(256),
            1024 + dice.below(60_000),
        ),
        1 | 2 => write!(
            out,
            "dfs.DataNode[{pid}]: Received block blk_-{} of size {} from /10.250.{}.{}:{} in {} ms",
            dice.next() >> 1,
            dice.below(67_108_864),
            dice.below(20),
            dice.below(256),
            50_000 + dice.below(1000),
            dice.skewed(9000),
        ),
        3 => write!(
            out,
            "api[{pid}]: level=info request={:016x} method=GET path=/v2/orders/{} status=200 duration={}ms user=u{}",
            dice.next(),
            dice.skewed(1_000_000),
            dice.skewed(3000),
            dice.skewed(80_000),
        ),
        4 => write!(
            out,
            "postfix/smtpd[{pid}]: connect from mail{}.example.org[192.0.2.{}]: queue {:010X}",
            dice.skewed(500),
            dice.below(256),
            dice.next() >> 24,
        ),
        5 => write!(
            out,
            "kernel: [{:>6}.{:06}] eth{}: link is up, {} Mbps full duplex, flow control rx/tx, worker {:08x}-{:04x}",
            n / 1500,
            dice.below(1_000_000),
            dice.below(4),
            [100, 1000, 10_000][usize::try_from(dice.below(3)).unwrap_or(0)],
            dice.next() >> 32,
            dice.next() >> 48,
        ),
        _ => write!(
            out,
            "worker[{pid}]: job {} finished in {}.{:03} s with {} warnings, session {:016x} closed by peer",
            dice.below(10_000_000),
            dice.skewed(90),
            dice.below(1000),
            dice.skewed(20),
            dice.next(),
        ),
    };
    time
}
