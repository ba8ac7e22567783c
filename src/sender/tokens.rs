//! Access tokens that are still good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::sign_in::Timestamp;
use crate::sink::Secret;
use crate::sink::token::{Token, TokenSource};

/// The tokens by their source. Two deliveries at once may both ask for one: the later answer stays.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Token>>);

impl Tokens {
    pub(super) fn get(&self, source: &TokenSource, now: Timestamp) -> Option<Secret> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(&source.key())?;
        (now.unix_seconds() < token.stale_from).then(|| token.value.clone())
    }

    pub(super) fn keep(&self, source: &TokenSource, token: Token) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(source.key(), token);
    }

    /// Forgets a token that its receiver does not take.
    pub(super) fn forget(&self, value: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.value.reveal() != value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::token::{Identity, Resource};

    fn source(resource: Resource) -> TokenSource {
        TokenSource {
            resource,
            identity: Identity::Managed {
                endpoint: Secret::new("http://127.0.0.1/".into()),
                header: Secret::new("h".into()),
                client_id: None,
            },
        }
    }

    #[test]
    fn a_token_is_kept_until_it_is_stale_or_refused() {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        let tokens = Tokens::default();
        let monitor = source(Resource::Monitor);
        let token = |stale_from| Token {
            value: Secret::new("t".into()),
            stale_from,
        };
        tokens.keep(&monitor, token(now.unix_seconds()));
        assert_eq!(tokens.get(&monitor, now), None);
        tokens.keep(&monitor, token(now.unix_seconds() + 1));
        assert!(tokens.get(&monitor, now).is_some());
        assert_eq!(tokens.get(&source(Resource::ResourceManager), now), None);
        tokens.forget("t");
        assert_eq!(tokens.get(&monitor, now), None);
    }
}
