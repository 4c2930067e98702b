//! How much gets through a shaper: a measurement, not a test. It takes iperf3, and means something with a release build:
//! `SQUALL_BENCH=target/release/squall cargo test --test net throughput -- --ignored --nocapture`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use squall::engine::net::userspace::{self, VARIABLE};
use squall::host::process::with_variable;
use squall::model::network::{Direction, Traffic};

use super::pair::{FAR, Pair, told};
use super::shaper::{Tag, delay, lay_by, network, shape};

/// The seconds of a core that the shaper found by a tag has used so far.
fn cpu(tag: &str) -> f64 {
    let shaper = with_variable(VARIABLE, tag).first().expect("a shaper").pid();
    let stat = std::fs::read_to_string(format!("/proc/{shaper}/stat")).unwrap();
    // utime and stime (proc_pid_stat(5)), in hundredths; the name before them may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// Gigabits per second from the near end to the far one, or the other way.
fn measured(pair: &Pair, back: bool) -> f64 {
    let mut server = pair
        .far
        .run(|| Command::new("iperf3").args(["-s", "-1"]).stdout(Stdio::piped()).spawn())
        .expect("iperf3 is not installed");
    while !told(&pair.far, "cat /proc/thread-self/net/tcp6").contains(":1451 ") {
        std::thread::yield_now();
    }
    let told = told(&pair.near, &format!("iperf3 -c {FAR} -t 5 -O 1 -J {}", if back { "-R" } else { "" }));
    server.wait().unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() / 1e9
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of half a minute that needs iperf3"]
#[expect(clippy::print_stdout, reason = "people read it")]
async fn throughput() {
    let program = std::env::var_os("SQUALL_BENCH").map_or(env!("CARGO_BIN_EXE_squall").into(), PathBuf::from);
    let pair = Pair::new();
    println!("unshaped: {:.2} Gbit/s out, {:.2} in", measured(&pair, false), measured(&pair, true));
    for milliseconds in [0, 1, 100] {
        let tag = Tag::new();
        // A jitter of a nanosecond has packets go through the shaper though they are not delayed.
        let late = squall::model::network::Shape { jitter: std::time::Duration::from_nanos(1), ..delay(milliseconds) };
        let network = network([(Traffic::all(Direction::Egress), shape(late))]);
        lay_by(&program, &pair.near, &tag, &network).await;
        let (out, between, back) = (measured(&pair, false), cpu(&tag.0), measured(&pair, true));
        let cores = between / 6.0;
        let statistics = userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap().shaper;
        println!(
            "{milliseconds} ms: {out:.2} Gbit/s out ({cores:.2} of a core), {back:.2} in; {:?}",
            statistics.unwrap()
        );
        userspace::clear(&pair.near, &tag.0).await.unwrap();
    }
}
