//! How a text is cut into words: runs of letters and digits in lower case; characters of writing systems without
//! spaces count as a word each.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Longer runs are no words.
const LONGEST: usize = 64;

/// Cuts texts into words.
#[derive(Clone, Default)]
pub(super) struct Words {
    token: Token,
}

/// A text being cut.
pub(super) struct Stream<'a> {
    text: &'a str,
    place: usize,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        self.token.reset();
        Stream {
            text,
            place: 0,
            token: &mut self.token,
        }
    }
}

fn stands_alone(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{0E00}'..='\u{0E7F}' | '\u{20000}'..='\u{2FA1F}')
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let rest = self.text.get(self.place..).unwrap_or_default();
            let Some(skipped) = rest.find(char::is_alphanumeric) else {
                return false;
            };
            let start = self.place + skipped;
            let word = self.text.get(start..).unwrap_or_default();
            let first = word.chars().next().unwrap_or_default();
            let length = if stands_alone(first) {
                first.len_utf8()
            } else {
                word.find(|letter: char| !letter.is_alphanumeric() || stands_alone(letter))
                    .unwrap_or(word.len())
            };
            self.place = start + length;
            if length > LONGEST {
                continue;
            }
            self.token.text.clear();
            self.token.text.extend(
                word.get(..length)
                    .unwrap_or_default()
                    .chars()
                    .flat_map(char::to_lowercase),
            );
            self.token.offset_from = start;
            self.token.offset_to = self.place;
            self.token.position = self.token.position.wrapping_add(1);
            return true;
        }
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_several_scripts() {
        let mut words = Words::default();
        let mut stream = words.token_stream("Der Bär, 2x ÄPFEL_und 東京 – foo-bar");
        let mut found = Vec::new();
        while let Some(token) = stream.next() {
            found.push(token.text.clone());
        }
        assert_eq!(
            found,
            ["der", "bär", "2x", "äpfel", "und", "東", "京", "foo", "bar"]
        );
    }
}
