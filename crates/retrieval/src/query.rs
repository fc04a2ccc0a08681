//! From a question to the chunks that answer it: vector search, or vector and word search together, reranked.

use oui_core::boxed;
use std::collections::HashMap;

use oui_config::rag;
use oui_providers::CallContext;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::embeddings::Purpose;
use crate::error::Result;
use crate::service::Retrieval;
use crate::vector::{Entry, Filter, Hit, Metadata};

/// Damps the advantage of the first ranks when two lists are joined.
const RANK_CONSTANT: f64 = 60.0;

/// Name under which results of hybrid search carry the checksum of their text.
const HASH: &str = "_chunk_hash";

/// How is searched; the configuration's values unless a request gives others.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOptions {
    /// Chunks wanted.
    pub k: usize,
    /// Searches for words too, and reranks.
    pub hybrid: bool,
    /// Chunks that reranking leaves.
    pub k_reranker: usize,
    /// Scores below this are dropped in hybrid search; 0 drops none.
    pub threshold: f64,
    /// Share of words in hybrid search, from 0 to 1.
    pub word_weight: f64,
    /// Lets names and headings count as words of the text.
    pub enriched: bool,
}

/// What was found, best first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Scores, higher is better.
    pub scores: Vec<f64>,
    /// Texts.
    pub documents: Vec<String>,
    /// What is known of them.
    pub metadatas: Vec<Metadata>,
}

impl Found {
    /// As routes send it: each list in a list, as for one question.
    pub fn to_json(&self) -> Value {
        json!({ "distances": [self.scores], "documents": [self.documents], "metadatas": [self.metadatas] })
    }

    fn push(&mut self, score: f64, text: String, metadata: Metadata) {
        self.scores.push(score);
        self.documents.push(text);
        self.metadatas.push(metadata);
    }
}

/// A chunk on its way through the ranking.
struct Candidate {
    entry: Entry,
    score: f64,
}

/// A question to one collection.
struct Asked<'a> {
    collection: &'a str,
    question: &'a str,
    vector: &'a [f32],
    /// How alike the vectors of entries are to the question's, as far as that is known.
    known: HashMap<String, f64>,
}

/// Checksum of a text in hexadecimal.
pub fn text_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Found entries as routes send those of one collection.
pub fn hits_json(hits: Option<&[Hit]>) -> Value {
    let Some(hits) = hits else { return Value::Null };
    let list = |of: fn(&Hit) -> Value| -> Value { Value::Array(hits.iter().map(of).collect()) };
    json!({
        "ids": [list(|hit| json!(hit.entry.id))],
        "documents": [list(|hit| json!(hit.entry.text))],
        "metadatas": [list(|hit| Value::Object(hit.entry.metadata.clone()))],
        "distances": [list(|hit| json!(hit.score))],
    })
}

