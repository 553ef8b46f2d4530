//! One repository at one endpoint: requests, their repetition, and who asks.
//!
//! A request that fails for a reason that passes (the connection broke, 429,
//! 5xx) is sent again after a pause that doubles; one that is answered 401 is
//! sent again with what the answer asked for, once.

use crate::{
    Error, Registry,
    answer::{Refusal, SMALL, whole},
    auth::{Challenge, Credentials, Token},
    endpoint::Endpoint,
};
use reqwest::{
    Method, StatusCode, Url,
    blocking::{Body, Client, RequestBuilder, Response},
    header,
    redirect::Policy,
};
use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often one request is sent on to another address at most.
const REDIRECTS: usize = 5;
/// How often a request is sent at most.
const ATTEMPTS: u32 = 6;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// No registry makes us wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// For all of a layer to go out, however slowly: who does not take it at all
/// is noticed by the socket.
const LAYER: Duration = Duration::from_hours(24);

/// Threads may share it.
pub(crate) struct Session<'a> {
    pub endpoint: Endpoint,
    /// How slowly it may give.
    pub pace: crate::Pace,
    /// Its path on that endpoint.
    repository: &'a str,
    client: Client,
    /// Goes where it was sent and nowhere else: for secrets in a body, which
    /// a redirect would carry on.
    strict: Option<Client>,
    /// It has answered something: it is there, and speaks as we do.
    answered: AtomicBool,
    credentials: Option<&'a Credentials>,
    /// What stands in `Authorization`, once it was asked for.
    authorization: Mutex<Option<String>>,
}

/// One request, which may have to be sent more than once.
pub(crate) struct Ask<'b> {
    pub method: Method,
    /// Below `/v2/REPOSITORY`, or a whole address at the endpoint.
    pub path: &'b str,
    pub headers: &'b [(header::HeaderName, &'b str)],
    /// Makes the body, each time anew.
    pub body: Option<&'b dyn Fn() -> Result<Body, Error>>,
    /// It is not sent again by itself: half of it may have been taken.
    pub once: bool,
    /// A bare verb phrase, for errors.
    pub doing: &'static str,
}

impl<'b> Ask<'b> {
    pub fn new(method: Method, path: &'b str, doing: &'static str) -> Self {
        Self { method, path, headers: &[], body: None, once: false, doing }
    }
}

impl<'a> Session<'a> {
    pub fn new(
        registry: &Registry,
        endpoint: Endpoint,
        repository: &'a str,
        credentials: Option<&'a Credentials>,
    ) -> Result<Self, Error> {
        let client = endpoint.client(&registry.settings, Policy::limited(REDIRECTS))?;
        let credentials = credentials.filter(|_| !endpoint.mirror);
        let strict = credentials
            .filter(|c| !c.identitytoken.is_empty())
            .map(|_| endpoint.client(&registry.settings, Policy::none()))
            .transpose()?;
        let answered = AtomicBool::new(false);
        let token = credentials.filter(|c| !c.registrytoken.is_empty());
        let authorization = token.map(|c| format!("Bearer {}", c.registrytoken));
        let authorization = Mutex::new(authorization);
        Ok(Self {
            pace: registry.settings.pace,
            endpoint,
            repository,
            client,
            strict,
            answered,
            credentials,
            authorization,
        })
    }

