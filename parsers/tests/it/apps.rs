//! What is read in the messages of well-known programs, behind a syslog header.

use vigie_parsers::Record;
use vigie_parsers::formats::Detector;

use crate::dump::{context, fields};

/// A message of a program: its fields behind the header's, and the level if there is one.
fn check(app: &str, text: &str, want: &str) {
    let line = format!("2026-11-21T05:00:00Z web1 {app}: {text}");
    let mut record = Record::default();
    let format = Detector::default().parse(&mut context(), line.as_bytes(), &mut record);
    assert_eq!(format.name, "rfc3164", "{line}");
    assert_eq!(
        &line[record.message.start as usize..record.message.end as usize],
        text,
        "the message stays syslog's"
    );
    let found = fields(&record, line.as_bytes());
    let found = found
        .strip_prefix("2026-11-21T05:00:00Z ")
        .expect("the time");
    let head = format!(
        "host=web1 app={}",
        app.split('[').next().unwrap_or_default()
    );
    let found = found.replace(&head, "");
    let found: Vec<_> = found
        .split(' ')
        .filter(|w| !w.is_empty() && !w.starts_with("pid="))
        .collect();
    assert_eq!(found.join(" "), want, "{line}");
}

#[test]
fn logins() {
    check(
        "sshd[12]",
        "Accepted publickey for root from 192.0.2.1 port 50123 ssh2: ED25519 SHA256:abc",
        "action=Accepted auth=publickey user=root ip=192.0.2.1 port=50123",
    );
    check(
        "sshd[12]",
        "Failed password for invalid user admin from 2001:db8::9 port 51122 ssh2",
        "warn action=Failed auth=password user=admin ip=2001:db8::9 port=51122",
    );
    check(
        "sshd[12]",
        "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
        "module=pam_unix action=opened user=alice",
    );
    check(
        "sshd[12]",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
        "warn module=pam_unix tty=ssh ip=192.0.2.1 user=root",
    );
    check(
        "sudo[7]",
        "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/sh -c id ; ls",
        "user=alice tty=pts/0 pwd=/home/alice target_user=root command=\"/bin/sh -c id ; ls\"",
    );
    check(
        "sudo",
        "mallory : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/id",
        "warn user=mallory reason=\"user NOT in sudoers\" tty=pts/1 pwd=/ target_user=root command=/bin/id",
    );
    check(
        "su[3]",
        "FAILED SU (to root) alice on pts/0",
        "warn target_user=root user=alice",
    );
    check(
        "CRON[5]",
        "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
        "user=root action=CMD command=\" cd / && run-parts --report /etc/cron.hourly\"",
    );
    check(
        "cron[5]",
        "(CRON) INFO (Running @reboot jobs)",
        "action=INFO",
    );
    check(
        "systemd-logind[1]",
        "New session 3 of user alice.",
        "session=3 user=alice",
    );
}

#[test]
fn the_kernel() {
    check(
        "kernel",
        "[  123.456789] Out of memory: Killed process 1234 (java) total-vm:1kB, anon-rss:1kB",
        "err oom.pid=1234 oom.process=java",
    );
    check(
        "kernel",
        "Memory cgroup out of memory: Killed process 12 (node server) total-vm:1kB",
        "err oom.pid=12 oom.process=\"node server\"",
    );
    check(
        "kernel",
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,task_memcg=/a,task=java,pid=12,uid=0",
        "err oom.cgroup=/a oom.process=java oom.pid=12",
    );
    check(
        "kernel",
        "java invoked oom-killer: gfp_mask=0x100cca",
        "err oom.invoker=java",
    );
    check(
        "kernel",
        "blk_update_request: I/O error, dev sda, sector 123 op 0x0:(READ) flags 0x0",
        "err device=sda",
    );
    check(
        "kernel",
        "Buffer I/O error on dev sda1, logical block 0, async page read",
        "err device=sda1",
    );
    check(
        "kernel",
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: reading directory",
        "err device=sda1",
    );
    check(
        "kernel",
        "EXT4-fs (vda1): mounted filesystem with ordered data mode",
        "device=vda1",
    );
    check(
        "kernel",
        "md/raid1:md0: Disk failure on sdb1, disabling device.",
        "err device=sdb1",
    );
    check(
        "kernel",
        "sd 0:0:0:0: [sda] Attached SCSI disk",
        "device=sda",
    );
    check(
        "kernel",
        "nvme nvme0: I/O 12 QID 4 timeout, aborting",
        "device=nvme0",
    );
    check(
        "kernel",
        "e1000e 0000:00:1f.6 eth0: NIC Link is Down",
        "warn interface=eth0",
    );
    check(
        "kernel",
        "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
        "interface=eth0",
    );
    check(
        "kernel",
        "NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out",
        "err interface=eth0",
    );
    check("kernel", "nf_conntrack: table full, dropping packet", "err");
    check(
        "kernel",
        "TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.",
        "dpt=80",
    );
    check(
        "kernel",
        "[UFW BLOCK] IN=eth0 OUT= MAC=52:54 SRC=192.0.2.7 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=5123 DPT=22 WINDOW=1024",
        "in=eth0 ip=192.0.2.7 dst=192.0.2.1 proto=TCP port=5123 dpt=22",
    );
    check(
        "kernel",
        "app[4711]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6",
        "err process=app process_pid=4711",
    );
    check("kernel", "Linux version 6.1.0", "");
}

