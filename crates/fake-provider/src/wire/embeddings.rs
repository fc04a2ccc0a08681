//! Deterministic embeddings: texts that share words have near vectors.
//!
//! Each word is hashed to a dimension and a sign (feature hashing), and the sum is normalised. No
//! meaning is in it beyond the words, but a search over such vectors finds what a test put there.

/// Dimensions of a vector when the request does not say.
pub(crate) const DIMENSIONS: usize = 256;
/// More than any model has.
pub(crate) const MOST_DIMENSIONS: usize = 8192;
/// Values are rounded to this many parts, so that they are short in JSON.
const PRECISION: f64 = 1e6;

/// The vector of a text, of length 1.
pub(crate) fn embed(text: &str, dimensions: usize) -> Vec<f64> {
    let dimensions = dimensions.clamp(1, MOST_DIMENSIONS);
    let mut vector = vec![0.0; dimensions];
    let words = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in words {
        let hash = fnv1a(&word.to_lowercase());
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[(hash % dimensions as u64) as usize] += sign;
    }
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 {
        // A text without words, or whose words cancel each other out.
        vector[0] = 1.0;
        return vector;
    }
    vector
        .iter()
        .map(|value| (value / length * PRECISION).round() / PRECISION)
        .collect()
}

/// 64-bit FNV-1a: stable across versions and machines, unlike the standard library's hasher.
fn fnv1a(text: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    text.bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(left: &str, right: &str) -> f64 {
        let (left, right) = (embed(left, DIMENSIONS), embed(right, DIMENSIONS));
        left.iter().zip(&right).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        assert!((similarity("a red fox", "A red fox!") - 1.0).abs() < 1e-4);
        assert!(
            similarity("the red fox sleeps", "a red fox")
                > similarity("the red fox sleeps", "blue whales sing")
        );
    }

    #[test]
    fn vectors_have_length_one_and_the_asked_dimensions() {
        for text in ["", "one", "one two three"] {
            let vector = embed(text, 64);
            assert_eq!(vector.len(), 64);
            let length: f64 = vector.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-4, "{text}: {length}");
        }
        assert_eq!(embed("x", 0).len(), 1);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