    /// Whether it has answered anything so far.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn url(&self, path: &str) -> String {
        if !path.starts_with('/') {
            return path.to_owned();
        }
        match self.repository {
            "" => format!("{}{path}", self.endpoint.base),
            repository => format!("{}/v2/{repository}{path}", self.endpoint.base),
        }
    }

    /// Asks whether we are let in.
    ///
    /// # Errors
    /// We are not.
    pub fn greet(&self) -> Result<(), Error> {
        let path = format!("{}/v2/", self.endpoint.base);
        let ask = Ask::new(Method::GET, &path, "log in");
        let answer = self.send(&ask)?;
        if answer.status().is_success() { Ok(()) } else { Err(self.refused(answer, ask.doing)) }
    }

    /// Sends a request until it is answered for good.
    ///
    /// # Errors
    /// The registry cannot be reached. Any answer is a success here.
    pub fn send(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let mut asked_who = false;
        let mut attempt = 1;
        loop {
            let last = attempt == ATTEMPTS || ask.once;
            let known = self.authorization().clone();
            let answer = match self.once(ask, known.as_deref()) {
                Ok(answer) => answer,
                Err(Error::Reach { source, .. }) if !last && may_pass(&source) => {
                    tracing::debug!(registry = self.endpoint.host(), error = %source, "again");
                    pause(attempt, None);
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match answer.status() {
                StatusCode::UNAUTHORIZED if !asked_who && self.is_ours(answer.url()) => {
                    asked_who = true;
                    if !self.introduce(&answer, ask, known.as_deref())? {
                        return Ok(answer);
                    }
                }
                status if !last && passes(status) => {
                    let after = answer.headers().get(header::RETRY_AFTER).cloned();
                    drop(answer);
                    pause(attempt, after.as_ref().and_then(|v| v.to_str().ok()));
                    attempt += 1;
                }
                _ => return Ok(answer),
            }
        }
    }

    fn authorization(&self) -> MutexGuard<'_, Option<String>> {
        // It is one value: nobody leaves it half changed.
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn once(&self, ask: &Ask<'_>, known: Option<&str>) -> Result<Response, Error> {
        let url = self.url(ask.path);
        let mut request = self.client.request(ask.method.clone(), &url);
        let own = Url::parse(&url).is_ok_and(|url| self.is_ours(&url));
        if let Some(known) = known.filter(|_| own) {
            request = request.header(header::AUTHORIZATION, known);
        }
        for (name, value) in ask.headers {
            request = request.header(name, *value);
        }
        // The client's own bound is on each piece of what comes, but on the
        // whole of what goes.
        if ask.method == Method::PATCH {
            request = request.timeout(LAYER);
        }
        if let Some(body) = ask.body {
            request = request.body(body()?);
        }
        let answer = self.go(request, ask.doing)?;
        self.answered.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    fn go(&self, request: RequestBuilder, doing: &'static str) -> Result<Response, Error> {
        request.send().map_err(|source| Error::Reach {
            doing,
            registry: self.endpoint.host().to_owned(),
            source: source.without_url(),
        })
    }

    /// A redirect may lead to anybody; what they ask is not answered.
    fn is_ours(&self, url: &Url) -> bool {
        let own = Url::parse(&self.endpoint.base);
        own.is_ok_and(|own| own.origin() == url.origin())
    }

    /// Says who we are in the way that was asked for; false if we are nobody.
    fn introduce(
        &self,
        answer: &Response,
        ask: &Ask<'_>,
        known: Option<&str>,
    ) -> Result<bool, Error> {
        let asked = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let asked = asked.iter().filter_map(|value| value.to_str().ok());
        let header = match Challenge::parse(asked) {
            Some(Challenge::Basic) => self.credentials.and_then(Credentials::basic),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = if scope.is_empty() && !self.repository.is_empty() {
                    let more = if ask.method == Method::GET { "" } else { ",push" };
                    format!("repository:{}:pull{more}", self.repository)
                } else {
                    scope
                };
                Some(format!("Bearer {}", self.token(&realm, &service, &scope)?))
            }
            None => None,
        };
        // What was refused just now would be refused again.
        if header.is_none() || header.as_deref() == known {
            return Ok(false);
        }
        *self.authorization() = header;
        Ok(true)
    }

    fn token(&self, realm: &str, service: &str, scope: &str) -> Result<String, Error> {
        const DOING: &str = "get a token";
        let mut url = Url::parse(realm)
            .map_err(|_| Error::Invalid(format!("the realm of tokens {realm:?} is no address")))?;
        let credentials = self.credentials.filter(|c| !c.is_nobody());
        if credentials.is_some() && self.endpoint.is_encrypted() && url.scheme() != "https" {
            return Err(Error::Invalid(format!(
                "{} wants its users' passwords in the clear at {realm}",
                self.endpoint.host()
            )));
        }
        let request = match credentials {
            Some(known) if !known.identitytoken.is_empty() => {
                let mut form = url.clone();
                form.set_query(None);
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("service", service)
                    .append_pair("client_id", "cofferdam")
                    .append_pair("scope", scope)
                    .append_pair("refresh_token", &known.identitytoken);
                let body = form.query().unwrap_or_default().to_owned();
                let kind = "application/x-www-form-urlencoded";
                let client = self.strict.as_ref().unwrap_or(&self.client);
                client.post(url).header(header::CONTENT_TYPE, kind).body(body)
            }
            known => {
                {
                    let mut query = url.query_pairs_mut();
                    if !service.is_empty() {
                        query.append_pair("service", service);
                    }
                    for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
                        query.append_pair("scope", scope);
                    }
                    if let Some(known) = known {
                        query.append_pair("account", &known.username);
                    }
                }
                let request = self.client.get(url);
                match known.and_then(Credentials::basic) {
                    Some(basic) => request.header(header::AUTHORIZATION, basic),
                    None => request,
                }
            }
        };
        let answer = self.go(request, DOING)?;
        if !answer.status().is_success() {
            return Err(self.refused(answer, DOING));
        }
        let token: Token = serde_json::from_slice(&whole(answer, SMALL, DOING)?)
            .map_err(|e| Error::Invalid(format!("the answer of {realm} is no token: {e}")))?;
        token.value().ok_or_else(|| Error::Invalid(format!("the answer of {realm} has no token")))
    }

    /// An answer without success, as an error.
    pub fn refused(&self, answer: Response, doing: &'static str) -> Error {
        let Refusal { status, words, .. } = Refusal::of(answer);
        let registry = self.endpoint.host().to_owned();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let nobody = self.credentials.is_none_or(Credentials::is_nobody);
            let words = if nobody && status == StatusCode::UNAUTHORIZED {
                format!("no basic auth credentials ({words})")
            } else {
                words
            };
            return Error::Unauthorized { registry, words };
        }
        Error::Answer { doing, registry, status: status.as_u16(), words }
    }
}

/// Before the next attempt: as long as was asked for, else twice as long as
/// before the last.
pub(crate) fn pause(attempt: u32, after: Option<&str>) {
    let doubled = PAUSE * 2_u32.pow(attempt - 1);
    let asked = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    std::thread::sleep(asked.unwrap_or(doubled).min(LONGEST_PAUSE));
}

/// Nobody is there, or nobody to be trusted, or we are not trusted: that is
/// so in a moment, too.
pub(crate) fn may_pass(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        // As TLS tells a breach of its rules, ours or theirs.
        if io.is_some_and(|e| e.kind() == io::ErrorKind::InvalidData) {
            return false;
        }
        cause = error.source();
    }
    !error.is_connect()
}

/// It may be otherwise in a moment.
fn passes(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}
