//! All tags of a repository.

use crate::{
    Credentials, Error, Registry,
    answer::{SMALL, whole},
    session::{Ask, Session},
};
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use spec::Reference;

/// Pages of a list that are asked for at most.
const PAGES: usize = 1000;
/// Bytes of all these pages at most.
const ALL: u64 = 16 << 20;
const DOING: &str = "list the tags";

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Lists the tags of a repository.
    ///
    /// # Errors
    /// There is none, or the registry says no.
    pub fn tags(
        &self,
        repository: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<String>, Error> {
        let (domain, path) = (repository.domain(), repository.path());
        self.at_endpoint(domain, path, credentials, true, |session| list(session, repository))
            .map(|(_, tags)| tags)
    }
}

fn list(session: &Session<'_>, repository: &Reference) -> Result<Vec<String>, Error> {
    let (mut all, mut left) = (Vec::new(), ALL);
    let mut path = "/tags/list".to_owned();
    for _ in 0..PAGES {
        let answer = session.send(&Ask::new(Method::GET, &path, DOING))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let words = crate::answer::Refusal::of(answer).words;
                let repository = repository.familiar_repository();
                return Err(Error::Denied { repository, words });
            }
            _ => return Err(session.refused(answer, DOING)),
        }
        let next = answer.headers().get(header::LINK).and_then(|value| value.to_str().ok());
        let next = next.and_then(next_of).map(str::to_owned);
        let bytes = whole(answer, SMALL, DOING)?;
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| Error::Invalid(format!("a list of tags of more than {ALL} bytes")))?;
        let page: Page = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Invalid(format!("malformed list of tags: {e}")))?;
        all.extend(page.tags.unwrap_or_default());
        match next {
            // Only ever its query is used: it leads nowhere else.
            Some(next) => path = format!("/tags/list?{next}"),
            None => return Ok(all),
        }
    }
    Err(Error::Invalid(format!("a list of tags of more than {PAGES} pages")))
}

/// The query of `</v2/x/tags/list?n=1&last=a>; rel="next"`.
pub(crate) fn next_of(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
    target.split_once('?').map(|(_, query)| query).filter(|_| next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_query_of_a_link() {
        assert_eq!(next_of(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#), Some("last=b&n=2"));
        assert_eq!(next_of(r#"<https://evil.example/x?y>; rel="next""#), Some("y"));
        assert_eq!(next_of(r#"</x?y>; rel="prev""#), None);
    }
}
