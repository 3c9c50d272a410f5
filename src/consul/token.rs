//! The ACL token of each request.
//!
//! A token file is read for every request: it holds a few bytes, requests are rare (blocking
//! queries), and so a token that was rotated counts at once, without a watch or a cache that could
//! be wrong. A token that is configured but empty stops the request: sent without one, a Consul
//! that denies by default would answer an empty catalog.

use std::path::{Path, PathBuf};

use http::HeaderValue;

use crate::config::value::Secret;
use crate::consul::Error;

/// Where the token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Token {
    /// No token is configured; Consul uses the agent's default.
    #[default]
    None,
    Fixed(Secret),
    File(PathBuf),
}

// === impl Token ===

impl Token {
    /// The header value for a request now, marked sensitive.
    ///
    /// # Errors
    ///
    /// [`Error::NoToken`] when a token is configured and there is none to send.
    pub async fn current(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(secret) => self.header(secret.expose()).map(Some),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|e| unreadable(path, &e))?;
                self.header(&text).map(Some)
            }
        }
    }

    /// Whether [`Token::current`] would give one now. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NoToken`], as there.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::None => Ok(()),
            Self::Fixed(secret) => self.header(secret.expose()).map(drop),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
                self.header(&text).map(drop)
            }
        }
    }

    fn header(&self, text: &str) -> Result<HeaderValue, Error> {
        let text = text.trim();
        if text.is_empty() {
            let whose = match self {
                Self::File(path) => path.display().to_string(),
                _ => "the configured value".to_owned(),
            };
            return Err(Error::NoToken(format!("{whose} is empty")));
        }
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| Error::NoToken("it holds characters that a header cannot carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::NoToken(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_counts_as_it_is_now_and_an_empty_one_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::File(file.path().into());
        assert_eq!(token.current().await.unwrap_err().kind(), "no_token");
        for text in ["one", "two"] {
            std::fs::write(file.path(), format!("{text}\n")).unwrap();
            assert_eq!(token.current().await.unwrap().unwrap(), text);
        }
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(token.current().await.unwrap_err().kind(), "no_token");
    }

    #[tokio::test]
    async fn a_fixed_empty_token_is_an_error_and_none_is_none() {
        assert_eq!(Token::Fixed(Secret::new(" ")).current().await.unwrap_err().kind(), "no_token");
        assert_eq!(Token::Fixed(Secret::new("a\nb")).current().await.unwrap_err().kind(), "no_token");
        assert_eq!(Token::None.current().await.unwrap(), None);
    }
}
