//! Finds out whether a registry speaks https or, where that is allowed, http.

use std::sync::Arc;

use reqwest::{Method, Url};

use crate::reference::ImageName;
use crate::registry::address::api_url;
use crate::registry::error::{Cause, ConnectProblem, Content};
use crate::registry::transport::{Request, Transport};

/// The base URL of the registry of `image`. Where http is allowed, a request over
/// https decides.
pub(super) async fn base_url(
    image: &ImageName,
    may_be_http: bool,
    network: &Arc<dyn Transport>,
) -> Result<Url, Cause> {
    let registry = image.registry();
    let secure = url("https", registry)?;
    if !may_be_http {
        return Ok(secure);
    }
    let probe = Request::new(image, Content::Version, Method::GET, secure.clone());
    match network.send(probe).await {
        // The first real request reports what is wrong with a certificate.
        Ok(_)
        | Err(Cause::Unreachable {
            problem: ConnectProblem::Certificate | ConnectProblem::UnknownAuthority,
            ..
        }) => Ok(secure),
        Err(_) => url("http", registry),
    }
}

fn url(scheme: &str, registry: &str) -> Result<Url, Cause> {
    let url = Url::parse(&api_url(scheme, registry));
    url.map_err(|error| Cause::NoUrl(error.to_string()))
}
