//! Building the answer for one file: validators, conditional requests, ranges, choice of a
//! compressed variant, headers in the form and order of the original. Runs off the async threads;
//! small bodies are read here in one go, larger ones are streamed by [`super::body`].

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use sha2::{Digest, Sha256};

use super::body::{Content, Part};
use super::media::{self, Media};
use super::range::{self, Wanted};
use super::site::{Found, Mount};
use crate::compress::{Encoding, Stamp, Variants};

/// Bodies below this never depend on `Accept-Encoding` at the original.
const MIN_VARY: u64 = 500;

/// The parts of a request that decide the answer.
#[derive(Debug, Default)]
pub(super) struct Asked {
    head: bool,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
    range: Option<String>,
    if_range: Option<String>,
    encodings: Vec<Encoding>,
}

/// An answer without the async parts.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// Set when a variant was wanted and is not there.
    pub(super) uncompressed: Option<Uncompressed>,
}

/// A file whose variants should be made.
#[derive(Debug)]
pub(super) struct Uncompressed {
    pub(super) variants: Variants,
    pub(super) relative: PathBuf,
    pub(super) source: PathBuf,
    /// Names this content of this file.
    pub(super) key: PathBuf,
}

impl Asked {
    pub(super) fn read(method: &Method, headers: &HeaderMap, compress: bool) -> Self {
        let text = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Self {
            head: method == Method::HEAD,
            if_none_match: text(header::IF_NONE_MATCH),
            if_modified_since: text(header::IF_MODIFIED_SINCE),
            range: text(header::RANGE),
            if_range: text(header::IF_RANGE),
            encodings: if compress { accepted(headers) } else { Vec::new() },
        }
    }
}

/// Encodings the client takes, best first; quality only matters where it is zero.
fn accepted(headers: &HeaderMap) -> Vec<Encoding> {
    let values = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let items: Vec<(String, bool)> = values
        .flat_map(|value| value.split(','))
        .map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
            let wanted = parts
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .is_none_or(|(_, quality)| quality.trim().parse::<f32>().is_ok_and(|quality| quality > 0.0));
            (coding, wanted)
        })
        .collect();
    let find = |name: &str| {
        items
            .iter()
            .rev()
            .find(|(coding, _)| coding == name)
            .map(|(_, wanted)| *wanted)
    };
    let wildcard = find("*").unwrap_or(false);
    Encoding::ALL
        .into_iter()
        .filter(|encoding| find(encoding.token()).unwrap_or(wildcard))
        .collect()
}

/// Answers a request for a file that exists.
pub(super) fn file(found: Found, mount: Mount, asked: &Asked, compress: bool) -> io::Result<Reply> {
    let media = media::of(&found.path);
    let stamp = Stamp::of(&found.meta);
    let etag = etag(stamp);
    let modified = found.meta.modified().map(httpdate::fmt_http_date)?;
    let always = mount_headers(&found, mount);

    if not_modified(asked, &etag, &found)? {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::ETAG, &etag);
        headers.extend(always);
        return Ok(Reply::new(StatusCode::NOT_MODIFIED, headers, Content::Empty));
    }
    let mut headers = HeaderMap::new();
    set(&mut headers, header::CONTENT_TYPE, &media.header());
    set(&mut headers, header::ACCEPT_RANGES, "bytes");
    set(&mut headers, header::CONTENT_LENGTH, &stamp.size.to_string());
    set(&mut headers, header::LAST_MODIFIED, &modified);
    set(&mut headers, header::ETAG, &etag);
    headers.extend(always);

    let ranged = asked
        .if_range
        .as_ref()
        .is_none_or(|tag| *tag == etag || *tag == modified);
    let wanted = match asked.range.as_deref().filter(|_| ranged) {
        Some(range) => range::parse(range, stamp.size),
        None => Wanted::All,
    };
    match wanted {
        Wanted::All => whole(found, media, stamp, asked, compress, headers),
        Wanted::Parts(parts) => partial(&found, media, stamp.size, &parts, asked, compress, headers),
        Wanted::Malformed(text) => Ok(Reply::text(StatusCode::BAD_REQUEST, text)),
        Wanted::Unsatisfiable => {
            let mut reply = Reply::text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(
                &mut reply.headers,
                header::CONTENT_RANGE,
                &format!("bytes */{}", stamp.size),
            );
            Ok(reply)
        }
    }
}

impl Reply {
    fn new(status: StatusCode, headers: HeaderMap, content: Content) -> Self {
        Self {
            status,
            headers,
            content,
            uncompressed: None,
        }
    }

    fn text(status: StatusCode, text: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::CONTENT_LENGTH, &text.len().to_string());
        set(&mut headers, header::CONTENT_TYPE, "text/plain; charset=utf-8");
        Self::new(status, headers, Content::Bytes(text.into()))
    }
}

/// The whole file, in the best variant that is there.
fn whole(
    found: Found,
    media: Media,
    stamp: Stamp,
    asked: &Asked,
    compress: bool,
    mut headers: HeaderMap,
) -> io::Result<Reply> {
    if asked.head {
        // The original decides on compression when it sees the body, which a HEAD has not.
        return Ok(Reply::new(StatusCode::OK, headers, Content::Empty));
    }
    vary(&mut headers, media, compress, stamp.size);
    let mut uncompressed = None;
    if media.compressible() && Variants::worthwhile(stamp.size) && !asked.encodings.is_empty() {
        for encoding in &asked.encodings {
            let Ok(file) = File::open(found.variants.path(&found.relative, stamp, *encoding)) else {
                continue;
            };
            let size = file.metadata()?.len();
            set(&mut headers, header::CONTENT_LENGTH, &size.to_string());
            set(&mut headers, header::CONTENT_ENCODING, encoding.token());
            let content = Content::read(file, vec![Part::Slice(0, size)])?;
            return Ok(Reply::new(StatusCode::OK, headers, content));
        }
        uncompressed = Some(Uncompressed {
            key: found.variants.path(&found.relative, stamp, Encoding::Brotli),
            variants: found.variants,
            relative: found.relative,
            source: found.path.clone(),
        });
    }
    let content = Content::read(File::open(&found.path)?, vec![Part::Slice(0, stamp.size)])?;
    Ok(Reply {
        uncompressed,
        ..Reply::new(StatusCode::OK, headers, content)
    })
}

