//! Response headers that the operator may add; a value that a browser would not take is replaced by a safe
//! one.
//!
//! Only the texts are decided here; the web layer adds them to responses.

use super::spec::{Spec, settings};

/// A header whose text is brought into a valid form; texts that no header can carry stop the start.
macro_rules! header {
    ($normal:expr) => {
        Spec::new("a header value", "", |text| checked(text, $normal)).strict()
    };
}

settings! {
    "Response headers";
    /// Headers added to every response. Each is `None` while its variable is not set or empty.
    pub struct SecurityHeaders {
        /// `Cache-Control`.
        CACHE_CONTROL => pub cache_control: Header = header!(cache_control);
        /// `Strict-Transport-Security`, such as `max-age=31536000;includeSubDomains`.
        HSTS => pub hsts: Header = header!(hsts);
        /// `Permissions-Policy`, such as `camera=(),microphone=(self)`.
        PERMISSIONS_POLICY => pub permissions_policy: Header = header!(permissions_policy);
        /// `Referrer-Policy`.
        REFERRER_POLICY => pub referrer_policy: Header = header!(referrer_policy);
        /// `X-Content-Type-Options`; any text gives `nosniff`.
        XCONTENT_TYPE => pub content_type_options: Header = header!(nosniff);
        /// `X-Download-Options`; any text gives `noopen`.
        XDOWNLOAD_OPTIONS => pub download_options: Header = header!(noopen);
        /// `X-Frame-Options`: `DENY` or `SAMEORIGIN`.
        XFRAME_OPTIONS => pub frame_options: Header = header!(frame_options);
        /// `X-Permitted-Cross-Domain-Policies`.
        XPERMITTED_CROSS_DOMAIN_POLICIES => pub cross_domain_policies: Header = header!(cross_domain);
        /// `Content-Security-Policy`.
        CONTENT_SECURITY_POLICY => pub content_security_policy: Header = header!(as_given);
        /// `Content-Security-Policy-Report-Only`.
        CONTENT_SECURITY_POLICY_REPORT_ONLY => pub content_security_policy_report: Header = header!(as_given);
        /// `Cross-Origin-Embedder-Policy`.
        CROSS_ORIGIN_EMBEDDER_POLICY => pub embedder_policy: Header = header!(embedder_policy);
        /// `Cross-Origin-Opener-Policy`.
        CROSS_ORIGIN_OPENER_POLICY => pub opener_policy: Header = header!(opener_policy);
        /// `Cross-Origin-Resource-Policy`.
        CROSS_ORIGIN_RESOURCE_POLICY => pub resource_policy: Header = header!(resource_policy);
        /// `Reporting-Endpoints`.
        REPORTING_ENDPOINTS => pub reporting_endpoints: Header = header!(as_given);
    }
}

/// Text of a header, if it is to be sent.
pub type Header = Option<String>;

impl SecurityHeaders {
    /// Names and values of the headers to send.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let headers = [
            ("Cache-Control", &self.cache_control),
            ("Strict-Transport-Security", &self.hsts),
            ("Permissions-Policy", &self.permissions_policy),
            ("Referrer-Policy", &self.referrer_policy),
            ("X-Content-Type-Options", &self.content_type_options),
            ("X-Download-Options", &self.download_options),
            ("X-Frame-Options", &self.frame_options),
            ("X-Permitted-Cross-Domain-Policies", &self.cross_domain_policies),
            ("Content-Security-Policy", &self.content_security_policy),
            (
                "Content-Security-Policy-Report-Only",
                &self.content_security_policy_report,
            ),
            ("Cross-Origin-Embedder-Policy", &self.embedder_policy),
            ("Cross-Origin-Opener-Policy", &self.opener_policy),
            ("Cross-Origin-Resource-Policy", &self.resource_policy),
            ("Reporting-Endpoints", &self.reporting_endpoints),
        ];
        headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn checked(text: &str, normal: fn(&str) -> String) -> Option<Header> {
    let fits = !text.contains(|c: char| c.is_control() && c != '\t');
    fits.then(|| (!text.is_empty()).then(|| normal(text)))
}

fn as_given(text: &str) -> String {
    text.to_owned()
}

fn nosniff(_: &str) -> String {
    "nosniff".to_owned()
}

fn noopen(_: &str) -> String {
    "noopen".to_owned()
}

/// The text as given if it is one of the words in any case, otherwise the safe one.
fn one_of(text: &str, words: &[&str], safe: &str) -> String {
    let known = words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if known { text.to_owned() } else { safe.to_owned() }
}

