//! Content types by file name, as the original server sends them, and which of them are worth
//! compressing. One table; everything else is an octet stream.

use std::path::Path;

/// A content type and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    mime: &'static str,
    compressible: bool,
}

const fn packed(mime: &'static str) -> Media {
    Media {
        mime,
        compressible: false,
    }
}

const fn plain(mime: &'static str) -> Media {
    Media {
        mime,
        compressible: true,
    }
}

/// What a file of unknown kind is sent as.
const UNKNOWN: Media = packed("application/octet-stream");

/// Extension (lower case) and content type. `plain` marks the types that the original compresses;
/// `.map` is unknown to it, so source maps travel uncompressed as octet streams.
const TYPES: &[(&str, Media)] = &[
    ("aac", packed("audio/x-aac")),
    ("avif", packed("image/avif")),
    ("bin", packed("application/octet-stream")),
    ("bmp", plain("image/bmp")),
    ("css", plain("text/css")),
    ("csv", packed("text/csv")),
    ("eot", plain("application/vnd.ms-fontobject")),
    ("flac", packed("audio/flac")),
    ("gif", packed("image/gif")),
    ("htm", plain("text/html")),
    ("html", plain("text/html")),
    ("ico", plain("image/vnd.microsoft.icon")),
    ("jpeg", packed("image/jpeg")),
    ("jpg", packed("image/jpeg")),
    ("js", plain("text/javascript")),
    ("json", plain("application/json")),
    ("md", plain("text/markdown")),
    ("mjs", plain("text/javascript")),
    ("mp3", packed("audio/mpeg")),
    ("mp4", packed("video/mp4")),
    ("oga", packed("audio/ogg")),
    ("ogg", packed("audio/ogg")),
    ("ogv", packed("video/ogg")),
    ("otf", plain("font/otf")),
    ("pdf", packed("application/pdf")),
    ("png", packed("image/png")),
    ("svg", plain("image/svg+xml")),
    ("ts", packed("text/vnd.trolltech.linguist")),
    ("tif", packed("image/tiff")),
    ("tiff", packed("image/tiff")),
    ("ttf", plain("font/ttf")),
    ("txt", plain("text/plain")),
    ("wasm", plain("application/wasm")),
    ("wav", packed("audio/x-wav")),
    ("webm", packed("video/webm")),
    ("webmanifest", plain("application/manifest+json")),
    ("webp", packed("image/webp")),
    ("woff", packed("font/woff")),
    ("woff2", packed("font/woff2")),
    ("xml", plain("application/xml")),
    ("zip", packed("application/zip")),
];

/// The content type of a file by its name.
pub(crate) fn of(path: &Path) -> Media {
    let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else {
        return UNKNOWN;
    };
    let extension = extension.to_ascii_lowercase();
    TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map_or(UNKNOWN, |(_, media)| *media)
}

impl Media {
    /// The `Content-Type` header; text is declared UTF-8.
    pub(crate) fn header(self) -> String {
        let charset = if self.mime.starts_with("text/") {
            "; charset=utf-8"
        } else {
            ""
        };
        format!("{}{charset}", self.mime)
    }

    /// Whether the original compresses this type.
    pub(crate) fn compressible(self) -> bool {
        self.compressible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_original() {
        for (name, header, compressible) in [
            ("index.html", "text/html; charset=utf-8", true),
            ("a.JS", "text/javascript; charset=utf-8", true),
            ("a.js.map", "application/octet-stream", false),
            ("site.webmanifest", "application/manifest+json", true),
            ("favicon.ico", "image/vnd.microsoft.icon", true),
            ("numpy.whl", "application/octet-stream", false),
            ("user-import.csv", "text/csv; charset=utf-8", false),
            ("LICENSE", "application/octet-stream", false),
        ] {
            let media = of(Path::new(name));
            assert_eq!(
                (media.header().as_str(), media.compressible()),
                (header, compressible),
                "{name}"
            );
        }
    }

    #[test]
    fn the_table_is_lower_case_and_has_no_doubles() {
        for (index, (extension, _)) in TYPES.iter().enumerate() {
            assert_eq!(*extension, extension.to_ascii_lowercase());
            assert!(
                !TYPES[..index].iter().any(|(earlier, _)| earlier == extension),
                "{extension}"
            );
        }
    }
}
