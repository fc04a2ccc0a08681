//! Identifiers of one run and the names that golden files use for them. A golden file says
//! `<id:chat>`; which id that is differs from run to run and is learned while replaying.

use std::collections::HashMap;

/// Ids known by name, both ways, so that one name always means one id.
#[derive(Debug, Default, Clone)]
pub struct Names {
    by_id: HashMap<String, String>,
    by_name: HashMap<String, String>,
    /// Ids that no pattern recognises inside a text, such as socket ids; longest first.
    literals: Vec<String>,
    counter: usize,
}

impl Names {
    /// Gives an id a name chosen by the scenario, unless either is already taken.
    pub fn declare(&mut self, name: &str, id: &str) {
        if !self.by_id.contains_key(id) && !self.by_name.contains_key(name) {
            self.bind(name, id);
        }
    }

    /// As [`Names::declare`], for an id that only a search for it finds in a text.
    pub fn declare_literal(&mut self, name: &str, id: &str) {
        self.declare(name, id);
        if !self.literals.iter().any(|known| known == id) {
            self.literals.push(id.to_owned());
            self.literals.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// The ids to be searched for in texts.
    #[must_use]
    pub fn literals(&self) -> &[String] {
        &self.literals
    }

    /// The name of an id, if it has one.
    #[must_use]
    pub fn name(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    /// The name of an id; a new one is numbered in order of appearance.
    pub fn name_or_number(&mut self, id: &str) -> String {
        if let Some(name) = self.by_id.get(id) {
            return name.clone();
        }
        self.counter += 1;
        let name = self.counter.to_string();
        self.bind(&name, id);
        name
    }

    /// Learns that `name` stands for `id`. False when one of them already means another.
    pub fn unify(&mut self, name: &str, id: &str) -> bool {
        match (self.by_name.get(name), self.by_id.get(id)) {
            (None, None) => {
                self.bind(name, id);
                true
            }
            (Some(known), _) => known == id,
            (None, Some(_)) => false,
        }
    }

    fn bind(&mut self, name: &str, id: &str) {
        self.by_id.insert(id.to_owned(), name.to_owned());
        self.by_name.insert(name.to_owned(), id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_means_one_id() {
        let mut names = Names::default();
        names.declare("chat", "a");
        assert!(names.unify("chat", "a"));
        assert!(!names.unify("chat", "b"));
        assert!(!names.unify("1", "a"));
        assert!(names.unify("1", "b"));
        assert_eq!(names.name("b"), Some("1"));
    }

    #[test]
    fn numbers_follow_the_order_of_appearance() {
        let mut names = Names::default();
        names.declare("chat", "a");
        assert_eq!(names.name_or_number("x"), "1");
        assert_eq!(names.name_or_number("a"), "chat");
        assert_eq!(names.name_or_number("y"), "2");
        assert_eq!(names.name_or_number("x"), "1");
    }
}
