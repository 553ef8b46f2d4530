//! TLS to a syslog server.

use crate::link::Link;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use spec::log::Tls;
use std::{fs, io, sync::Arc};

/// Reads what was named, once: the files may change, and are not to be read
/// with rights that are given up.
pub fn config(wish: &Tls) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if wish.skip_verify {
        let anybody = Arc::new(Anybody(provider));
        builder.dangerous().with_custom_certificate_verifier(anybody)
    } else if wish.ca.is_empty() {
        builder.with_platform_verifier().map_err(io::Error::other)?
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&wish.ca)? {
            roots.add(certificate).map_err(|error| unusable(&wish.ca, &error))?;
        }
        builder.with_root_certificates(roots)
    };
    if wish.cert.is_empty() && wish.key.is_empty() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&wish.key)?)
        .map_err(|error| unusable(&wish.key, &error))?;
    let config = builder
        .with_client_auth_cert(certificates(&wish.cert)?, key)
        .map_err(|error| unusable(&wish.cert, &error))?;
    Ok(Arc::new(config))
}

fn certificates(path: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| unusable(path, &error))?;
    if all.is_empty() { Err(unusable(path, &"there is no certificate in it")) } else { Ok(all) }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {path}: {error}")))
}

fn unusable(path: &str, why: &impl ToString) -> io::Error {
    io::Error::other(format!("cannot use {path}: {}", why.to_string()))
}

/// Shakes hands with the server called `host`.
pub fn greet(
    config: &Arc<ClientConfig>,
    host: &str,
    mut link: Link,
) -> io::Result<StreamOwned<ClientConnection, Link>> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut connection =
        ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut link)?;
    }
    Ok(StreamOwned::new(connection, link))
}

/// Takes anybody's word, because it was asked to.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
