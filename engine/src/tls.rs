//! TLS 1.3 by rustls: certificates are presented and their keys proven by TLS; who the peer may be is the caller's to
//! judge, synchronously, inside the handshake and before a byte of the peer's data exists.

use crate::clock::Date;
use crate::config::{Config, Flags};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The verdict that lets a peer in. Every other value is the TLS alert with which it is turned away.
pub const ACCEPT: u8 = 0;

/// Decides who a peer may be.
pub trait Judge: Send + Sync {
    /// `chain` is what the peer presented, end entity first; it has just proven that it holds the key of the first.
    /// Returns [`ACCEPT`], or the alert (RFC 8446 §6.2) to refuse it with. Must not call the engine.
    fn judge(&self, connection: u32, chain: &[CertificateDer<'static>]) -> u8;
}

/// Key log lines that wait for the caller. A handshake writes five.
const MAX_KEY_LOG_LINES: usize = 1024;

/// What the TLS callbacks and the engine share: whose handshake is being processed, and chains whose keys are not
/// proven yet (at most one for each connection in its handshake; the engine forgets it with the connection).
#[derive(Default)]
pub(crate) struct Docket {
    current: Option<u32>,
    unproven: HashMap<u32, Vec<CertificateDer<'static>>>,
    key_log: VecDeque<String>,
}

/// The docket behind its lock. There is one thread; the lock only makes rustls's `Sync` bound true.
#[derive(Clone, Default)]
pub(crate) struct SharedDocket(Arc<Mutex<Docket>>);

impl SharedDocket {
    fn lock(&self) -> MutexGuard<'_, Docket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_current(&self, connection: Option<u32>) {
        self.lock().current = connection;
    }

    pub(crate) fn forget(&self, connection: u32) {
        self.lock().unproven.remove(&connection);
    }

    pub(crate) fn key_log_lines(&self) -> usize {
        self.lock().key_log.len()
    }

    pub(crate) fn take_key_log(&self) -> VecDeque<String> {
        std::mem::take(&mut self.lock().key_log)
    }

    fn store(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
        let mut docket = self.lock();
        let connection = docket.current.ok_or(CertificateError::ApplicationVerificationFailure)?;
        let chain = std::iter::once(end_entity).chain(intermediates).map(|c| c.clone().into_owned()).collect();
        docket.unproven.insert(connection, chain);
        Ok(())
    }

    fn take(&self) -> Option<(u32, Vec<CertificateDer<'static>>)> {
        let mut docket = self.lock();
        let connection = docket.current?;
        docket.unproven.remove(&connection).map(|chain| (connection, chain))
    }
}

impl Debug for SharedDocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedDocket")
    }
}

impl rustls::KeyLog for SharedDocket {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut docket = self.lock();
        if docket.key_log.len() < MAX_KEY_LOG_LINES {
            docket.key_log.push_back(format!("{label} {} {}", hex(client_random), hex(secret)));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Both sides' certificate verifier: rustls proves possession of the key, then the judge speaks.
struct Verifier {
    provider: Arc<CryptoProvider>,
    docket: SharedDocket,
    judge: Arc<dyn Judge>,
    mandatory: bool,
}

impl Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn prove(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let proven = rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)?;
        let (connection, chain) = self.docket.take().ok_or(CertificateError::ApplicationVerificationFailure)?;
        match self.judge.judge(connection, &chain) {
            ACCEPT => Ok(proven),
            alert => Err(refusal(alert)),
        }
    }
}

/// The rustls error that sends `alert` (RFC 8446 §6.2); `access_denied` for numbers that are not about certificates.
fn refusal(alert: u8) -> Error {
    use CertificateError as C;
    Error::InvalidCertificate(match alert {
        42 => C::NotValidForName,                                 // bad_certificate
        43 => C::InvalidPurpose,                                  // unsupported_certificate
        44 => C::Revoked,                                         // certificate_revoked
        45 => C::Expired,                                         // certificate_expired
        46 => C::Other(rustls::OtherError(Arc::new(fmt::Error))), // certificate_unknown
        48 => C::UnknownIssuer,                                   // unknown_ca
        _ => C::ApplicationVerificationFailure,                   // access_denied, 49
    })
}

fn no_tls12() -> Error {
    Error::General("QUIC has no TLS 1.2".into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.docket.store(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.docket.store(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.prove(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes the TLS halves of an engine's configuration.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    docket: SharedDocket,
    judge: Arc<dyn Judge>,
    date: Date,
    /// Our chain and its key, read once; all configurations share them.
    identity: Option<Arc<SingleCertAndKey>>,
    flags: Flags,
}

impl Tls {
    pub(crate) fn new(
        config: &Config,
        docket: SharedDocket,
        judge: Arc<dyn Judge>,
        date: Date,
    ) -> Result<Self, String> {
        let mut provider = rustls::crypto::ring::default_provider();
        if cfg!(target_family = "wasm") {
            // ring's AES is table-driven C here: 50 MB/s against 360 for ChaCha20-Poly1305.
            let chacha = rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
            provider.cipher_suites.sort_by_key(|suite| suite.suite() != chacha);
        }
        let identity = if config.chain.is_empty() {
            None
        } else {
            let chain = config.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(config.key.clone()));
            let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|e| e.to_string())?;
            Some(Arc::new(SingleCertAndKey::from(certified)))
        };
        Ok(Self { provider: Arc::new(provider), docket, judge, date, identity, flags: config.flags })
    }

    fn verifier(&self) -> Arc<Verifier> {
        Arc::new(Verifier {
            provider: self.provider.clone(),
            docket: self.docket.clone(),
            judge: self.judge.clone(),
            mandatory: self.flags.has(Flags::CLIENT_CERTIFICATE_REQUIRED),
        })
    }

    pub(crate) fn client(&self, alpn: &[Vec<u8>], send_server_name: bool) -> Result<QuicClientConfig, String> {
        let builder = rustls::ClientConfig::builder_with_details(self.provider.clone(), Arc::new(self.date.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(identity.clone()),
        };
        config.alpn_protocols = alpn.to_vec();
        config.enable_sni = send_server_name;
        // Resumption would skip the certificate, and with it the judge.
        config.resumption = rustls::client::Resumption::disabled();
        if self.flags.has(Flags::KEY_LOG) {
            config.key_log = Arc::new(self.docket.clone());
        }
        config.try_into().map_err(|e: quinn_proto::crypto::rustls::NoInitialCipherSuite| e.to_string())
    }

    pub(crate) fn server(&self, alpn: &[Vec<u8>]) -> Result<QuicServerConfig, String> {
        let builder = rustls::ServerConfig::builder_with_details(self.provider.clone(), Arc::new(self.date.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?;
        let builder = if self.flags.has(Flags::CLIENT_CERTIFICATE_WANTED) {
            builder.with_client_cert_verifier(self.verifier())
        } else {
            builder.with_no_client_auth()
        };
        let identity = self.identity.clone().ok_or("no certificate")?;
        let mut config = builder.with_cert_resolver(identity);
        config.alpn_protocols = alpn.to_vec();
        config.ignore_client_order = cfg!(target_family = "wasm");
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        if self.flags.has(Flags::KEY_LOG) {
            config.key_log = Arc::new(self.docket.clone());
        }
        config.try_into().map_err(|e: quinn_proto::crypto::rustls::NoInitialCipherSuite| e.to_string())
    }
}
