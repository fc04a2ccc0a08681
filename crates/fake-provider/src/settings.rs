//! What an instance is started with: its models, the shape of the fixed reply, how much it keeps.

use std::{str::FromStr, time::Duration};

use crate::catalogue::{Behaviour, CATALOGUE};

/// One model that an instance lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// The id in `/v1/models` and `/api/tags`.
    pub id: String,
    /// What it does.
    pub behaviour: Behaviour,
}

impl ListedModel {
    /// A model that behaves as its name says, see [`Behaviour::of_name`].
    pub fn named(id: impl Into<String>) -> Self {
        let id = id.into();
        let behaviour = Behaviour::of_name(&id);
        Self { id, behaviour }
    }
}

impl FromStr for ListedModel {
    type Err = String;

    /// Reads `id`, or `id=name` for a model of that id which behaves as the catalogue's `name`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, like) = text
            .split_once('=')
            .map_or((text, None), |(id, like)| (id, Some(like)));
        if id.is_empty() {
            return Err("a model needs an id".to_owned());
        }
        let behaviour = match like {
            None => Behaviour::of_name(id),
            Some(name) => Behaviour::in_catalogue(name)
                .ok_or_else(|| format!("no model of the catalogue is called {name}"))?,
        };
        Ok(Self {
            id: id.to_owned(),
            behaviour,
        })
    }
}

/// How an instance is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The models listed and answered; a chat with any other is a 404.
    pub models: Vec<ListedModel>,
    /// Chunks of the fixed text.
    pub chunks: usize,
    /// Pause before each chunk, for every model that has no pace of its own.
    pub pause: Duration,
    /// Wait before the answer to a chat, but not to a small job such as a title: a real model has made the title
    /// before it has written the reply, and what clients are told at the end has it.
    pub think: Duration,
    /// Whether the fixed text is the time instead: each chunk a space and the microseconds since 1970 at which it
    /// is sent, so that a reader can tell how long it was on its way.
    pub times: bool,
    /// How many requests are kept for reading back; the oldest go first. Zero keeps none.
    pub keep: usize,
}

impl Default for Settings {
    /// Every model of the catalogue, the fixed text as one sentence of nine words, no pauses,
    /// 10,000 requests kept.
    fn default() -> Self {
        Self {
            models: CATALOGUE
                .iter()
                .map(|entry| ListedModel::named(entry.id))
                .collect(),
            chunks: 9,
            pause: Duration::ZERO,
            think: Duration::ZERO,
            times: false,
            keep: 10_000,
        }
    }
}

impl Settings {
    /// The default settings with other models, each behaving as its name says.
    pub fn with_models<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self {
            models: ids.into_iter().map(ListedModel::named).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_from_an_id_or_an_alias() {
        assert_eq!("echo".parse(), Ok(ListedModel::named("echo")));
        assert_eq!(
            "gpt-4o=tools".parse(),
            Ok(ListedModel {
                id: "gpt-4o".to_owned(),
                behaviour: Behaviour::Tools { parallel: false }
            })
        );
        assert_eq!(
            "a=b".parse::<ListedModel>(),
            Err("no model of the catalogue is called b".to_owned())
        );
        assert!("=echo".parse::<ListedModel>().is_err());
    }
}
