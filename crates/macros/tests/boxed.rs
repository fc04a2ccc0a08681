//! What the attribute makes of free functions, methods and lifetimes.

use std::collections::HashMap;
use std::sync::Arc;

use futures::executor::block_on;
use oui_macros::boxed;

struct Source<'s>(&'s str);

impl<'s> From<&'s str> for Source<'s> {
    fn from(text: &'s str) -> Self {
        Self(text)
    }
}

#[boxed]
async fn joined(source: impl Into<Source<'_>>, mut rest: String, end: &str) -> String {
    rest.insert_str(0, source.0);
    rest.push_str(end);
    rest
}

struct Shelf {
    books: HashMap<u8, String>,
}

impl Shelf {
    #[boxed]
    async fn of(source: impl Into<Source<'_>>) -> Self {
        Self {
            books: HashMap::from([(1, source.0.to_owned())]),
        }
    }

    #[boxed]
    async fn book(&self, number: &u8) -> Option<&str> {
        self.books.get(number).map(String::as_str)
    }

    #[boxed]
    async fn put(&mut self, number: u8, title: impl Into<String>) {
        self.books.insert(number, title);
    }

    #[boxed]
    async fn count<'a>(self: &Arc<Self>, names: &'a [&str]) -> (usize, &'a [&'a str]) {
        (self.books.len(), &names[..1])
    }
}

fn sendable<T: Send>(value: T) -> T {
    value
}

#[test]
fn functions_convert_what_they_are_given() {
    let end = String::from("!");
    assert_eq!(
        block_on(sendable(joined("Hello ", "world".to_owned(), &end))),
        "Hello world!"
    );
}

#[test]
fn methods_keep_their_lifetimes() {
    let mut shelf = block_on(Shelf::of("Emma"));
    block_on(sendable(shelf.put(2, "Persuasion")));
    let number = 2;
    assert_eq!(block_on(shelf.book(&number)), Some("Persuasion"));
    let shelf = Arc::new(shelf);
    let names = ["a", "b"];
    assert_eq!(block_on(shelf.count(&names)), (2, &names[..1]));
}
