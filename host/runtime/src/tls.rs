//! TLS towards the bound application: whom to trust, which name to verify, who we are.
//!
//! The crypto provider is named outright, so that no process-wide default has to be installed first.

use crate::Tls;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use std::{io, sync::Arc};

/// The binding's TLS settings make no sense; messages name the field and hold no key material.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the binding's certificate authority is not a PEM certificate: {0}")]
    Authority(String),
    #[error("the binding's certificate authority holds no certificate")]
    NoAuthority,
    #[error("this machine has no certificate authorities ({0}): give the binding one of its own")]
    NoPlatformAuthority(String),
    #[error("the binding's client certificate is unusable: {0}")]
    Certificate(String),
    #[error("the binding's client key is not a PEM private key")]
    Key,
    #[error("unable to set up TLS: {0}")]
    Protocol(String),
    #[error("{0} is neither a DNS name nor an IP address: give the binding a server name")]
    ServerName(String),
}

/// Reads files when the platform's authorities are asked for; call it where blocking is allowed.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Protocol(error.to_string()))?;
    let builder = if tls.verify {
        builder.with_root_certificates(authorities(tls)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
    };
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let chain = certificates(&identity.certificate_pem).map_err(TlsError::Certificate)?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret().as_bytes())
                .map_err(|_| TlsError::Key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Certificate(error.to_string()))
        }
    }
}

/// The binding's name, else the endpoint's host.
pub(crate) fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

fn authorities(tls: &Tls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_pem {
        Some(pem) => {
            for certificate in certificates(pem).map_err(TlsError::Authority)? {
                roots.add(certificate).map_err(|error| TlsError::Authority(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoAuthority);
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Platforms carry the odd certificate that cannot be parsed; the others are good.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(TlsError::NoPlatformAuthority(reasons.join(", ")));
            }
        }
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("{error:?}"))
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// A refusal that trying again will not change: their certificate was not accepted, or ours, or they do not speak TLS at all.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        cause(error),
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::AlertReceived(_)
                | rustls::Error::PeerIncompatible(_)
                | rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)
        )
    )
}

/// What went wrong and, for every refusal, what to do about it, with the names that a binding's fields have.
pub(crate) fn explain(error: &io::Error) -> String {
    use CertificateError as C;
    match cause(error) {
        // An authority that was made anew under its old name shows as a bad signature.
        Some(rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => {
            "its certificate is not signed by a trusted authority: give the binding the authority's certificate in \
             caBundle (insecureSkipTLSVerify would trust anyone)"
                .into()
        }
        Some(rustls::Error::InvalidCertificate(reason @ (C::NotValidForName | C::NotValidForNameContext { .. }))) => {
            format!("its certificate is for another name ({reason}): set the binding's serverName to a name that it has")
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            format!("its certificate is not good ({reason}): the server needs a new one")
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            "it shows no certificate: the server needs one that the binding's caBundle trusts".into()
        }
        Some(rustls::Error::AlertReceived(alert)) => format!(
            "the server refused with {alert:?}: where it asks for a client certificate, give the binding one that it \
             trusts in tlsSecret"
        ),
        Some(rustls::Error::PeerIncompatible(reason)) => {
            format!("there is no TLS that both sides speak ({reason:?}): the server has to offer TLS 1.2 or 1.3")
        }
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not answer in TLS: turn TLS on at the server, or set the binding's tlsMode to Disable where nobody \
             can listen"
                .into()
        }
        _ => error.to_string(),
    }
}

/// For `verify: false` only. Signatures are still checked, so that the peer holds the key of what it presents.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, Error as E, PeerIncompatible};

    #[test]
    fn every_refusal_has_its_remedy() {
        for (error, remedy) in [
            (E::InvalidCertificate(CertificateError::UnknownIssuer), "caBundle"),
            (E::InvalidCertificate(CertificateError::BadSignature), "caBundle"),
            (E::InvalidCertificate(CertificateError::NotValidForName), "serverName"),
            (E::InvalidCertificate(CertificateError::Expired), "needs a new one"),
            (E::NoCertificatesPresented, "needs one"),
            (E::AlertReceived(AlertDescription::CertificateRequired), "tlsSecret"),
            (E::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), "TLS 1.2"),
            (E::InvalidMessage(InvalidMessage::InvalidContentType), "tlsMode"),
        ] {
            let error = io::Error::other(error);
            assert!(is_refusal(&error), "{error}");
            assert!(explain(&error).contains(remedy), "{}", explain(&error));
        }
        assert!(!is_refusal(&io::ErrorKind::ConnectionReset.into()));
    }
}
