//! TLS certificates of a test's own authority.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::TLS13;

/// A certificate for one host, and the authority that has signed it.
pub struct Certificate {
    authority: rcgen::Certificate,
    server: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    pub fn for_host(host: &str) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new([host.to_owned()]).unwrap();
        let server = server.signed_by(&key, &issuer).unwrap();
        Self {
            authority,
            server,
            key,
        }
    }

    /// The authority's certificate in PEM, which a client has to trust.
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// The certificate in PEM.
    pub fn server(&self) -> String {
        self.server.pem()
    }

    /// Its private key in PEM.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A server that offers HTTP/2, and HTTP/1.1 to clients without it.
    pub fn tls(&self) -> ServerConfig {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.server.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tls
    }
}
