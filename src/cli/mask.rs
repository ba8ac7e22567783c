//! Secrets out of what is shown.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::sink::Request;

/// Stands for a secret.
const HIDDEN: &str = "***";
/// What is shorter is no secret, and would be found everywhere.
const SHORTEST: usize = 5;

/// Knows the secrets of a request.
pub(super) struct Mask(Vec<String>);

impl Mask {
    /// Of values that were looked up, and of what the request carries.
    pub(super) fn new(values: Vec<String>, request: &Request) -> Self {
        let mut secrets = Vec::new();
        for value in values {
            // A signing secret may be two of them, with a prefix.
            for part in value.split_whitespace() {
                secrets.extend(part.strip_prefix("whsec_").map(str::to_owned));
                secrets.push(part.to_owned());
            }
            secrets.push(value.trim().to_owned());
        }
        if let Some(authorization) = request.header("authorization") {
            let parts = authorization.reveal().split_whitespace();
            secrets.extend(parts.skip(1).map(str::to_owned));
        }
        let url = request.url.reveal().trim();
        secrets.push(url.to_owned());
        if let Some((_, path)) = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
        {
            secrets.push(path.to_owned());
            // Receivers repeat parts of the path they do not know.
            secrets.extend(path.split(['/', '?', '&', '=']).map(str::to_owned));
        }
        let mut all = Vec::new();
        for secret in secrets {
            let decoded = percent_decode_str(&secret).decode_utf8_lossy().into_owned();
            let encoded = utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string();
            let json = serde_json::Value::from(secret.as_str()).to_string();
            all.extend([decoded, encoded, json.trim_matches('"').to_owned(), secret]);
        }
        all.retain(|secret| secret.len() >= SHORTEST && !is_common(secret));
        // The longest first: it may hold others.
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// A text without them.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            match text.contains(secret.as_str()) {
                true => text.replace(secret.as_str(), HIDDEN),
                false => text,
            }
        })
    }

    /// An address without its path: that of a webhook is its key.
    pub(super) fn address(url: &str) -> String {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            return HIDDEN.to_owned();
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        // A user name and password may stand before the host.
        let host = host.rsplit('@').next().unwrap_or(host);
        let path = if path.len() > 1 { "/***" } else { path };
        format!("{scheme}://{host}{path}")
    }
}

/// Words of well-known paths, which hide nothing and would hide much.
fn is_common(text: &str) -> bool {
    const COMMON: [&str; 16] = [
        "hooks",
        "services",
        "webhook",
        "webhooks",
        "workflows",
        "triggers",
        "manual",
        "paths",
        "invoke",
        "enqueue",
        "events",
        "event",
        "collector",
        "subscriptions",
        "resourceGroups",
        "providers",
    ];
    COMMON
        .iter()
        .any(|common| common.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Method, Secret};

    #[test]
    fn nothing_of_an_address_is_shown_but_its_host() {
        for (url, shown) in [
            (
                "https://hooks.slack.com/services/T0/B0/XYZ",
                "https://hooks.slack.com/***",
            ),
            (
                "https://u:p@h.example:8443/x?y=z",
                "https://h.example:8443/***",
            ),
            ("https://h.example/", "https://h.example/"),
            ("https://h.example?sig=1", "https://h.example/***"),
            ("nonsense", "***"),
        ] {
            assert_eq!(Mask::address(url), shown);
        }
    }

    #[test]
    fn secrets_are_hidden_in_every_spelling() {
        let request = Request {
            method: Method::Post,
            url: Secret::new("https://h.example/hooks/T0P%2FSECRET?sig=abc%3Ddef".to_owned()),
            headers: vec![("authorization", Secret::new("Splunk AAAA-BBBB".to_owned()))],
            body: Vec::new(),
        };
        let keys = vec!["whsec_b25l dHdvdHdv".to_owned(), "q\"uote".to_owned()];
        let mask = Mask::new(keys, &request);
        let text =
            "T0P/SECRET T0P%2FSECRET abc=def AAAA-BBBB b25lx dHdvdHdv q\\\"uote q%22uote of hooks";
        let hidden = mask.hide(text);
        for secret in ["SECRET", "abc", "AAAA", "dHdv", "uote"] {
            assert!(!hidden.contains(secret), "{hidden}");
        }
        assert!(hidden.ends_with("of hooks"), "{hidden}");
    }
}
