//! Applications to connect to: they echo, stay silent, talk without end, or hang up. On the loopback, gone with the test.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Copy)]
pub enum Manner {
    Echo,
    Silent,
    /// Talks without end.
    Endless,
    /// Hangs up after so many bytes.
    HangUp(usize),
    /// As above, but with a reset instead of a farewell.
    Reset(usize),
}

pub struct Server {
    pub port: u16,
    /// A message for every connection that is over.
    pub over: mpsc::UnboundedReceiver<()>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, over) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    serve(stream, manner, tls).await;
                    let _ = sender.send(());
                });
            }
        });
        Self { port, over, task }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, tls: Option<Arc<ServerConfig>>) {
    let Some(tls) = tls else {
        if let Manner::Reset(_) = manner {
            stream.set_zero_linger().unwrap();
        }
        return behave(stream, manner).await;
    };
    // As PostgreSQL does it: asked for TLS by a word in the clear, it answers with one.
    let mut asked = [0];
    if stream.read_exact(&mut asked).await.is_err() || asked != *b"S" {
        return;
    }
    stream.write_all(b"S").await.unwrap();
    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
        behave(stream, manner).await;
    }
}

async fn behave(stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner) {
    let (mut read, mut write) = tokio::io::split(stream);
    match manner {
        Manner::Echo => {
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        }
        Manner::Silent => {
            let _ = read.read_to_end(&mut Vec::new()).await;
        }
        Manner::Endless => while write.write_all(&[7; 65_536]).await.is_ok() {},
        Manner::HangUp(count) | Manner::Reset(count) => {
            let _ = write.write_all(&vec![7; count]).await;
            let _ = write.flush().await;
        }
    }
}

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

pub struct Certificate {
    pub pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn certify(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// For a server called `name`; clients must show a certificate of `clients`, when there is one.
    pub fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let own = self.certify(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}
