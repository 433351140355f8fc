//! Who may talk to the listening server: a bearer token and a certificate authority, both made on first use and kept
//! in the data folder (mode 0600), and the kubeconfig that hands them to `coffer` and `kubectl`.
//!
//! Only the authority's *key* is kept. Its certificate and the server's are signed anew at each start: the same key and
//! the same name verify against any copy of an earlier certificate, so a copied kubeconfig stays good and nothing
//! expires that a restart would not renew.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::{Error, private};

const AUTHORITY_YEARS: i32 = 10;
/// A server that runs longer than this without a restart is refused by its clients.
const SERVER_YEARS: i32 = 2;

/// The bearer token that every request over the network must carry.
#[derive(Clone)]
pub(crate) struct Token(SecretString);

impl Token {
    /// Reads `data_dir/token`, or makes one of 256 random bits.
    pub(crate) fn load(data_dir: &Path) -> Result<Token, Error> {
        let path = data_dir.join("token");
        if let Some(text) = private::read(&path)?
            && !text.trim().is_empty()
        {
            return Ok(Token(text.trim().into()));
        }
        let token = hex::encode(rand::random::<[u8; 32]>());
        private::write(&path, token.as_bytes())?;
        Ok(Token(token.into()))
    }

    /// Whether an `Authorization` header carries this token. Takes as long for a near miss as for a far one.
    pub(crate) fn admits(&self, header: Option<&http::HeaderValue>) -> bool {
        let Some((scheme, given)) = header.and_then(|value| value.to_str().ok()).and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.trim().as_bytes().ct_eq(self.0.expose_secret().as_bytes()))
    }
}

/// The server's TLS set-up and the authority that its clients must trust.
pub(crate) struct Identity {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    authority_pem: String,
}

impl Identity {
    /// Loads or makes the authority's key in `data_dir/authority.key`, and issues a certificate for this machine's
    /// loopback names.
    pub(crate) fn issue(data_dir: &Path) -> Result<Identity, Error> {
        let path = data_dir.join("authority.key");
        let key = match private::read(&path)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|source| Error::Key { path, source })?,
            None => {
                let key = KeyPair::generate()?;
                private::write(&path, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let mut authority = params("Coffer embedded control plane", AUTHORITY_YEARS);
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_pem = authority.self_signed(&key)?.pem();

        let mut server = params("coffer", SERVER_YEARS);
        server.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let certificate = server.signed_by(&server_key, &Issuer::new(authority, key))?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(server_key.serialize_der()).into(),
            )?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity { tls: Arc::new(tls), authority_pem })
    }

    /// Writes the kubeconfig for a server at `address`. JSON is YAML, so both kubectl and kube read it.
    pub(crate) fn write_kubeconfig(&self, path: &Path, address: SocketAddr, token: &Token) -> Result<(), Error> {
        let authority = k8s_openapi::ByteString(self.authority_pem.clone().into_bytes());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "coffer", "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority-data": authority,
            }}],
            "users": [{"name": "coffer", "user": {"token": token.0.expose_secret()}}],
            "contexts": [{"name": "coffer", "context": {"cluster": "coffer", "user": "coffer", "namespace": "default"}}],
            "current-context": "coffer",
        });
        private::write(path, format!("{config:#}\n").as_bytes())
    }
}

fn params(name: &str, years: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    // A day of slack for a clock that was set back; the first of a month exists in every year.
    let from = today.yesterday().unwrap_or(today);
    params.not_before = rcgen::date_time_ymd(from.year().into(), from.month() as u8, from.day() as u8);
    params.not_after = rcgen::date_time_ymd(i32::from(today.year()) + years, today.month() as u8, 1);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_kept_and_compared_whole() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("token")).unwrap();
        let header = |value: String| http::HeaderValue::from_str(&value).unwrap();
        assert!(token.admits(Some(&header(format!("Bearer {text}")))));
        assert!(Token::load(dir.path()).unwrap().admits(Some(&header(format!("bearer {text}")))));
        assert!(!token.admits(Some(&header(format!("Bearer {}", &text[1..])))));
        assert!(!token.admits(Some(&header(format!("Basic {text}")))));
        assert!(!token.admits(Some(&header("Bearer ".into()))));
        assert!(!token.admits(None));
    }

    #[test]
    fn the_authority_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::issue(dir.path()).unwrap();
        let key = std::fs::read(dir.path().join("authority.key")).unwrap();
        let second = Identity::issue(dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("authority.key")).unwrap(), key);
        assert_ne!(first.authority_pem, "");
        assert_ne!(second.authority_pem, "");
    }
}
