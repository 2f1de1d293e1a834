//! TLS with real certificates, made for the test, and a real client.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tests::{Listening, text};
use crate::config::{PermittedPeer, Protocol, Tls};

/// An authority and a folder for what it signs.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Signs a certificate for a name and writes it with its key as NAME.pem and NAME.key.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A server called localhost.
    fn server(&self) -> Tls {
        self.sign("localhost");
        Tls {
            certificate: self.path("localhost.pem"),
            key: self.path("localhost.key"),
            client_ca: None,
            permitted_peers: Vec::new(),
        }
    }

    /// What a client needs, with a certificate of its own or without one.
    fn client(&self, client: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))).unwrap();
        let config =
            ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        Arc::new(match client {
            Some(name) => {
                let chain = vec![certificate(&self.path(&format!("{name}.pem")))];
                let key = self.path(&format!("{name}.key"));
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        })
    }

    /// A connection to a listener, with a client's certificate or without one.
    async fn connect(&self, l: &Listening, client: Option<&str>) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(l.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(self.client(client));
        connector.connect(name, stream).await.unwrap()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// With TLS 1.3 a client learns of its refusal when it reads.
async fn is_refused(mut stream: TlsStream<TcpStream>) -> bool {
    stream.read(&mut [0; 8]).await.is_err()
}

fn listening(tls: Tls) -> Listening {
    Listening::new(Protocol::Tls, |s| s.tls = Some(tls))
}

#[tokio::test]
async fn lines_come_through_tls_in_pieces_of_any_size() {
    let authority = Authority::new();
    let mut l = listening(authority.server());
    let mut stream = authority.connect(&l, None).await;
    stream
        .write_all(b"<13>one\n7 <13>two<13>thr")
        .await
        .unwrap();
    assert_eq!(text(&l.lines(2).await), ["<13>one", "<13>two"]);
    // More than a TLS record, than the read buffer and than a batch.
    let long = format!("ee\n{}", format!("<13>{:200}\n", "long").repeat(10_000));
    let sent = tokio::spawn(async move {
        stream.write_all(long.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let lines = l.lines(10_001).await;
    sent.await.unwrap();
    assert_eq!(lines[0], b"<13>three");
    assert_eq!(l.stop().await, (vec![], vec![]));
}

#[tokio::test]
async fn a_line_in_one_piece_with_the_end_of_the_handshake_is_taken() {
    let authority = Authority::new();
    let mut l = listening(authority.server());
    let mut stream = TcpStream::connect(l.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(authority.client(None), name).unwrap();
    let mut piece = Vec::new();
    while tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut piece).unwrap();
        }
        stream.write_all(&piece).await.unwrap();
        piece.clear();
        let mut answer = Vec::new();
        stream.read_buf(&mut answer).await.unwrap();
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            tls.read_tls(&mut answer).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    tls.writer().write_all(b"<13>early\n").unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut piece).unwrap();
    }
    stream.write_all(&piece).await.unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>early"]);
    drop(stream);
}

#[tokio::test]
async fn only_permitted_clients_are_let_in() {
    let authority = Authority::new();
    let stranger = Authority::new();
    for name in ["web1.example.org", "other.example.net", "printed.example"] {
        authority.sign(name);
    }
    stranger.sign("web1.example.org");
    let print = certificate(&authority.path("printed.example.pem"));
    let print = ring::digest::digest(&ring::digest::SHA256, &print);
    let mut tls = authority.server();
    tls.client_ca = Some(authority.path("ca.pem"));
    tls.permitted_peers = vec![
        "*.example.org".parse().unwrap(),
        PermittedPeer::Fingerprint(print.as_ref().try_into().unwrap()),
    ];
    let mut l = listening(tls);
    for name in ["web1.example.org", "printed.example"] {
        let mut stream = authority.connect(&l, Some(name)).await;
        stream.write_all(b"<13>hello\n").await.unwrap();
        assert_eq!(text(&l.lines(1).await), ["<13>hello"], "{name}");
    }
    assert!(is_refused(authority.connect(&l, Some("other.example.net")).await).await);
    assert!(is_refused(authority.connect(&l, None).await).await);
    // The same name, signed by somebody else.
    for kind in ["pem", "key"] {
        let file = format!("web1.example.org.{kind}");
        std::fs::copy(stranger.path(&file), authority.path(&file)).unwrap();
    }
    assert!(is_refused(authority.connect(&l, Some("web1.example.org")).await).await);
    let report = l.end().await;
    assert_eq!(report.dropped, [("tls_refused".to_owned(), 3)]);
    assert_eq!(l.stop().await.0, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_refusal_of_our_own_says_why_and_nothing_else() {
    let authority = Authority::new();
    authority.sign("other.example.net");
    let mut tls = authority.server();
    tls.client_ca = Some(authority.path("ca.pem"));
    tls.permitted_peers = vec!["*.example.org".parse().unwrap()];
    let mut l = listening(tls);
    assert!(is_refused(authority.connect(&l, Some("other.example.net")).await).await);
    assert_eq!(
        l.end().await.detail,
        "last refused 127.0.0.1: the certificate (other.example.net) is not among permitted_peers"
    );
}

#[tokio::test]
async fn what_is_not_tls_is_refused_and_the_listener_lives() {
    let authority = Authority::new();
    let mut l = listening(authority.server());
    let mut plain = TcpStream::connect(l.address).await.unwrap();
    plain.write_all(b"<13>plain text\n").await.unwrap();
    // An alert comes, then the end.
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    let mut stream = authority.connect(&l, None).await;
    stream.write_all(b"<13>hello\n").await.unwrap();
    assert_eq!(text(&l.lines(1).await), ["<13>hello"]);
    drop(stream);
    assert_eq!(l.stop().await.1, [("tls_refused".to_owned(), 1)]);
}

#[test]
fn renewed_files_are_taken_up_and_half_renewed_ones_wait() {
    use crate::tls::{Reload, ServerTls};
    let authority = Authority::new();
    let table = authority.server();
    let mut server = ServerTls::load(&table).unwrap();
    let first = server.current().0;
    let old = std::fs::read(&table.key).unwrap();
    authority.sign("localhost");
    let renewed = std::fs::read(&table.key).unwrap();
    std::fs::write(&table.key, old).unwrap();
    let (config, news) = server.current();
    assert!(Arc::ptr_eq(&first, &config), "the pair before stays in use");
    let Some(Reload::Failed(e)) = news else {
        panic!("{news:?}")
    };
    assert!(
        e.to_string().ends_with("is not the key of the certificate"),
        "{e}"
    );
    assert!(server.current().1.is_none(), "reported once");
    std::fs::remove_file(&table.key).unwrap();
    std::fs::write(&table.key, renewed).unwrap();
    let (config, news) = server.current();
    assert!(matches!(news, Some(Reload::Done)), "{news:?}");
    assert!(!Arc::ptr_eq(&first, &config));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let good = authority.server();
    let error = |table: &Tls| crate::tls::ServerTls::load(table).unwrap_err().to_string();
    let mut table = good.clone();
    table.certificate = authority.path("nosuch.pem");
    assert!(
        error(&table).contains("nosuch.pem: No such file"),
        "{}",
        error(&table)
    );
    table.certificate = good.key.clone();
    assert!(
        error(&table).ends_with("no certificate in PEM"),
        "{}",
        error(&table)
    );
    let mut table = good.clone();
    table.key = good.certificate.clone();
    assert!(
        error(&table).contains("no private key in PEM"),
        "{}",
        error(&table)
    );
    let mut table = good;
    table.client_ca = Some(table.key.clone());
    assert!(
        error(&table).ends_with("no certificate in PEM"),
        "{}",
        error(&table)
    );
}
