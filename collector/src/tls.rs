//! TLS. For listeners: the server's certificate, whom it lets in, and taking up renewed files while
//! running. For relays: whom to trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::config::{PermittedPeer, RelayTls, Tls};

/// Certificate, key or authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl TlsError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A server's side of TLS, as the files say.
#[derive(Debug)]
pub(crate) struct ServerTls {
    table: Tls,
    current: Arc<ServerConfig>,
    stamps: Vec<Option<Stamp>>,
}

/// What tells that a file was replaced or rewritten.
type Stamp = (u64, u64, SystemTime);

impl ServerTls {
    /// Reads the files.
    pub(crate) fn load(table: &Tls) -> Result<Self, TlsError> {
        let stamps = stamps(table);
        Ok(Self {
            current: server_config(table)?,
            table: table.clone(),
            stamps,
        })
    }

    /// What a new connection uses. When files have changed they are read again; files that do not fit
    /// together, as in the middle of a renewal, change nothing and are reported once. Three looks at
    /// files are nothing beside a handshake.
    pub(crate) fn current(&mut self) -> (Arc<ServerConfig>, Option<Reload>) {
        let news = self.look();
        (Arc::clone(&self.current), news)
    }

    fn look(&mut self) -> Option<Reload> {
        let stamps = stamps(&self.table);
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        Some(match server_config(&self.table) {
            Ok(config) => {
                self.current = config;
                Reload::Done
            }
            Err(e) => Reload::Failed(e),
        })
    }
}

/// What became of changed files.
#[derive(Debug)]
pub(crate) enum Reload {
    /// They are in use.
    Done,
    /// The ones before stay in use.
    Failed(TlsError),
}

fn stamps(table: &Tls) -> Vec<Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let files = [
        Some(&table.certificate),
        Some(&table.key),
        table.client_ca.as_ref(),
    ];
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.modified().ok()?))
    };
    files.into_iter().flatten().map(stamp).collect()
}

fn server_config(table: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&table.certificate)?;
    let key = private_key(&table.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::new(&table.certificate, e))?;
    let builder = match Clients::new(table, provider)? {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::new(&table.key, "is not the key of the certificate")
        }
        other => TlsError::new(&table.certificate, other),
    })?;
    // Senders of syslog never read. What lies unread in their sockets when they close turns the close
    // into a reset, which throws away what they sent last: so nothing is sent to them.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A client's side of TLS.
pub(crate) fn client_config(table: &RelayTls) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&table.ca)? {
        roots
            .add(certificate)
            .map_err(|e| TlsError::new(&table.ca, e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::new(&table.ca, e))?
        .with_root_certificates(roots);
    let (Some(certificate), Some(key)) = (&table.certificate, &table.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    builder
        .with_client_auth_cert(chain, private_key(key)?)
        .map_err(|e| TlsError::new(certificate, e))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| match e {
        pem::Error::NoItemsFound => TlsError::new(
            path,
            "no private key in PEM (an encrypted key cannot be used)",
        ),
        other => TlsError::new(path, describe(&other)),
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|items| items.collect());
    let all = all.map_err(|e| TlsError::new(path, describe(&e)))?;
    if all.is_empty() {
        return Err(TlsError::new(path, "no certificate in PEM"));
    }
    Ok(all)
}

/// Why a handshake failed. What we have decided ourselves is no "unexpected error".
pub(crate) fn reason(e: &std::io::Error) -> String {
    match e.get_ref().and_then(|e| e.downcast_ref()) {
        Some(rustls::Error::General(why)) => why.clone(),
        _ => e.to_string(),
    }
}

/// Why a target's certificate is not taken, for who set it up.
pub(crate) fn explain(e: &rustls::Error) -> String {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(why) = e else {
        return e.to_string();
    };
    let certificate = "the target's certificate";
    match why {
        UnknownIssuer => format!("{certificate} was not signed by an authority in `ca`"),
        BadSignature => format!(
            "{certificate} was not signed by an authority in `ca`: one there only has its name"
        ),
        Expired => format!("{certificate} has expired"),
        ExpiredContext { not_after, .. } => {
            format!("{certificate} has expired: {}", stamp(*not_after))
        }
        NotValidYet => format!("{certificate} is not valid yet"),
        NotValidYetContext { not_before, .. } => {
            format!("{certificate} is not valid before {}", stamp(*not_before))
        }
        NotValidForName => format!("{certificate} is for another name"),
        NotValidForNameContext {
            expected,
            presented,
        } => {
            let names = if presented.is_empty() {
                "nobody"
            } else {
                &presented.join(", ")
            };
            format!(
                "{certificate} is not for `{}`, but for {names}",
                expected.to_str()
            )
        }
        other => format!("{certificate} cannot be trusted: {other}"),
    }
}

fn stamp(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "-".to_owned(), |t| t.to_string())
}

fn describe(e: &pem::Error) -> String {
    match e {
        pem::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Decides which clients may connect.
#[derive(Debug)]
struct Clients {
    /// Checks the chain; without it only fingerprints count.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    permitted: Vec<PermittedPeer>,
    provider: Arc<CryptoProvider>,
}

impl Clients {
    /// `None` when everybody may connect.
    fn new(table: &Tls, provider: Arc<CryptoProvider>) -> Result<Option<Self>, TlsError> {
        let chain = match &table.client_ca {
            Some(path) => Some(chain_verifier(path, Arc::clone(&provider))?),
            None if table.permitted_peers.is_empty() => return Ok(None),
            None => None,
        };
        Ok(Some(Self {
            chain,
            permitted: table.permitted_peers.clone(),
            provider,
        }))
    }

    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let is = |peer: &PermittedPeer| matches!(peer, PermittedPeer::Fingerprint(f) if f == digest.as_ref());
        self.permitted.iter().any(is)
    }

    /// Whether a certificate whose chain is good has a permitted name.
    fn permits(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.permitted.is_empty() {
            return Ok(());
        }
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|e| rustls::Error::General(format!("the certificate is damaged: {e}")))?;
        let names: Vec<_> = parsed.valid_dns_names().collect();
        let permitted = |name: &&str| self.permitted.iter().any(|p| p.is_name(name));
        if names.iter().any(permitted) {
            return Ok(());
        }
        let known = if names.is_empty() {
            "no DNS name".to_owned()
        } else {
            names.join(", ")
        };
        Err(rustls::Error::General(format!(
            "the certificate ({known}) is not among permitted_peers"
        )))
    }
}

fn chain_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| TlsError::new(path, e))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| TlsError::new(path, e))
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // With fingerprints, certificates of any origin are welcome: hints would keep them away.
        let any = self.permitted.iter();
        if any
            .clone()
            .any(|p| matches!(p, PermittedPeer::Fingerprint(_)))
        {
            return &[];
        }
        self.chain.as_ref().map_or(&[], |c| c.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.knows(end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        let Some(chain) = &self.chain else {
            return Err(rustls::Error::General(
                "the certificate's fingerprint is not among permitted_peers".to_owned(),
            ));
        };
        let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
        self.permits(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
