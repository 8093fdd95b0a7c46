//! The commands of a peer. A macro, since the two versions of the crate have no type in common.

/// Messages that may wait for one peer; four batches.
pub const QUEUE_DEPTH: usize = 4 * BATCH;
/// So many messages are sent before the fate of the last is awaited.
pub const BATCH: usize = 64;

/// The value at a share of sorted ones.
pub fn quantile(sorted: &[u64], share: f64) -> u64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Resident memory in bytes, where /proc tells.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap_or(0)).collect()
}

macro_rules! run {
    ($role:expr, $prefix:expr, $new:path) => {{
        use std::collections::VecDeque;
        use std::sync::{Arc, Mutex, atomic::{AtomicBool, AtomicU64, Ordering}};
        use std::time::Instant;
        use tokio::io::{AsyncBufReadExt, BufReader};
        use $crate::{commands::*, peer::hex, say};

        let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
        let state = || State {
            role: $role,
            prefix: $prefix,
            received: AtomicU64::new(0),
            expected: Mutex::new(None),
            arrivals: arrivals.clone(),
            forward: AtomicBool::new(false),
        };
        let peer = $new(Arc::new(state())).await;
        let addr = peer.node().toggle_listener().await.unwrap().unwrap();
        say(&format!("\"listening\",\"addr\":\"{addr}\""));

        // Further nodes of this process, each with one connection to flood.
        let mut others = Vec::new();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            let peers = || peer.node().connected_addrs();
            // Who has dialled us knows it before we do.
            if matches!(words.first(), Some(&("send" | "flood" | "ping" | "call"))) {
                while peers().is_empty() && others.is_empty() {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }
            match words.first().copied().unwrap_or("") {
                "connect" => match peer.node().connect(words[1].parse().unwrap()).await {
                    Ok(()) => say(&format!("\"connected\",\"addr\":\"{}\"", words[1])),
                    Err(error) => say(&format!("\"error\",\"message\":\"{error}\"")),
                },
                "spawn" => {
                    let target = words[1].parse().unwrap();
                    for _ in 0..number(2) {
                        let other = $new(Arc::new(state())).await;
                        other.node().connect(target).await.unwrap();
                        others.push(other);
                    }
                    say("\"connected\"");
                }
                "disconnect" => {
                    for addr in peers() {
                        peer.node().disconnect(addr).await;
                    }
                    say("\"disconnected\"");
                }
                "send" => {
                    let bytes = Bytes::from(unhex(words.get(1).unwrap_or(&"")));
                    for addr in peers() {
                        let _ = peer.unicast(addr, bytes.clone());
                    }
                }
                "expect" => {
                    peer.state.received.store(0, Ordering::Relaxed);
                    *peer.state.expected.lock().unwrap() = Some((number(1), Instant::now()));
                    say("\"expecting\"");
                }
                // To every connection, each from a task of its own.
                "flood" => {
                    // With a third number, the fate of the last of so many is awaited before the next is sent.
                    let (size, count, batch) = (number(1) as usize, number(2), number(3));
                    let mut outlets: Vec<_> = peers().into_iter().map(|addr| (peer.clone(), addr)).collect();
                    for other in &others {
                        outlets.extend(other.node().connected_addrs().into_iter().map(|addr| (other.clone(), addr)));
                    }
                    let tasks: Vec<_> = outlets
                        .into_iter()
                        .map(|(peer, addr)| {
                            tokio::spawn(async move {
                                let bytes = Bytes::from(vec![7u8; size]);
                                let mut waiting = VecDeque::new();
                                for i in 0..count {
                                    let Ok(fate) = peer.unicast(addr, bytes.clone()) else {
                                        say("\"error\",\"message\":\"the queue is full\"");
                                        return;
                                    };
                                    if batch > 0 && i % batch == batch - 1 {
                                        let _ = fate.await;
                                        waiting.clear();
                                    } else if i % BATCH as u64 == BATCH as u64 - 1 {
                                        waiting.push_back(fate);
                                    }
                                    // Two batches of the four may wait, so there is always room.
                                    if waiting.len() > 2 {
                                        let _ = waiting.pop_front().unwrap().await;
                                    }
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        let _ = task.await;
                    }
                    say("\"flooded\"");
                }
                "ping" => {
                    let (size, count) = (number(1) as usize, number(2));
                    peer.state.forward.store(true, Ordering::Relaxed);
                    let addr = peers()[0];
                    let mut times = Vec::with_capacity(count as usize);
                    for _ in 0..count {
                        let start = Instant::now();
                        let _ = peer.unicast(addr, Bytes::from(vec![7u8; size]));
                        arrived.recv().await;
                        times.push(start.elapsed().as_nanos() as u64);
                    }
                    peer.state.forward.store(false, Ordering::Relaxed);
                    times.sort_unstable();
                    let (p50, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
                    say(&format!("\"pinged\",\"p50\":{p50},\"p99\":{p99}"));
                }
                // simple_rpc, as the asking side.
                "call" => {
                    peer.state.forward.store(true, Ordering::Relaxed);
                    let mut request = vec![0u8];
                    request.extend_from_slice(&number(1).to_be_bytes());
                    request.extend_from_slice(words[2..].join(" ").as_bytes());
                    let _ = peer.unicast(peers()[0], Bytes::from(request));
                    let answer = arrived.recv().await.unwrap();
                    peer.state.forward.store(false, Ordering::Relaxed);
                    say(&format!("\"message\",\"payload\":\"{}\"", hex(&answer)));
                }
                "cycle" => {
                    let (target, count) = (words[1].parse().unwrap(), number(2));
                    let start = Instant::now();
                    for _ in 0..count {
                        if peer.node().connect(target).await.is_ok() {
                            peer.node().disconnect(target).await;
                        }
                    }
                    say(&format!("\"cycled\",\"ns\":{}", start.elapsed().as_nanos()));
                }
                // Many clients at once, each of which connects, says something and leaves, again and again.
                "churn" => {
                    let target: std::net::SocketAddr = words[1].parse().unwrap();
                    let count = number(3);
                    let mut clients = Vec::new();
                    for _ in 0..number(2) {
                        clients.push($new(Arc::new(state())).await);
                    }
                    let start = Instant::now();
                    let tasks: Vec<_> = clients
                        .into_iter()
                        .map(|client| {
                            tokio::spawn(async move {
                                for _ in 0..count {
                                    if client.node().connect(target).await.is_ok() {
                                        if let Ok(fate) = client.unicast(target, Bytes::from(vec![7u8; 32])) {
                                            let _ = fate.await;
                                        }
                                        client.node().disconnect(target).await;
                                    }
                                }
                                client.node().shut_down().await;
                            })
                        })
                        .collect();
                    for task in tasks {
                        let _ = task.await;
                    }
                    say(&format!("\"cycled\",\"ns\":{}", start.elapsed().as_nanos()));
                }
                "nodes" => {
                    let start = Instant::now();
                    for _ in 0..number(1) {
                        let node = $new(Arc::new(state())).await;
                        let _ = node.node().toggle_listener().await;
                        node.node().shut_down().await;
                    }
                    say(&format!("\"cycled\",\"ns\":{}", start.elapsed().as_nanos()));
                }
                // One message at a time along a line of nodes in this process.
                "hops" => {
                    let mut line = Vec::new();
                    for _ in 0..number(1) {
                        let one = $new(Arc::new(state())).await;
                        let addr = one.node().toggle_listener().await.unwrap().unwrap();
                        line.push((one, addr));
                    }
                    for at in 1..line.len() {
                        line[at - 1].0.node().connect(line[at].1).await.unwrap();
                    }
                    // The dialled ends may take a moment more.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    let start = Instant::now();
                    for _ in 0..number(2) {
                        let _ = line[0].0.unicast(line[1].1, Bytes::from(vec![7u8; 5]));
                        arrived.recv().await;
                    }
                    say(&format!("\"cycled\",\"ns\":{}", start.elapsed().as_nanos()));
                    for (one, _) in line {
                        one.node().shut_down().await;
                    }
                }
                "memory" => {
                    let connections = peer.node().num_connected();
                    say(&format!("\"memory\",\"bytes\":{},\"connections\":{connections}", resident()));
                }
                "quit" | "" => break,
                other => say(&format!("\"error\",\"message\":\"no command {other}\"")),
            }
        }
        peer.node().shut_down().await;
    }};
}

pub(crate) use run;
