//! Connections that begin: attempts of others, which the caller decides about, and our own.

use crate::config::{Config, Flags, decode_alpn};
use crate::engine::Engine;
use crate::streams::Refused;
use crate::tls::Tls;
use crate::transmit::{from_socket, to_socket};
use q::ClientConfig;
use quinn_proto as q;
use std::sync::Arc;

pub(crate) fn client_config(
    tls: &Tls,
    transport: &Arc<q::TransportConfig>,
    alpn: &[Vec<u8>],
    send_server_name: bool,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new(Arc::new(tls.client(alpn, send_server_name)?));
    config.transport_config(transport.clone());
    config.token_store(Arc::new(q::NoneTokenStore));
    Ok(config)
}

impl Engine {
    /// The transport with another receive window to begin with; `None` for 0, where it is the configured one, and where
    /// connections begin without any.
    fn transport_with(&self, window: u32) -> Option<Arc<q::TransportConfig>> {
        (window != 0 && window != self.config.connection_window && !self.config.flags.has(Flags::HELD))
            .then(|| Arc::new(Config { connection_window: window, ..self.config.clone() }.transport()))
    }

    /// Accepts a connection attempt, with so many bytes that its peer may send before they are read, and returns its
    /// handle.
    ///
    /// # Errors
    /// [`Refused::Unknown`] when it was decided before, [`Refused::Failed`] when its first packet was no good.
    pub fn accept(&mut self, now_ms: f64, number: u32, window: u32) -> Result<u32, Refused> {
        let now = self.clock.advance(now_ms);
        let incoming = self.incoming.remove(&number).ok_or(Refused::Unknown)?;
        let remote = from_socket(incoming.remote_address());
        self.scratch.clear();
        if !self.connections.takes() {
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            self.reply(&transmit);
            return Err(Refused::Failed);
        }
        let server = self.transport_with(window).zip(self.server.as_deref()).map(|(transport, server)| {
            let mut server = server.clone();
            server.transport_config(transport);
            Arc::new(server)
        });
        match self.endpoint.accept(incoming, now, &mut self.scratch, server) {
            Ok((at, quic)) => Ok(self.connections.insert(at, quic, remote)),
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.reply(&transmit);
                }
                Err(Refused::Failed)
            }
        }
    }

    /// Refuses a connection attempt with a packet.
    pub fn refuse(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.scratch.clear();
        let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
        self.reply(&transmit);
        true
    }

    /// Has the other side prove its address first. Returns `false`, and keeps the attempt, when it has done so already.
    pub fn retry(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.scratch.clear();
        match self.endpoint.retry(incoming, &mut self.scratch) {
            Ok(transmit) => {
                self.reply(&transmit);
                true
            }
            Err(error) => {
                self.incoming.insert(number, error.into_incoming());
                false
            }
        }
    }

    /// Forgets a connection attempt silently.
    pub fn ignore(&mut self, number: u32) -> bool {
        let Some(incoming) = self.incoming.remove(&number) else { return false };
        self.endpoint.ignore(incoming);
        true
    }

    /// Begins a connection, with a window as in [`Self::accept`], and returns its handle. `server_name` is sent when it is a DNS name; `alpn` (names behind
    /// length bytes) replaces the configured names.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for malformed names, [`Refused::Failed`] when there is no room.
    pub fn connect(
        &mut self,
        now_ms: f64,
        address: u32,
        server_name: Option<&str>,
        alpn: Option<&[u8]>,
        window: u32,
    ) -> Result<u32, Refused> {
        let now = self.clock.advance(now_ms);
        let send_name = server_name.is_some();
        let alpn = alpn.map(|bytes| decode_alpn(bytes).ok_or(Refused::Invalid)).transpose()?;
        let mut config = match alpn {
            Some(alpn) if alpn != self.alpn => {
                client_config(&self.tls, &self.transport, &alpn, send_name).map_err(|_| Refused::Invalid)?
            }
            _ => {
                let [without, with] = &self.clients;
                if send_name { with.clone() } else { without.clone() }
            }
        };
        if let Some(transport) = self.transport_with(window) {
            config.transport_config(transport);
        }
        if !self.connections.takes() {
            return Err(Refused::Failed);
        }
        let name = server_name.unwrap_or("peer");
        match self.endpoint.connect(now, config, to_socket(address), name) {
            Ok((at, quic)) => Ok(self.connections.insert(at, quic, address)),
            Err(q::ConnectError::InvalidServerName(_)) => Err(Refused::Invalid),
            Err(_) => Err(Refused::Failed),
        }
    }
}
