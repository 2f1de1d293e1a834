//! CPU time of a range query as a dashboard asks it: 500 series, six hours at a point a minute.
//!
//! `cargo bench -p vigie-query --bench promql`

#[path = "../tests/promqltest/memory.rs"]
mod memory;

use rustix::time::{ClockId, clock_gettime};
use vigie_parsers::Timestamp;
use vigie_query::Labels;
use vigie_query::promql::{self, Params, Value};

use memory::Memory;

const MINUTE: i64 = 60_000;
const RUNS: u32 = 20;

fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn main() {
    let mut memory = Memory::default();
    for series in 0..500 {
        let host = format!("host{}", series % 20);
        let port = format!("port{}", series / 20);
        let labels = Labels::metric("octets_total", &[("host", &host), ("port", &port)]);
        for minute in 0..=370 {
            let value = (minute * (series + 1)) as f64;
            memory.push(&labels, minute * MINUTE, value);
        }
    }
    for text in [
        "octets_total",
        "rate(octets_total[5m])",
        "sum by (host) (rate(octets_total[5m]))",
        "sum by (host) (rate(octets_total[1h]))",
        "octets_total / on (host, port) octets_total",
        "quantile_over_time(0.95, octets_total[1h])",
        "max_over_time(sum by (host) (rate(octets_total[5m]))[30m:1m])",
    ] {
        let expr = promql::parse(text).expect("the benchmark's own expression");
        let (from, until) = (Timestamp(10 * MINUTE), Timestamp(370 * MINUTE));
        let before = cpu_ms();
        let mut points = 0;
        for _ in 0..RUNS {
            let params = Params::default();
            let answer = promql::range(&memory, &expr, from, until, MINUTE, &params);
            if let Value::Matrix(series) = answer.expect("the benchmark's own data").value {
                points = series.iter().map(|s| s.samples.len()).sum();
            }
        }
        let each = (cpu_ms() - before) / f64::from(RUNS);
        println!("{each:8.2} ms CPU  {points:7} points  {text}");
    }
}
