//! Plain texts, code and everything unknown: bytes to text with the encoding that fits.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::Result;
use crate::Document;

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Document>> {
    Ok(vec![Document::new(decode(bytes))])
}

/// The text. UTF-8 if it can be, then what a byte order mark says, then what the bytes look like. No bytes are
/// refused: what has no meaning becomes a replacement sign.
pub(super) fn decode(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0.into_owned();
    }
    if let Some(encoding) = utf_16(bytes) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let encoding = detector.guess(None, Utf8Detection::Allow);
    let (text, _, broken) = encoding.decode(bytes);
    if broken {
        WINDOWS_1252.decode(bytes).0.into_owned()
    } else {
        text.into_owned()
    }
}

/// UTF-16 without a mark: every other byte is zero in most scripts with an alphabet.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4096) & !1];
    let zeros = |offset: usize| {
        sample
            .iter()
            .skip(offset)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let enough = sample.len() / 2 * 7 / 10;
    if sample.len() < 8 {
        None
    } else if zeros(1) > enough {
        Some(UTF_16LE)
    } else if zeros(0) > enough {
        Some(UTF_16BE)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{BIG5, EUC_KR, GB18030, SHIFT_JIS, WINDOWS_1251};

    use super::*;

    #[test]
    fn encodings_are_found() {
        let chinese = "这是一个用中文写的文件，里面有很多汉字，用来测试编码的识别。".repeat(3);
        let taiwan = "這是一個用中文寫的檔案，裡面有很多漢字，用來測試編碼的識別。".repeat(3);
        let japanese = "これは日本語で書かれたファイルです。文字コードの判定を試します。".repeat(3);
        let korean = "이것은 한국어로 작성된 파일입니다. 문자 인코딩을 시험합니다.".repeat(3);
        let russian = "Это файл на русском языке, по нему узнаётся кодировка.".repeat(3);
        for (text, encoding) in [
            (&chinese, GB18030),
            (&taiwan, BIG5),
            (&japanese, SHIFT_JIS),
            (&korean, EUC_KR),
            (&russian, WINDOWS_1251),
        ] {
            let (bytes, _, _) = encoding.encode(text);
            assert_eq!(&decode(&bytes), text, "{}", encoding.name());
        }
        assert_eq!(decode("naïve café à Zürich".as_bytes()), "naïve café à Zürich");
        let (latin, _, _) = WINDOWS_1252.encode("Le café à côté est fermé, dit-elle déçue.");
        assert_eq!(decode(&latin), "Le café à côté est fermé, dit-elle déçue.");
        let wide: Vec<u8> = "Wide letters".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&[&[0xff, 0xfe], wide.as_slice()].concat()), "Wide letters");
        assert_eq!(decode(&[wide.as_slice(), &[0xe9, 0]].concat()), "Wide lettersé");
    }
}