fn count(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

impl Retrieval {
    /// The configuration's options.
    pub fn search_options(&self) -> SearchOptions {
        let config = &self.config;
        SearchOptions {
            k: count(config.get(&rag::RAG_TOP_K)),
            hybrid: config.get(&rag::ENABLE_RAG_HYBRID_SEARCH),
            k_reranker: count(config.get(&rag::RAG_TOP_K_RERANKER)),
            threshold: config.get(&rag::RAG_RELEVANCE_THRESHOLD),
            word_weight: config.get(&rag::RAG_HYBRID_BM25_WEIGHT),
            enriched: config.get(&rag::ENABLE_RAG_HYBRID_SEARCH_ENRICHED_TEXTS),
        }
    }

    /// Searches collections for the best answers to any of the questions. Where hybrid search fails, vector search
    /// answers; collections that fail are left out as long as another one answers.
    #[boxed]
    pub async fn search(
        &self,
        collections: &[String],
        questions: &[String],
        options: &SearchOptions,
        caller: Option<&CallContext>,
    ) -> Result<Found> {
        if options.hybrid {
            match self.hybrid(collections, questions, options, caller).await {
                Ok(found) => return Ok(found),
                Err(error) => tracing::warn!(%error, "hybrid search failed; searching vectors only"),
            }
        }
        let questions: Vec<String> = questions
            .iter()
            .filter(|question| !question.is_empty())
            .cloned()
            .collect();
        if questions.is_empty() {
            return Ok(Found::default());
        }
        let store = self.store().await?;
        let vectors = self.embedder.embed(questions, Purpose::Query, caller).await?;
        let mut all = Vec::new();
        for vector in &vectors {
            for collection in collections.iter().filter(|name| !name.is_empty()) {
                match store.search(collection, vector, &Filter::all(), options.k).await {
                    Ok(hits) => all.extend(hits.into_iter().flatten().map(|hit| Candidate {
                        entry: hit.entry,
                        score: hit.score,
                    })),
                    Err(error) => tracing::error!(%error, collection, "a collection could not be searched"),
                }
            }
        }
        Ok(merge(all, options.k))
    }

    /// Searches by vectors and words and reranks. Fails when no collection could be searched.
    #[boxed]
    pub async fn hybrid(
        &self,
        collections: &[String],
        questions: &[String],
        options: &SearchOptions,
        caller: Option<&CallContext>,
    ) -> Result<Found> {
        // Words need no vector: they are looked for while the questions are embedded.
        let words = async {
            let mut lists = Vec::new();
            for collection in collections {
                for question in questions {
                    lists.push(self.words(collection, question, options).await);
                }
            }
            lists
        };
        let vectors = self.embedder.embed(questions.to_vec(), Purpose::Query, caller);
        let (words, vectors) = tokio::join!(words, vectors);
        let (mut words, vectors) = (words.into_iter(), vectors?);
        let mut all = Vec::new();
        let (mut answered, mut failed) = (false, None);
        for collection in collections {
            for ((question, vector), words) in questions.iter().zip(&vectors).zip(&mut words) {
                let found = match words {
                    Ok(words) => {
                        self.hybrid_one(collection, question, vector, words, options, caller)
                            .await
                    }
                    Err(error) => Err(error),
                };
                match found {
                    Ok(found) => {
                        answered = true;
                        all.extend(found);
                    }
                    Err(error) => {
                        tracing::error!(%error, collection, "a collection could not be searched");
                        failed = Some(error);
                    }
                }
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => Ok(merge(all, options.k)),
        }
    }

    /// What the words of the question find; nothing where words do not count.
    async fn words(&self, collection: &str, question: &str, options: &SearchOptions) -> Result<Vec<Hit>> {
        if options.word_weight <= 0.0 {
            return Ok(Vec::new());
        }
        let store = self.store().await?;
        let found = store
            .text_search(collection, question, options.k, options.enriched)
            .await?;
        match found {
            Some(found) => Ok(found),
            None => {
                let entries = store.query(collection, &Filter::all(), None).await?;
                let entries = entries.unwrap_or_default();
                Ok(crate::fulltext::rank(
                    entries,
                    question,
                    options.k,
                    options.enriched,
                ))
            }
        }
    }

    async fn hybrid_one(
        &self,
        collection: &str,
        question: &str,
        vector: &[f32],
        words: Vec<Hit>,
        options: &SearchOptions,
        caller: Option<&CallContext>,
    ) -> Result<Vec<Candidate>> {
        let weight = options.word_weight.clamp(0.0, 1.0);
        let mut lists: Vec<(f64, Vec<Hit>)> = vec![(weight, words)];
        let mut known = HashMap::new();
        if weight < 1.0 {
            let found = self
                .store()
                .await?
                .search(collection, vector, &Filter::all(), options.k)
                .await?;
            let found = found.unwrap_or_default();
            known.extend(found.iter().map(|hit| (hit.entry.id.clone(), hit.score)));
            lists.push((1.0 - weight, found));
        }
        let asked = Asked {
            collection,
            question,
            vector,
            known,
        };
        self.rerank(asked, join(lists), options, caller).await
    }

    /// Orders candidates by the reranker, or without one by the angle to the question.
    async fn rerank(
        &self,
        asked: Asked<'_>,
        candidates: Vec<Entry>,
        options: &SearchOptions,
        caller: Option<&CallContext>,
    ) -> Result<Vec<Candidate>> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<String> = candidates.iter().map(|entry| entry.text.clone()).collect();
        let scores = match self.reranker.score(asked.question, &texts, caller).await? {
            Some(scores) => scores,
            None => self.angles(asked, &candidates, texts, caller).await?,
        };
        let mut ranked: Vec<Candidate> = candidates
            .into_iter()
            .zip(scores)
            .filter(|(_, score)| options.threshold == 0.0 || *score >= options.threshold)
            .map(|(entry, score)| Candidate { entry, score })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked.truncate(options.k_reranker.min(options.k.max(options.k_reranker)));
        if options.k < options.k_reranker {
            ranked.truncate(options.k);
        }
        for candidate in &mut ranked {
            let hash = text_hash(&candidate.entry.text);
            candidate.entry.metadata.insert(HASH.into(), json!(hash));
            candidate
                .entry
                .metadata
                .insert("score".into(), json!(candidate.score));
        }
        Ok(ranked)
    }

    /// Cosines between the question and the candidates. Those that the vector found are known; the others' come from
    /// their stored vectors, where the store hands them out.
    async fn angles(
        &self,
        asked: Asked<'_>,
        candidates: &[Entry],
        texts: Vec<String>,
        caller: Option<&CallContext>,
    ) -> Result<Vec<f64>> {
        let mut known = asked.known;
        let (ids, texts): (Vec<String>, Vec<String>) = candidates
            .iter()
            .zip(texts)
            .filter(|(entry, _)| !known.contains_key(&entry.id))
            .map(|(entry, text)| (entry.id.clone(), text))
            .unzip();
        if !ids.is_empty() {
            let store = self.store().await?;
            match store.scores(asked.collection, asked.vector, &ids).await? {
                Some(more) => known.extend(more),
                None => {
                    let others = self.embedder.embed(texts, Purpose::Content, caller).await?;
                    let likenesses = others
                        .iter()
                        .map(|other| crate::vector::likeness(asked.vector, other));
                    known.extend(ids.into_iter().zip(likenesses));
                }
            }
        }
        let angle = |entry: &Entry| known.get(&entry.id).map_or(-1.0, |likeness| 2.0 * likeness - 1.0);
        Ok(candidates.iter().map(angle).collect())
    }
}

/// Joins ranked lists into one: an entry counts by its ranks, not by its scores.
fn join(lists: Vec<(f64, Vec<Hit>)>) -> Vec<Entry> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut joined: Vec<Candidate> = Vec::new();
    for (weight, hits) in lists {
        for (rank, hit) in (1_u32..).zip(hits) {
            let score = weight / (f64::from(rank) + RANK_CONSTANT);
            let hash = text_hash(&hit.entry.text);
            match places.get(&hash).and_then(|place| joined.get_mut(*place)) {
                Some(candidate) => candidate.score += score,
                None => {
                    places.insert(hash, joined.len());
                    joined.push(Candidate {
                        entry: hit.entry,
                        score,
                    });
                }
            }
        }
    }
    joined.sort_by(|a, b| b.score.total_cmp(&a.score));
    joined.into_iter().map(|candidate| candidate.entry).collect()
}

