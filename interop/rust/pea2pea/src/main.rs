//! A peer on the real pea2pea, in both of its eras, for tests and benches: commands come as lines on stdin, what happens
//! goes as JSON lines to stdout. It listens on loopback, on a port that the system picks.
//!
//! ```text
//! pea2pea-peer ERA ROLE [PREFIX]     ERA 57|50   ROLE echo|sink|show|rpc|relay   PREFIX 1|2|4 (bytes of the length, 4)
//! ```
//!
//! or `pea2pea-peer sockets`: no pea2pea at all, see `sockets.rs`.
//!
//! `echo` sends back what it gets, `sink` counts it, `show` prints it, `rpc` answers the requests of the simple_rpc example,
//! `relay` hands on to the neighbour that a message did not come from.

mod commands;
mod peer;
mod sockets;

use std::io::Write;

/// Prints one event.
pub fn say(event: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{{\"event\":{event}}}");
    let _ = out.flush();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "sockets") {
        return sockets::run();
    }
    tokio::runtime::Runtime::new().unwrap().block_on(peers(args));
}

async fn peers(args: Vec<String>) {
    let role = args.get(1).and_then(|name| peer::Role::parse(name));
    let prefix = args.get(2).map_or(Some(4), |text| text.parse().ok());
    let (Some(era), Some(role), Some(prefix)) = (args.first(), role, prefix) else {
        eprintln!("usage: pea2pea-peer 57|50 echo|sink|show|rpc|relay [1|2|4]");
        std::process::exit(2);
    };
    match era.as_str() {
        "57" => peer::era57::run(role, prefix).await,
        "50" => peer::era50::run(role, prefix).await,
        other => {
            eprintln!("no era {other}");
            std::process::exit(2);
        }
    }
}
