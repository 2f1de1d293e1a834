//! What people ask when something is broken.

use super::{check, events};
use crate::log::Memory;

fn web() -> Memory {
    events(
        r#"
        -50m - web.log | {ip:203.0.113.9} "{method:GET} {path:/cart}" {status:200} {bytes:512} "{agent:Mozilla}" {duration|ms:120}
        -40m err web.log | {ip:198.51.100.7} "{method:GET} {path:/api/pay}" {status:502} {bytes:0} "{agent:curl}" {duration|ms:3000}
        -9m err web.log | {ip:203.0.113.9} "{method:POST} {path:/api/pay}" {status:503} {bytes:17} "{agent:Mozilla}" {duration|ms:2500}
        -8m - web.log | {ip:203.0.113.9} "{method:GET} {path:/}" {status:304} "{agent:Mozilla}" {duration|ms:4}
        -7m err web.log | {ip:2001:db8::7} "{method:GET} {path:/cart}" {status:500} {bytes:90} "{agent:evilbot}" {duration|ms:7000}
        -30s err web.log | {ip:203.0.113.9} "{method:POST} {path:/api/pay}" {status:503} {bytes:17} "{agent:Mozilla}" {duration|ms:9000}
        "#,
    )
}

fn system() -> Memory {
    events(
        r#"
        -25h warn sys | {@Nov 20 11:00:00} {host:data1} {app:cron}: {>}job 17 slow
        -50m notice sys | {@Nov 21 11:10:00} {host:web1} {app:sshd}: {>}Failed password for root from 203.0.113.9 port 4242 ssh2
        -45m notice sys | {@Nov 21 11:15:00} {host:web1} {app:sshd}: {>}Failed password for admin from 203.0.113.9 port 4243 ssh2
        -44m notice sys | {@Nov 21 11:16:00} {host:web1} {app:sshd}: {>}Failed password for invalid user x from 192.0.2.5 port 9 ssh2
        -30m warn sys | {@Nov 21 11:30:00} {host:data1} {app:cron}: {>}job 18 slow
        -20s err kern | {@Nov 21 11:59:40} {host:data1} {app:kernel}: {>}Out of memory: Killed process 4711
        -15s warn sys | {@Nov 21 11:59:45} {host:data1} {app:redis}: {>}connection 12 lost
        -14s err sys | {@Nov 21 11:59:46} {host:data1} {app:redis}: {>}restarting
        -10s warn sys | {@Nov 21 11:59:50} {host:data1} {app:redis}: {>}connection 13 lost
        "#,
    )
}

#[test]
fn the_ten_of_the_design() {
    let (web, system) = (web(), system());
    check(
        &system,
        "level>=err @30m | patterns | fields count, pattern",
        "count pattern
         1 Out of memory: Killed process <*>
         1 restarting",
    );
    check(
        &web,
        "status>=500 | top path",
        "path count share
         /api/pay 3 75%
         /cart 1 25%",
    );
    check(
        &web,
        "status>=500 @10m | chart every 5m",
        "time count
         -600s 2
         -300s 1
         0s 0",
    );
    check(
        &web,
        "@10m | top 20 ip",
        "ip count share
         203.0.113.9 3 75%
         2001:db8::7 1 25%",
    );
    check(
        &web,
        "ip=203.0.113.9 | top agent",
        "agent count share\nMozilla 4 100%",
    );
    check(
        &web,
        "duration>2s | p95 duration by path | sort -p95",
        "path p95
         /api/pay 9s
         /cart 7s",
    );
    check(
        &system,
        r#"app:sshd "Failed password" | parse "from <ip> port" | top ip"#,
        "ip count share
         203.0.113.9 2 66.7%
         192.0.2.5 1 33.3%",
    );
    check(
        &system,
        "level>=warn | new since deploy | fields count, sample",
        "count sample
         2 connection 13 lost
         1 Out of memory: Killed process 4711
         1 restarting",
    );
    check(
        &system,
        r#"app:kernel "Out of memory" | around 6s"#,
        "~Nov 21 11:59:46 data1 redis: restarting
         ~Nov 21 11:59:45 data1 redis: connection 12 lost
         Nov 21 11:59:40 data1 kernel: Out of memory: Killed process 4711",
    );
    check(
        &system,
        "app:redis host:data1 | tail 2",
        "Nov 21 11:59:50 data1 redis: connection 13 lost
         Nov 21 11:59:46 data1 redis: restarting",
    );
    check(
        &system,
        "host:data1 | count by app, level",
        "app level count
         redis warn 2
         cron warn 1
         kernel err 1
         redis err 1",
    );
    check(
        &system,
        "app:cron | diff 1d | fields now, before, change",
        "now before change
         1 1 0%",
    );
}

#[test]
fn ten_more() {
    let (web, system) = (web(), system());
    check(
        &system,
        r#"app:sshd "invalid user" | parse "invalid user <name> from" | top name"#,
        "name count share\nx 1 100%",
    );
    check(
        &web,
        "status>=500 ip:203.0.113.0/24 | count by ip",
        "ip count\n203.0.113.9 2",
    );
    check(
        &system,
        "level>=warn | rare 2 pattern",
        "pattern count share
         Out of memory: Killed process <*> 1 20%
         job <*> slow 1 20%",
    );
    check(
        &web,
        "* | sum bytes by method | sort -sum",
        "method sum
         GET 602
         POST 34",
    );
    check(
        &web,
        "level>=err @1h | chart by method every 30m",
        "time method count
         -3600s GET 1
         -1800s GET 1
         -1800s POST 2",
    );
    check(
        &web,
        "* | sessions 30m | sort -duration | head 1",
        "ip start end duration count\n203.0.113.9 -540s -30s 510s 3",
    );
    check(
        &system,
        "restarting | context 1",
        "~Nov 21 11:59:50 data1 redis: connection 13 lost
         Nov 21 11:59:46 data1 redis: restarting
         ~Nov 21 11:59:45 data1 redis: connection 12 lost",
    );
    check(
        &web,
        "status=503 | stats count, uniq ip by path",
        "path count uniq\n/api/pay 2 1",
    );
    let cron = events(
        "-9m - s | {app:cron} job=backup elapsed=1m30s
         -8m - s | {app:cron} job=mail elapsed=4s
         -7m - s | {app:cron} job=index elapsed=2h",
    );
    check(
        &cron,
        "app:cron | kv | where elapsed>1m | sort -elapsed | fields job, elapsed",
        "job elapsed\nindex 2h\nbackup 1m30s",
    );
    check(
        &system,
        "@1h | rate 1m by host | sort -rate",
        "host count rate
         data1 5 0.083
         web1 3 0.05",
    );
}

#[test]
fn the_documentation_speaks_the_language() {
    let text = include_str!("../../../../docs/log-query.md");
    let blocks = text.split("```query\n").skip(1);
    let in_blocks = blocks.flat_map(|b| b.split("```").next().unwrap_or_default().lines());
    let numbered = text
        .lines()
        .filter(|l| l.starts_with("1") || l.starts_with("20."));
    let in_lines = numbered.filter_map(|l| Some(l.split_once("? `")?.1.trim_end_matches('`')));
    let queries: Vec<&str> = in_blocks.chain(in_lines).collect();
    assert!(queries.len() >= 25, "{queries:?}");
    for query in queries {
        if let Err(error) = crate::log::Query::parse(query) {
            panic!("{query}: {error}");
        }
    }
}
