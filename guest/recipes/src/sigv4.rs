//! AWS Signature Version 4: signs one request.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::template::percent_encoded;

/// Who signs, and for what.
pub(crate) struct Signer<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    /// The session's token, for keys that live for a while.
    pub(crate) session: Option<&'a str>,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// What is signed. Names of header fields are in lower case; path and query are as the URL has them.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(String, Zeroizing<String>)],
    pub(crate) body: &'a str,
}

impl Signer<'_> {
    /// The header fields that the signature adds to the request.
    pub(crate) fn sign(&self, request: &Signed<'_>, wall_ms: u64) -> Vec<(String, Zeroizing<String>)> {
        let time = Time::of(wall_ms / 1000);
        let (date, now) = (time.date(), time.date_time());
        let mut added = vec![("x-amz-date".to_owned(), Zeroizing::new(now.clone()))];
        added.extend(self.session.map(|session| ("x-amz-security-token".to_owned(), Zeroizing::new(session.to_owned()))));
        let mut fields = vec![("host".to_owned(), Zeroizing::new(request.host.to_owned()))];
        fields.extend(request.headers.iter().chain(&added).cloned());
        sort(&mut fields);
        let names = joined(fields.iter().map(|(name, _)| name.as_str()), ";");
        let mut canonical = format!("{}\n{}\n{}\n", request.method, canonical_path(request.path), canonical_query(request.query));
        for (name, value) in &fields {
            let words = joined(value.split(' ').filter(|word| !word.is_empty()), " ");
            canonical += &format!("{name}:{words}\n");
        }
        canonical += &format!("\n{names}\n{}", hex(&Sha256::digest(request.body)));
        let canonical = Zeroizing::new(canonical);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let key = Zeroizing::new(format!("AWS4{}", self.secret));
        let mut key = Zeroizing::new(mac(key.as_bytes(), &date));
        for part in [self.region, self.service, "aws4_request"] {
            key = Zeroizing::new(mac(&*key, part));
        }
        let signature = hex(&mac(&*key, &text));
        let value = format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.key_id);
        added.push(("authorization".to_owned(), Zeroizing::new(value)));
        added
    }
}

fn canonical_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.split('/').map(percent_encoded).collect::<Vec<_>>().join("/") }
}

fn canonical_query(query: &str) -> String {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), Zeroizing::new(value.to_owned()))
    };
    let mut pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    sort(&mut pairs);
    let mut canonical = String::new();
    for (name, value) in pairs {
        let joint = if canonical.is_empty() { "" } else { "&" };
        canonical.push_str(&[joint, &name, "=", &value].concat());
    }
    canonical
}

/// There are a handful; the library's own sorting is made for many, and weighs kilobytes.
fn sort(pairs: &mut [(String, Zeroizing<String>)]) {
    for end in 1..pairs.len() {
        let mut at = end;
        while at > 0 && (&pairs[at].0, &*pairs[at].1) < (&pairs[at - 1].0, &*pairs[at - 1].1) {
            pairs.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>, by: &str) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push_str(by);
        }
        text.push_str(word);
    }
    text
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    // Any length of key will do.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b"0123456789abcdef"[usize::from(half)])).collect()
}

/// A moment in UTC.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
}

impl Time {
    /// From Unix time, by the proleptic Gregorian calendar.
    fn of(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years begin in March here, so that the day that some of them lack is the last one.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self { year: era * 400 + year + u64::from(month <= 2), month, day, second }
    }

    fn date(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    fn date_time(&self) -> String {
        format!("{}T{:02}{:02}{:02}Z", self.date(), self.second / 3_600, self.second / 60 % 60, self.second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (seconds, written) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(Time::of(seconds).date_time(), written);
        }
    }
}