/// The best of all candidates; of equal texts the best one.
fn merge(all: Vec<Candidate>, k: usize) -> Found {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in all {
        let hash = text_hash(&candidate.entry.text);
        match places.get(&hash).and_then(|place| kept.get_mut(*place)) {
            Some(known) if candidate.score > known.score => *known = candidate,
            Some(_) => {}
            None => {
                places.insert(hash, kept.len());
                kept.push(candidate);
            }
        }
    }
    kept.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut found = Found::default();
    for candidate in kept.into_iter().take(k) {
        found.push(candidate.score, candidate.entry.text, candidate.entry.metadata);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(id: &str, score: f64) -> Hit {
        let entry = Entry {
            id: id.into(),
            text: format!("text {id}"),
            metadata: Metadata::new(),
        };
        Hit { entry, score }
    }

    fn ids(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn ranks_of_two_lists_count_by_weight() {
        let words = || vec![hit("a", 9.0), hit("b", 8.0)];
        let vectors = || vec![hit("c", 0.9), hit("b", 0.8)];
        assert_eq!(
            ids(&join(vec![(0.5, words()), (0.5, vectors())])),
            ["b", "a", "c"]
        );
        assert_eq!(
            ids(&join(vec![(0.9, words()), (0.1, vectors())])),
            ["b", "a", "c"]
        );
        assert_eq!(ids(&join(vec![(1.0, vectors())])), ["c", "b"]);
    }

    #[test]
    fn equal_texts_are_one_result() {
        let candidate = |id: &str, text: &str, score| Candidate {
            entry: Entry {
                id: id.into(),
                text: text.into(),
                metadata: Metadata::new(),
            },
            score,
        };
        let all = vec![
            candidate("a", "same", 0.2),
            candidate("b", "other", 0.5),
            candidate("c", "same", 0.7),
            candidate("d", "third", 0.1),
        ];
        let found = merge(all, 2);
        assert_eq!(found.documents, ["same", "other"]);
        assert_eq!(found.scores, [0.7, 0.5]);
        assert_eq!(
            merge(Vec::new(), 3).to_json(),
            json!({"distances": [[]], "documents": [[]], "metadatas": [[]]})
        );
    }
}
