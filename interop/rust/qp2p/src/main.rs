//! A peer on the real qp2p: commands come as lines of words on stdin, events leave as lines of JSON on stdout.
//!
//! Options: `--bind ADDR`, `--idle MS`, `--keep-alive MS`, `--echo` (sends every uni message back), `--quiet` (counts
//! messages and does not show them), `--client` (takes no connections). Requests on bidi streams are always answered with
//! their own parts. The commands are in `obey`.

use bytes::Bytes;
use qp2p::{Connection, ConnectionIncoming, Endpoint, EndpointBuilder, WireMsg};
use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Payload bytes that are shown of a message.
const SHOWN: usize = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    bind: SocketAddr,
    idle: Option<u32>,
    keep_alive: Option<u64>,
    echo: bool,
    quiet: bool,
    client: bool,
}

struct Peer {
    options: Options,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Result<Bytes, Failure> {
    if text == "-" {
        return Ok(Bytes::new());
    }
    let digits = text.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    Ok(digits.collect::<Result<Vec<u8>, Failure>>()?.into())
}

fn say(line: String) {
    println!("{line}");
}

fn quoted(value: impl Debug) -> String {
    format!("{:?}", format!("{value:?}"))
}

fn builder(options: &Options) -> EndpointBuilder {
    let mut builder = Endpoint::builder().addr(options.bind);
    if let Some(ms) = options.idle {
        builder = builder.idle_timeout(ms);
    }
    builder.keep_alive_interval(options.keep_alive.map(Duration::from_millis))
}

impl Peer {
    fn take(self: &Arc<Self>, connection: Connection, incoming: ConnectionIncoming, role: &str) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let addr = connection.remote_address();
        let connection = Arc::new(connection);
        let weak = Arc::downgrade(&connection);
        self.connections.lock().unwrap().insert(number, connection);
        if !self.options.quiet {
            say(format!(r#"{{"event":"connected","conn":{number},"role":"{role}","addr":"{addr}"}}"#));
        }
        let peer = self.clone();
        tokio::spawn(async move { peer.read(number, weak, incoming).await });
        number
    }

    async fn read(self: Arc<Self>, number: u64, weak: std::sync::Weak<Connection>, mut incoming: ConnectionIncoming) {
        loop {
            let (WireMsg((header, dst, payload)), reply) = match incoming.next_with_stream().await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error @ qp2p::RecvError::ConnectionLost(_)) => {
                    say(format!(r#"{{"event":"closed","conn":{number},"error":{}}}"#, quoted(error)));
                    break;
                }
                Err(error) => {
                    say(format!(r#"{{"event":"bad","conn":{number},"error":{}}}"#, quoted(error)));
                    continue;
                }
            };
            self.messages.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
            if !self.options.quiet {
                say(format!(
                    r#"{{"event":"message","conn":{number},"bidi":{},"header":"{}","dst":"{}","payload":"{}","bytes":{}}}"#,
                    reply.is_some(),
                    hex(&header),
                    hex(&dst),
                    hex(&payload[..payload.len().min(SHOWN)]),
                    payload.len()
                ));
            }
            if let Some(mut stream) = reply {
                tokio::spawn(async move {
                    let _ = stream.send_user_msg((header, dst, payload)).await;
                    let _ = stream.finish().await;
                });
            } else if self.options.echo {
                if let Some(connection) = weak.upgrade() {
                    tokio::spawn(async move { connection.send((header, dst, payload)).await });
                }
            }
        }
        self.connections.lock().unwrap().remove(&number);
    }

    fn of(&self, number: &str) -> Result<Arc<Connection>, Failure> {
        let number: u64 = number.parse()?;
        let connections = self.connections.lock().unwrap();
        Ok(connections.get(&number).ok_or("no such connection")?.clone())
    }

    /// `count` messages of `bytes` bytes, `flight` at a time, each awaited as qp2p awaits it.
    async fn repeat(&self, number: &str, count: u64, bytes: usize, flight: u64, bidi: bool) -> Result<f64, Failure> {
        let connection = self.of(number)?;
        let payload = Bytes::from(vec![7; bytes]);
        let left = Arc::new(AtomicU64::new(count));
        let began = Instant::now();
        let workers = (0..flight).map(|_| {
            let (connection, payload, left) = (connection.clone(), payload.clone(), left.clone());
            tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    if bidi {
                        let (mut send, receive) = connection.open_bi().await?;
                        send.send_user_msg((Bytes::new(), Bytes::new(), payload.clone())).await?;
                        send.finish().await?;
                        let (_, _, answer) = receive.read().await?;
                        assert_eq!(answer.len(), payload.len());
                    } else {
                        connection.send((Bytes::new(), Bytes::new(), payload.clone())).await?;
                    }
                }
                Ok::<(), Failure>(())
            })
        });
        let workers: Vec<_> = workers.collect();
        for worker in workers {
            worker.await??;
        }
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }

