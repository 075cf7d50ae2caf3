//! The interface between the layers: a request goes down, a response comes up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::address::ChosenBy;
use super::error::{Cause, Content, Login};
use super::limits::retry_after;
use crate::reference::ImageName;

/// Largest body of an error response that is read, in bytes.
const LARGEST_ERROR_BODY: usize = 16 << 10;

/// Sends requests. Each layer is one over the layer below.
pub(super) trait Transport: Send + Sync {
    /// Sends `request`. The response may have any status; an error is what the
    /// layer or one below it refused, or could not do.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        (**self).send(request)
    }
}

/// A request for something of one image.
#[derive(Debug, Clone)]
pub(super) struct Request {
    image: ImageName,
    content: Content,
    method: Method,
    url: Url,
    chosen_by: ChosenBy,
    headers: HeaderMap,
    form: Option<Vec<(&'static str, String)>>,
    limit: Option<usize>,
    is_pull: bool,
    has_own_deadline: bool,
}

impl Request {
    /// A request for `content` of `image`, at a host that the user chose.
    pub(super) fn new(image: &ImageName, content: Content, method: Method, url: Url) -> Self {
        Self {
            image: image.clone(),
            content,
            method,
            url,
            chosen_by: ChosenBy::User,
            headers: HeaderMap::new(),
            form: None,
            limit: None,
            is_pull: false,
            has_own_deadline: false,
        }
    }

    /// The same request at `url`, whose host was chosen by `chosen_by`.
    pub(super) fn at(mut self, url: Url, chosen_by: ChosenBy) -> Self {
        self.url = url;
        self.chosen_by = chosen_by;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The request with an `Authorization` header, or without any.
    pub(super) fn with_authorization(mut self, value: Option<HeaderValue>) -> Self {
        match value {
            Some(value) => self.headers.insert(AUTHORIZATION, value),
            None => self.headers.remove(AUTHORIZATION),
        };
        self
    }

    /// Sends `fields` as the body (`application/x-www-form-urlencoded`).
    pub(super) fn with_form(mut self, fields: Vec<(&'static str, String)>) -> Self {
        self.form = Some(fields);
        self
    }

    /// Reads the body of a success whole, at most `bytes` of it, before the
    /// response comes back. Without a limit it is a stream.
    pub(super) fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Marks a request that registries count as a pull.
    pub(super) fn with_pull(mut self) -> Self {
        self.is_pull = true;
        self
    }

    /// Starts the deadline anew at this request, which goes on with a long download.
    pub(super) fn with_own_deadline(mut self) -> Self {
        self.has_own_deadline = true;
        self
    }

    pub(super) fn image(&self) -> &ImageName {
        &self.image
    }

    pub(super) fn content(&self) -> Content {
        self.content
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn chosen_by(&self) -> ChosenBy {
        self.chosen_by
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn form(&self) -> Option<&[(&'static str, String)]> {
        self.form.as_deref()
    }

    pub(super) fn limit(&self) -> Option<usize> {
        self.limit
    }

    pub(super) fn is_pull(&self) -> bool {
        self.is_pull
    }

    pub(super) fn has_own_deadline(&self) -> bool {
        self.has_own_deadline
    }
}

/// The body of a response, as it arrives.
pub(super) type Body = BoxStream<'static, Result<Bytes, Cause>>;

/// A response with its body still to be read.
pub(super) struct Response {
    status: StatusCode,
    url: Url,
    headers: HeaderMap,
    body: Body,
    login: Login,
}

impl Response {
    /// A response that came from `url`.
    pub(super) fn new(status: StatusCode, url: Url, headers: HeaderMap, body: Body) -> Self {
        Self {
            status,
            url,
            headers,
            body,
            login: Login::default(),
        }
    }

    /// Records what became of the user's login for this request.
    pub(super) fn with_login(mut self, login: Login) -> Self {
        self.login = login;
        self
    }

    /// Replaces the body by what `wrap` makes of it.
    pub(super) fn map_body(mut self, wrap: impl FnOnce(Body) -> Body) -> Self {
        self.body = wrap(self.body);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Where the response came from, after all redirects.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// The length that `Content-Length` declares, in bytes.
    pub(super) fn content_length(&self) -> Option<u64> {
        let value = self.headers.get(CONTENT_LENGTH)?;
        value.to_str().ok()?.parse().ok()
    }

    pub(super) fn into_body(self) -> Body {
        self.body
    }

    /// Reads the body, which `content` names in the error for one that is longer
    /// than `limit` bytes.
    pub(super) async fn read(&mut self, content: Content, limit: usize) -> Result<Vec<u8>, Cause> {
        let too_large = || Cause::TooLarge { content, limit };
        let declared = self.content_length().unwrap_or_default();
        if usize::try_from(declared).map_or(true, |declared| declared > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads the body now, so that a broken one is noticed here.
    pub(super) async fn buffered(mut self, content: Content, limit: usize) -> Result<Self, Cause> {
        let bytes = Bytes::from(self.read(content, limit).await?);
        Ok(self.map_body(|_| stream::iter([Ok(bytes)]).boxed()))
    }

    /// How long `Retry-After` says to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, SystemTime::now())
    }

    /// The message of an error response (OCI distribution spec, "Error Codes").
    pub(super) async fn error_message(&mut self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<Error>,
        }
        #[derive(serde::Deserialize)]
        struct Error {
            message: String,
        }
        let body = self.read(Content::Error, LARGEST_ERROR_BODY).await.ok()?;
        let errors: Errors = serde_json::from_slice(&body).ok()?;
        let first = errors.errors.into_iter().next()?;
        Some(first.message)
    }
}
