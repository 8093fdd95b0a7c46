//! The same peer on both versions of the crate; they differ in a return type and in their configuration.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::LengthDelimitedCodec;

use crate::say;

/// What is done with messages.
#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Echo,
    Sink,
    Show,
    Rpc,
    Relay,
}

impl Role {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "echo" => Self::Echo,
            "sink" => Self::Sink,
            "show" => Self::Show,
            "rpc" => Self::Rpc,
            "relay" => Self::Relay,
            _ => return None,
        })
    }
}

/// What is shared by all connections of a peer.
pub struct State {
    pub role: Role,
    pub prefix: usize,
    pub received: AtomicU64,
    /// How many messages are waited for, and since when.
    pub expected: Mutex<Option<(u64, Instant)>>,
    /// Told about each message while pings or calls are under way.
    pub arrivals: tokio::sync::mpsc::UnboundedSender<BytesMut>,
    pub forward: std::sync::atomic::AtomicBool,
}

impl State {
    /// Handles a message; answers what is to be sent back.
    pub fn handle(&self, message: BytesMut) -> Option<Bytes> {
        let count = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        if self.forward.load(Ordering::Relaxed) {
            let _ = self.arrivals.send(message);
            return None;
        }
        match self.role {
            Role::Echo => Some(message.freeze()),
            Role::Sink => {
                let mut expected = self.expected.lock().unwrap();
                if let Some((wanted, since)) = *expected
                    && count >= wanted
                {
                    say(&format!("\"received\",\"count\":{count},\"ns\":{}", since.elapsed().as_nanos()));
                    *expected = None;
                }
                None
            }
            Role::Show => {
                say(&format!("\"message\",\"payload\":\"{}\"", hex(&message)));
                None
            }
            Role::Rpc => answer(&message),
            // At the end of the line.
            Role::Relay => {
                let _ = self.arrivals.send(message);
                None
            }
        }
    }

    pub fn codec(&self) -> LengthDelimitedCodec {
        LengthDelimitedCodec::builder()
            .length_field_length(self.prefix)
            .max_frame_length(64 << 20)
            .new_codec()
    }
}

/// simple_rpc: type (0 request, 1 response), id as u64, text.
fn answer(message: &[u8]) -> Option<Bytes> {
    if message.len() < 9 || message[0] != 0 {
        return None;
    }
    let mut response = BytesMut::with_capacity(message.len() + 6);
    response.put_u8(1);
    response.put_slice(&message[1..9]);
    response.put_slice(b"Echo: ");
    response.put_slice(&message[9..]);
    Some(response.freeze())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! peer {
    ($era:ident, $lib:ident, $config:expr, $result:ty, $done:expr, { $($reading:tt)* }) => {
        pub mod $era {
            use std::{io, net::SocketAddr, sync::Arc};

            use bytes::{Bytes, BytesMut};
            use $lib::{
                Config, Connection, ConnectionSide, Node, Pea2Pea,
                protocols::{Handshake, Reading, Writing},
            };
            use tokio_util::codec::LengthDelimitedCodec;

            use super::{Role, State};
            use crate::commands;

            #[derive(Clone)]
            pub struct Peer {
                pub node: Node,
                pub state: Arc<State>,
            }

            impl Pea2Pea for Peer {
                fn node(&self) -> &Node {
                    &self.node
                }
            }

            impl Handshake for Peer {
                async fn perform_handshake(&self, mut conn: Connection) -> io::Result<Connection> {
                    // Small messages go at once, as with us.
                    self.borrow_stream(&mut conn).set_nodelay(true)?;
                    Ok(conn)
                }
            }

            impl Reading for Peer {
                const MESSAGE_QUEUE_DEPTH: usize = 1024;
                $($reading)*
                type Message = BytesMut;
                type Codec = LengthDelimitedCodec;

                fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
                    self.state.codec()
                }

                async fn process_message(&self, source: SocketAddr, message: BytesMut) -> $result {
                    if self.state.role == Role::Relay
                        && let Some(next) = self.node.connected_addrs().into_iter().find(|addr| *addr != source)
                    {
                        let _ = self.unicast(next, message.freeze());
                    } else if let Some(reply) = self.state.handle(message) {
                        let _ = self.unicast(source, reply);
                    }
                    $done
                }
            }

            impl Writing for Peer {
                const MESSAGE_QUEUE_DEPTH: usize = commands::QUEUE_DEPTH;
                type Message = Bytes;
                type Codec = LengthDelimitedCodec;

                fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
                    self.state.codec()
                }
            }

            pub async fn new(state: Arc<State>) -> Peer {
                #[allow(clippy::redundant_closure_call)]
                let config: Config = ($config)(Config {
                    listener_addr: Some("127.0.0.1:0".parse().unwrap()),
                    max_connections: u16::MAX,
                    connection_timeout_ms: 5000,
                    ..Default::default()
                });
                let peer = Peer { node: Node::new(config), state };
                peer.enable_handshake().await;
                peer.enable_reading().await;
                peer.enable_writing().await;
                peer
            }

            pub async fn run(role: Role, prefix: usize) {
                commands::run!(role, prefix, new);
            }
        }
    };
}

peer!(
    era57,
    pea2pea,
    |config: Config| Config {
        max_connections_per_ip: u16::MAX,
        max_connecting: 1000,
        listener_backlog: 4096,
        ..config
    },
    (),
    (),
    // Benches leave connections alone for longer than the minute it would give them.
    { const IDLE_TIMEOUT_MS: u64 = 0; }
);
peer!(era50, pea2pea_050, |config: Config| config, io::Result<()>, Ok(()), {});