    /// `clients` endpoints send `count` messages each and wait until as many have come back.
    async fn clients(&self, addr: SocketAddr, clients: u64, count: u64, bytes: usize) -> Result<f64, Failure> {
        let began = Instant::now();
        let mut all = Vec::new();
        for _ in 0..clients {
            let endpoint = builder(&self.options).addr(SocketAddr::from(([127, 0, 0, 1], 0))).client()?;
            all.push(tokio::spawn(async move {
                let (connection, mut incoming) = endpoint.connect_to(&addr).await?;
                let payload = Bytes::from(vec![9; bytes]);
                let send = async {
                    for _ in 0..count {
                        connection.send((Bytes::new(), Bytes::new(), payload.clone())).await?;
                    }
                    Ok::<(), Failure>(())
                };
                let receive = async {
                    for _ in 0..count {
                        let WireMsg((_, _, answer)) = incoming.next().await?.ok_or("ended early")?;
                        assert_eq!(answer.len(), payload.len());
                    }
                    Ok::<(), Failure>(())
                };
                tokio::try_join!(send, receive)?;
                Ok::<(), Failure>(())
            }));
        }
        for one in all {
            one.await??;
        }
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }
}

async fn obey(peer: &Arc<Peer>, endpoint: &Endpoint, words: &[&str]) -> Result<(), Failure> {
    let timed = |event: &str, count: &str, ms: f64| say(format!(r#"{{"event":"{event}","count":{count},"ms":{ms}}}"#));
    match words {
        ["connect", addr] => {
            let (connection, incoming) = endpoint.connect_to(&addr.parse()?).await?;
            peer.take(connection, incoming, "client");
        }
        ["any", addrs @ ..] => {
            let addrs = addrs.iter().map(|addr| addr.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
            let (connection, incoming) = endpoint.connect_to_any(&addrs).await.ok_or("nobody there")?;
            peer.take(connection, incoming, "client");
        }
        ["send", number, header, dst, payload, priority] => {
            let connection = peer.of(number)?;
            connection.send_with((unhex(header)?, unhex(dst)?, unhex(payload)?), priority.parse()?).await?;
            timed("sent", "1", 0.0);
        }
        ["uni", number, count, bytes, flight] => {
            let ms = peer.repeat(number, count.parse()?, bytes.parse()?, flight.parse()?, false).await?;
            timed("sent", count, ms);
        }
        ["bidi", number, count, bytes, flight] => {
            let ms = peer.repeat(number, count.parse()?, bytes.parse()?, flight.parse()?, true).await?;
            timed("asked", count, ms);
        }
        ["clients", addr, clients, count, bytes] => {
            let ms = peer.clients(addr.parse()?, clients.parse()?, count.parse()?, bytes.parse()?).await?;
            timed("done", clients, ms);
        }
        ["connects", addr, count] => {
            let addr = addr.parse()?;
            let began = Instant::now();
            for _ in 0..count.parse::<u64>()? {
                endpoint.connect_to(&addr).await?;
            }
            timed("done", count, began.elapsed().as_secs_f64() * 1000.0);
        }
        ["anys", count, addrs @ ..] => {
            let addrs = addrs.iter().map(|addr| addr.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
            let began = Instant::now();
            for _ in 0..count.parse::<u64>()? {
                endpoint.connect_to_any(&addrs).await.ok_or("nobody there")?;
            }
            timed("done", count, began.elapsed().as_secs_f64() * 1000.0);
        }
        ["close", number, reason @ ..] => {
            peer.of(number)?.close(if reason.is_empty() { None } else { Some(reason.join(" ")) });
        }
        ["drop", number] => {
            peer.connections.lock().unwrap().remove(&number.parse()?);
        }
        ["reason", number] => {
            say(format!(r#"{{"event":"reason","error":{}}}"#, quoted(peer.of(number)?.close_reason())));
        }
        ["count"] => {
            let (messages, bytes) = (peer.messages.load(Ordering::Relaxed), peer.bytes.load(Ordering::Relaxed));
            say(format!(r#"{{"event":"count","count":{messages},"bytes":{bytes}}}"#));
        }
        ["end"] => endpoint.close(),
        _ => return Err(format!("unknown command {words:?}").into()),
    }
    Ok(())
}

fn parse_options() -> Result<Options, Failure> {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = Options { bind, idle: None, keep_alive: None, echo: false, quiet: false, client: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--bind" => options.bind = value()?.parse()?,
            "--idle" => options.idle = Some(value()?.parse()?),
            "--keep-alive" => options.keep_alive = Some(value()?.parse()?),
            "--echo" => options.echo = true,
            "--quiet" => options.quiet = true,
            "--client" => options.client = true,
            _ => return Err(format!("unknown option {arg}").into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = parse_options()?;
    let (endpoint, incoming) = if options.client {
        (builder(&options).client()?, None)
    } else {
        let (endpoint, incoming) = builder(&options).server()?;
        (endpoint, Some(incoming))
    };
    let peer = Arc::new(Peer {
        options,
        connections: Mutex::default(),
        next: AtomicU64::new(1),
        messages: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    say(format!(r#"{{"event":"listening","addr":"{}"}}"#, endpoint.local_addr()));
    if let Some(mut incoming) = incoming {
        let peer = peer.clone();
        tokio::spawn(async move {
            while let Some((connection, incoming)) = incoming.next().await {
                peer.take(connection, incoming, "server");
            }
        });
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Err(error) = obey(&peer, &endpoint, &words).await {
            say(format!(r#"{{"event":"error","command":{line:?},"error":{}}}"#, quoted(error)));
        }
    }
    endpoint.close();
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}