/// One or several ranges, always of the uncompressed file.
fn partial(
    found: &Found,
    media: Media,
    size: u64,
    parts: &[(u64, u64)],
    asked: &Asked,
    compress: bool,
    mut headers: HeaderMap,
) -> io::Result<Reply> {
    let parts = match parts {
        [(start, end)] => {
            set(&mut headers, header::CONTENT_LENGTH, &(end - start).to_string());
            set(
                &mut headers,
                header::CONTENT_RANGE,
                &format!("bytes {start}-{}/{size}", end - 1),
            );
            if !asked.head {
                vary(&mut headers, media, compress, end - start);
            }
            vec![Part::Slice(*start, *end)]
        }
        several => {
            let (boundary, parts) = multipart(several, &media.header(), size);
            let length: u64 = parts.iter().map(Part::len).sum();
            set(
                &mut headers,
                header::CONTENT_TYPE,
                &format!("multipart/byteranges; boundary={boundary}"),
            );
            set(&mut headers, header::CONTENT_LENGTH, &length.to_string());
            parts
        }
    };
    let content = if asked.head {
        Content::Empty
    } else {
        Content::read(File::open(&found.path)?, parts)?
    };
    Ok(Reply::new(StatusCode::PARTIAL_CONTENT, headers, content))
}

/// The pieces of a `multipart/byteranges` body and its boundary (13 random bytes in hex).
fn multipart(ranges: &[(u64, u64)], content_type: &str, size: u64) -> (String, Vec<Part>) {
    let boundary = hex::encode(rand::random::<[u8; 13]>());
    let mut parts = Vec::with_capacity(ranges.len() * 3 + 1);
    for (start, end) in ranges {
        let head = format!(
            "--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {start}-{}/{size}\r\n\r\n",
            end - 1
        );
        parts.extend([
            Part::Text(head.into()),
            Part::Slice(*start, *end),
            Part::Text("\r\n".into()),
        ]);
    }
    parts.push(Part::Text(format!("--{boundary}--").into()));
    (boundary, parts)
}

/// Headers that a mount adds to every file it sends, 304 included.
fn mount_headers(found: &Found, mount: Mount) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match mount {
        // A cached page would ask for the chunks of an older build.
        Mount::Client
            if found
                .path
                .extension()
                .is_some_and(|extension| extension == "html") =>
        {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        Mount::Pyodide => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Mount::Client | Mount::Static => {}
    }
    headers
}

/// Tells caches where the answer could depend on the encodings; the original omits it elsewhere.
fn vary(headers: &mut HeaderMap, media: Media, compress: bool, length: u64) {
    if compress && media.compressible() && length >= MIN_VARY {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// 32 hex digits that change with the file's time or size, the same for every encoding.
fn etag(stamp: Stamp) -> String {
    let digest = Sha256::digest(format!("{}-{}", stamp.nanos, stamp.size));
    format!("\"{}\"", hex::encode(&digest[..16]))
}

/// `If-None-Match` decides alone when it is there; times are compared in whole seconds.
fn not_modified(asked: &Asked, etag: &str, found: &Found) -> io::Result<bool> {
    if let Some(tags) = asked.if_none_match.as_deref().filter(|tags| !tags.is_empty()) {
        let matches = |tag: &str| tag.trim().trim_start_matches("W/") == etag;
        return Ok(tags.trim() == "*" || tags.split(',').any(matches));
    }
    let since = asked
        .if_modified_since
        .as_deref()
        .and_then(|since| httpdate::parse_http_date(since).ok());
    let seconds = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let modified = seconds(found.meta.modified()?);
    Ok(since.is_some_and(|since| seconds(since) >= modified))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl Content {
    /// Reads small contents now, while the file is open anyway; leaves large ones to be streamed.
    fn read(mut file: File, parts: Vec<Part>) -> io::Result<Self> {
        if let [Part::Slice(0, end)] = parts[..]
            && end <= super::body::CHUNK as u64
        {
            let mut bytes = Vec::with_capacity(usize::try_from(end).unwrap_or(0));
            Read::by_ref(&mut file).take(end).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(Content::Bytes(bytes.into()));
        }
        Ok(Content::Parts(file, parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(value: &'static str) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepted(&headers).into_iter().map(Encoding::token).collect()
    }

    #[test]
    fn encodings_are_chosen_by_the_servers_preference() {
        assert_eq!(tokens("gzip, deflate, br, zstd"), ["br", "gzip"]);
        assert_eq!(tokens("br;q=0, gzip;q=0.1"), ["gzip"]);
        assert_eq!(tokens("*"), ["br", "gzip"]);
        assert_eq!(tokens("*;q=0.5, br;q=0"), ["gzip"]);
        assert_eq!(tokens("identity"), [""; 0]);
        assert_eq!(tokens("gzip;q=x"), [""; 0]);
    }

    #[test]
    fn etags_change_with_time_and_size() {
        let stamp = Stamp { nanos: 1, size: 2 };
        assert_eq!(etag(stamp).len(), 34);
        assert_ne!(etag(stamp), etag(Stamp { nanos: 2, size: 2 }));
        assert_ne!(etag(stamp), etag(Stamp { nanos: 1, size: 3 }));
    }
}