fn frame_options(text: &str) -> String {
    one_of(text, &["DENY", "SAMEORIGIN"], "DENY")
}

fn cross_domain(text: &str) -> String {
    one_of(
        text,
        &["none", "master-only", "by-content-type", "by-ftp-filename"],
        "none",
    )
}

fn embedder_policy(text: &str) -> String {
    one_of(
        text,
        &["unsafe-none", "require-corp", "credentialless"],
        "require-corp",
    )
}

fn opener_policy(text: &str) -> String {
    one_of(
        text,
        &["unsafe-none", "same-origin-allow-popups", "same-origin"],
        "same-origin",
    )
}

fn resource_policy(text: &str) -> String {
    one_of(text, &["same-site", "same-origin", "cross-origin"], "same-origin")
}

fn referrer_policy(text: &str) -> String {
    const POLICIES: &[&str] = &[
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ];
    one_of(text, POLICIES, "no-referrer")
}

/// `max-age=N`, then optionally `;includeSubDomains`, then optionally `;preload`.
fn hsts(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let fits = lower.strip_prefix("max-age=").is_some_and(|rest| {
        let options = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        options.len() < rest.len()
            && matches!(
                options,
                "" | ";includesubdomains" | ";preload" | ";includesubdomains;preload"
            )
    });
    if fits {
        text.to_owned()
    } else {
        "max-age=31536000;includeSubDomains".to_owned()
    }
}

/// Directives separated by commas.
fn cache_control(text: &str) -> String {
    const WORDS: &[&str] = &[
        "public",
        "private",
        "no-cache",
        "no-store",
        "must-revalidate",
        "proxy-revalidate",
        "no-transform",
        "immutable",
    ];
    let is_age = |directive: &str| {
        let seconds = directive
            .strip_prefix("max-age=")
            .or_else(|| directive.strip_prefix("s-maxage="));
        seconds.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let fits = text
        .to_ascii_lowercase()
        .split(',')
        .enumerate()
        .all(|(at, directive)| {
            let directive = if at == 0 {
                directive
            } else {
                directive.trim_start()
            };
            WORDS.contains(&directive) || is_age(directive)
        });
    if fits {
        text.to_owned()
    } else {
        "no-store, max-age=0".to_owned()
    }
}

/// `feature=()` or `feature=(self)`, separated by commas; the commas may be missing.
fn permissions_policy(text: &str) -> String {
    const FEATURES: &[&str] = &[
        "accelerometer",
        "autoplay",
        "camera",
        "clipboard-read",
        "clipboard-write",
        "fullscreen",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "sync-xhr",
        "usb",
        "xr-spatial-tracking",
    ];
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str();
    while let Some((feature, value)) = rest.split_once("=(") {
        let after = value.strip_prefix("self").unwrap_or(value).strip_prefix(')');
        let Some(after) = after.filter(|_| FEATURES.contains(&feature)) else {
            break;
        };
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    if rest.is_empty() {
        text.to_owned()
    } else {
        "none".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_texts_stay_and_others_become_safe() {
        for text in [
            "max-age=5",
            "Max-Age=5;includeSubDomains;preload",
            "max-age=5;preload",
        ] {
            assert_eq!(hsts(text), text);
        }
        for text in [
            "max-age=",
            "max-age=5; preload",
            "max-age=5;preload;includeSubDomains",
        ] {
            assert_eq!(hsts(text), "max-age=31536000;includeSubDomains", "{text}");
        }
        assert_eq!(cache_control("Public,  max-age=60"), "Public,  max-age=60");
        for text in ["public,", " public", "max-age=x", "public max-age=1"] {
            assert_eq!(cache_control(text), "no-store, max-age=0", "{text}");
        }
        assert_eq!(
            permissions_policy("camera=(),usb=(self)midi=()"),
            "camera=(),usb=(self)midi=()"
        );
        for text in ["camera=(none)", "other=()", "camera"] {
            assert_eq!(permissions_policy(text), "none", "{text}");
        }
        assert_eq!(frame_options("sameorigin"), "sameorigin");
        assert_eq!(frame_options("ALLOW"), "DENY");
        assert_eq!(referrer_policy("bad"), "no-referrer");
    }

    #[test]
    fn texts_with_line_breaks_are_refused() {
        assert_eq!(checked("a\nb", as_given), None);
        assert_eq!(checked("", as_given), Some(None));
        assert_eq!(checked("x", nosniff), Some(Some("nosniff".to_owned())));
    }
}
