//! What servers say of their limits: `Retry-After` and pull quotas.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How long a `Retry-After` says to wait (RFC 9110, section 10.2.3): a number
/// of seconds, or a date, of which `now` is the present.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date that has passed is now.
    Some(date.duration_since(now).unwrap_or_default())
}

/// The pulls that a registry still allows within a window of time. Docker Hub
/// sends it as `ratelimit-remaining: 76;w=21600`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Pulls that are left.
    pub remaining: u64,
    /// Pulls of a whole window, where the registry sends them.
    pub limit: Option<u64>,
    /// The window, in seconds.
    pub window: u64,
}

impl Quota {
    /// The quota in the headers of a response.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let read = |name: &str| {
            let (count, parameters) = headers.get(name)?.to_str().ok()?.split_once(';')?;
            let window = parameters
                .split(';')
                .find_map(|p| p.trim().strip_prefix("w="))?;
            Some((count.trim().parse().ok()?, window.trim().parse().ok()?))
        };
        let (remaining, window) = read("ratelimit-remaining")?;
        Some(Self {
            remaining,
            limit: read("ratelimit-limit").map(|(limit, _)| limit),
            window,
        })
    }

    /// Whether another pull may be made beside `under_way` others. A tenth of
    /// the quota, and at least one pull, is left to whoever else pulls from the
    /// same address.
    pub(super) fn allows_a_pull(&self, under_way: u64) -> bool {
        let reserve = (self.limit.unwrap_or(0) / 10).max(1);
        self.remaining > reserve.saturating_add(under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_left_before_it_is_spent() {
        let quota = |remaining: &str, limit: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-remaining", remaining.parse().unwrap());
            if let Some(limit) = limit {
                headers.insert("ratelimit-limit", limit.parse().unwrap());
            }
            Quota::of(&headers)
        };
        let hub = quota("76;w=21600", Some("100;w=21600")).unwrap();
        assert_eq!(
            (hub.remaining, hub.limit, hub.window),
            (76, Some(100), 21600)
        );
        assert!(hub.allows_a_pull(0));
        assert!(hub.allows_a_pull(65));
        assert!(!hub.allows_a_pull(66));
        let bare = quota("2;w=60", None).unwrap();
        assert!(bare.allows_a_pull(0) && !bare.allows_a_pull(1));
        // A limit of requests a minute, as other servers send it, is no quota.
        for other in ["76", "x;w=1", "76;w=", ""] {
            assert_eq!(quota(other, None), None, "{other}");
        }
    }

    #[test]
    fn both_forms_of_retry_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