#[test]
fn units() {
    check(
        "systemd[1]",
        "Started nginx.service - A high performance web server.",
        "action=Started unit=nginx.service",
    );
    check(
        "systemd[1]",
        "Started Daily apt activities.",
        "action=Started",
    );
    check(
        "systemd[1]",
        "nginx.service: Main process exited, code=exited, status=1/FAILURE",
        "warn unit=nginx.service exit_code=exited exit_status=1/FAILURE",
    );
    check(
        "systemd[1]",
        "nginx.service: Failed with result 'exit-code'.",
        "err unit=nginx.service result=exit-code",
    );
    check(
        "systemd[1]",
        "Failed to start nginx.service.",
        "err action=Failed unit=nginx.service",
    );
    check(
        "systemd[1]",
        "app.service: Scheduled restart job, restart counter is at 5.",
        "unit=app.service restarts=5",
    );
    check(
        "systemd[1]",
        "Reached target multi-user.target - Multi-User System.",
        "action=Reached unit=multi-user.target",
    );
}

#[test]
fn mail() {
    check(
        "postfix/smtp[9]",
        "4F2A1C0B3D: to=<b@example.org>, orig_to=<root>, relay=mx.example.org[192.0.2.25]:25, delay=0.51, delays=0.1/0/0.2/0.21, dsn=4.7.1, status=deferred (host said: 450 4.7.1 try later)",
        "warn queue_id=4F2A1C0B3D to=b@example.org orig_to=root relay=mx.example.org[192.0.2.25]:25 duration=0.51 delays=0.1/0/0.2/0.21 dsn=4.7.1 status=deferred",
    );
    check(
        "postfix/smtpd[9]",
        "NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 <x@example.net>: Relay access denied; from=<a@b.example> to=<x@example.net> proto=ESMTP helo=<spam>",
        "notice queue_id=NOQUEUE ip=198.51.100.7 code=554 from=a@b.example to=x@example.net protocol=ESMTP helo=spam",
    );
    check(
        "postfix/submission/smtpd[9]",
        "4F2A1C0B3D: client=mail.example.org[198.51.100.7], sasl_method=PLAIN, sasl_username=alice",
        "queue_id=4F2A1C0B3D client=mail.example.org ip=198.51.100.7 sasl_method=PLAIN user=alice",
    );
    check(
        "postfix/qmgr[9]",
        "4F2A1C0B3D: from=<a@example.org>, size=512, nrcpt=1 (queue active)",
        "queue_id=4F2A1C0B3D from=a@example.org size=512 nrcpt=1",
    );
    check(
        "postfix/smtpd[9]",
        "connect from unknown[198.51.100.7]",
        "ip=198.51.100.7",
    );
    check(
        "dovecot",
        "imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, TLS, session=<ab>",
        "module=imap-login user=alice auth=PLAIN ip=192.0.2.1 session=ab",
    );
}

#[test]
fn names_and_addresses() {
    check(
        "named[1]",
        "client @0x7f1234 192.0.2.1#5312 (example.org): query: example.org IN AAAA +E(0)K (192.0.2.9)",
        "ip=192.0.2.1 port=5312 dns.name=example.org dns.type=AAAA",
    );
    check(
        "named[1]",
        "zone example.org/IN: loaded serial 3",
        "zone=example.org",
    );
    check(
        "dnsmasq[1]",
        "query[A] example.org from 192.0.2.1",
        "action=query dns.type=A dns.name=example.org ip=192.0.2.1",
    );
    check(
        "dnsmasq[1]",
        "reply example.org is 192.0.2.80",
        "action=reply dns.name=example.org dns.answer=192.0.2.80",
    );
    check(
        "dnsmasq[1]",
        "12 192.0.2.1/4000 forwarded example.org to 192.0.2.53",
        "action=forwarded dns.name=example.org upstream=192.0.2.53",
    );
    check(
        "dnsmasq-dhcp[1]",
        "DHCPACK(eth0) 192.0.2.15 52:54:00:12:34:56 phone",
        "action=DHCPACK interface=eth0 ip=192.0.2.15 mac=52:54:00:12:34:56",
    );
    check(
        "dhcpd",
        "DHCPACK on 192.0.2.15 to 52:54:00:12:34:56 (phone) via eth0",
        "action=DHCPACK ip=192.0.2.15 mac=52:54:00:12:34:56 interface=eth0",
    );
    check(
        "fail2ban.actions[1]",
        "NOTICE  [sshd] Ban 203.0.113.9",
        "notice level=NOTICE jail=sshd action=Ban ip=203.0.113.9",
    );
}
