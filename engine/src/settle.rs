//! What a connection has to tell: its events, its address and its MTU, until there is nothing new.

use crate::config::Config;
use crate::connections::Connection;
use crate::engine::Engine;
use crate::events::{Events, Kind, lost_detail};
use crate::transmit::from_socket;
use q::{ConnectionHandle, Dir, StreamEvent, VarInt};
use quinn_proto as q;

impl Engine {
    /// Passes events between a connection, the endpoint and the caller until there are none left.
    pub(crate) fn settle(&mut self, index: usize) {
        let events = &mut self.events;
        loop {
            let mut idle = true;
            while let Some(connection) = self.connections.at(index) {
                let Some(event) = connection.quic.poll_endpoint_events() else { break };
                idle = false;
                if let Some(answer) = self.endpoint.handle_event(ConnectionHandle(index), event) {
                    connection.quic.handle_event(answer);
                }
            }
            let Some(connection) = self.connections.at(index) else { return };
            let handle = connection.handle;
            announce(connection, events);
            while let Some(event) = connection.quic.poll() {
                idle = false;
                match event {
                    q::Event::HandshakeDataReady => announce(connection, events),
                    q::Event::Connected => {
                        connection.connected = true;
                        announce(connection, events);
                        events.push(Kind::Connected, 0, handle, 0);
                    }
                    q::Event::ConnectionLost { reason } => {
                        let (detail, code, text) = lost_detail(reason);
                        events.push_text(Kind::Lost, detail, handle, code, text);
                    }
                    q::Event::DatagramReceived => events.push(Kind::Datagram, 0, handle, 0),
                    q::Event::DatagramsUnblocked => events.push(Kind::DatagramsUnblocked, 0, handle, 0),
                    q::Event::Stream(event) => {
                        let opened = if let StreamEvent::Opened { dir } = event { Some(dir) } else { None };
                        stream_event(connection, event, events);
                        if let Some(dir) = opened {
                            allow_more(&mut connection.quic, dir, &self.config);
                        }
                    }
                }
            }
            let remote = from_socket(connection.quic.remote_address());
            if remote != connection.remote {
                let value = u64::from(remote) | u64::from(connection.remote) << 32;
                events.push(Kind::Path, 0, handle, value);
                connection.remote = remote;
            }
            let mtu = connection.quic.current_mtu();
            if mtu != connection.mtu {
                events.push(Kind::Mtu, 0, handle, mtu.into());
                connection.mtu = mtu;
            }
            if connection.quic.is_drained() && idle {
                events.push(Kind::Drained, 0, handle, 0);
                self.docket.forget(handle);
                self.connections.end(index);
                return;
            }
            if idle {
                break;
            }
        }
        self.connections.arm(index);
    }
}

/// Allows a peer that has half of its streams of a kind open twice as many, up to the configured number.
fn allow_more(quic: &mut q::Connection, dir: Dir, config: &Config) {
    let most = if dir == Dir::Uni { config.max_uni_streams } else { config.max_bidi_streams };
    let allowed = quic.max_concurrent_streams(dir);
    if allowed < most.into() && quic.streams().remote_open_streams(dir) >= allowed.div_ceil(2) {
        let more = allowed.saturating_mul(2).min(most.into());
        quic.set_max_concurrent_streams(dir, VarInt::from_u32(more as u32));
    }
}

/// Tells ALPN and server name once, as soon as both are known: a server knows them with the ClientHello.
fn announce(connection: &mut Connection, events: &mut Events) {
    if connection.negotiated {
        return;
    }
    let session = connection.quic.crypto_session();
    let ready = connection.connected
        || (connection.quic.side().is_server() && matches!(session.transport_parameters(), Ok(Some(_))));
    if !ready {
        return;
    }
    connection.negotiated = true;
    let data = session.handshake_data().and_then(|any| any.downcast::<q::crypto::rustls::HandshakeData>().ok());
    let alpn = data.as_ref().and_then(|d| d.protocol.as_deref()).unwrap_or_default();
    let name = data.as_ref().and_then(|d| d.server_name.as_deref()).unwrap_or_default();
    let mut text = vec![alpn.len() as u8];
    text.extend_from_slice(alpn);
    text.extend_from_slice(name.as_bytes());
    events.push_text(Kind::Negotiated, 0, connection.handle, 0, text);
}

fn stream_event(connection: &mut Connection, event: StreamEvent, events: &mut Events) {
    let Connection { quic, handle, accepted: [bidi, uni], .. } = connection;
    let handle = *handle;
    match event {
        StreamEvent::Opened { dir } => {
            while let Some(id) = quic.streams().accept(dir) {
                *(if dir == Dir::Uni { &mut *uni } else { &mut *bidi }) += 1;
                events.push(Kind::Opened, 0, handle, VarInt::from(id).into_inner());
            }
        }
        StreamEvent::Readable { id } => events.push(Kind::Readable, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Writable { id } => events.push(Kind::Writable, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Finished { id } => events.push(Kind::Finished, 0, handle, VarInt::from(id).into_inner()),
        StreamEvent::Stopped { id, error_code } => {
            // RFC 9000 §3.5: a STOP_SENDING is answered by a reset with the same code.
            let _ = quic.send_stream(id).reset(error_code);
            let code = error_code.into_inner().to_le_bytes().to_vec();
            events.push_text(Kind::Stopped, 0, handle, VarInt::from(id).into_inner(), code);
        }
        StreamEvent::Available { dir } => {
            events.push(Kind::Available, u8::from(dir == Dir::Uni), handle, 0);
        }
    }
}
