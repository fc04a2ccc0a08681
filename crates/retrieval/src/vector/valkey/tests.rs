//! Against a small server with the protocol of Valkey and the commands of its search module, which does what is asked
//! of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::vector::conformance;

#[derive(Default)]
struct Peer {
    hashes: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Names of indexes with the beginnings of their keys.
    indexes: BTreeMap<String, String>,
}

enum Reply {
    Simple(&'static str),
    Error(&'static str),
    Number(usize),
    Bulk(Vec<u8>),
    List(Vec<Reply>),
}

impl Reply {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => out.extend(format!("+{text}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
            Self::Number(number) => out.extend(format!(":{number}\r\n").bytes()),
            Self::Bulk(bytes) => {
                out.extend(format!("${}\r\n", bytes.len()).bytes());
                out.extend(bytes);
                out.extend(b"\r\n");
            }
            Self::List(replies) => {
                out.extend(format!("*{}\r\n", replies.len()).bytes());
                replies.iter().for_each(|reply| reply.write(out));
            }
        }
    }

    fn text(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// `@field:{a\-b|c} @other:{d}`: the fields with the values they may have.
fn wanted(query: &str) -> Vec<(String, BTreeSet<String>)> {
    let parts = query.split("} ").filter(|part| part.contains(":{"));
    parts
        .map(|part| {
            let (name, values) = part.split_once(":{").unwrap();
            let values = values.trim_end_matches('}').replace('\\', "");
            let values = values.split('|').map(str::to_owned).collect();
            (name.trim_start_matches(['(', '@']).to_owned(), values)
        })
        .collect()
}

impl Peer {
    fn search(&self, words: &[Vec<u8>]) -> Reply {
        let text = |at: usize| String::from_utf8_lossy(&words[at]).into_owned();
        let place = |word: &str| words.iter().position(|own| own == word.as_bytes());
        let Some(prefix) = self.indexes.get(&text(1)) else {
            return Reply::Error("ERR no such index");
        };
        assert_eq!(words[words.len() - 2..], [b"DIALECT".to_vec(), b"2".to_vec()]);
        let query = text(2);
        let (condition, nearest) = match query.split_once("=>[KNN ") {
            Some((condition, rest)) => (condition, rest.split(' ').next()),
            None => (query.as_str(), None),
        };
        let wanted = wanted(condition.trim_end_matches(')'));
        let mut found: Vec<(&String, BTreeMap<String, Vec<u8>>)> = Vec::new();
        for (key, fields) in self.hashes.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let fits = |(name, values): &(String, BTreeSet<String>)| {
                values.contains(&*String::from_utf8_lossy(&fields[name]))
            };
            if wanted.iter().all(fits) {
                found.push((key, fields.clone()));
            }
        }
        if let Some(count) = nearest {
            let sought = numbers(&words[place("query_vec").unwrap() + 1]);
            for (_, fields) in &mut found {
                let distance = 2.0 - 2.0 * likeness(&sought, &numbers(&fields["vector"]));
                fields.insert("__vector_score".into(), distance.to_string().into_bytes());
            }
            let distance = |fields: &BTreeMap<String, Vec<u8>>| {
                String::from_utf8_lossy(&fields["__vector_score"])
                    .parse::<f64>()
                    .unwrap()
            };
            found.sort_by(|a, b| distance(&a.1).total_cmp(&distance(&b.1)));
            found.truncate(count.parse().unwrap());
            // The real one gives them in any order.
            found.reverse();
        }
        let asked = place("RETURN").unwrap();
        let count: usize = text(asked + 1).parse().unwrap();
        let asked: Vec<String> = (asked + 2..asked + 2 + count).map(text).collect();
        let limit = place("LIMIT").unwrap();
        let (offset, count): (usize, usize) =
            (text(limit + 1).parse().unwrap(), text(limit + 2).parse().unwrap());
        let mut reply = vec![Reply::Number(found.len())];
        for (key, fields) in found.into_iter().skip(offset).take(count) {
            let mut shown = Vec::new();
            for name in &asked {
                if let Some(value) = fields.get(name) {
                    shown.extend([Reply::text(name), Reply::Bulk(value.clone())]);
                }
            }
            reply.extend([Reply::text(key), Reply::List(shown)]);
        }
        Reply::List(reply)
    }

    fn answer(&mut self, words: &[Vec<u8>]) -> Reply {
        let text = |at: usize| String::from_utf8_lossy(&words[at]).into_owned();
        match text(0).to_uppercase().as_str() {
            "FT.CREATE" => {
                assert_eq!(text(2), "ON");
                let line: Vec<String> = (8..words.len()).map(text).collect();
                let line = line.join(" ");
                let start = "vector VECTOR HNSW 12 M 16 EF_CONSTRUCTION 200 EF_RUNTIME 10 TYPE FLOAT32 DIM 3 \
                             DISTANCE_METRIC COSINE text TEXT id TAG";
                assert!(line.starts_with(start), "{line}");
                self.indexes.insert(text(1), text(6));
                Reply::Simple("OK")
            }
            "FT.INFO" if self.indexes.contains_key(&text(1)) => Reply::List(Vec::new()),
            "FT.INFO" => Reply::Error("Index with name 'x' not found in database 0"),
            "FT.DROPINDEX" => {
                self.indexes.remove(&text(1));
                Reply::Simple("OK")
            }
            "FT._LIST" => Reply::List(self.indexes.keys().map(|name| Reply::text(name)).collect()),
            "FT.SEARCH" => self.search(words),
            "HSET" | "HMSET" => {
                let hash = self.hashes.entry(text(1)).or_default();
                for pair in words[2..].chunks(2) {
                    hash.insert(String::from_utf8(pair[0].clone()).unwrap(), pair[1].clone());
                }
                Reply::Number(1)
            }
            "HGETALL" => {
                let fields = self.hashes.get(&text(1)).cloned().unwrap_or_default();
                let pairs = fields
                    .into_iter()
                    .flat_map(|(name, value)| [Reply::text(&name), Reply::Bulk(value)]);
                Reply::List(pairs.collect())
            }
            "SCAN" => {
                let prefix = text(3);
                let prefix = prefix.trim_end_matches('*');
                let keys = self.hashes.keys().filter(|key| key.starts_with(prefix));
                Reply::List(vec![
                    Reply::text("0"),
                    Reply::List(keys.map(|key| Reply::text(key)).collect()),
                ])
            }
            "DEL" => {
                for key in &words[1..] {
                    self.hashes.remove(&*String::from_utf8_lossy(key));
                }
                Reply::Number(words.len() - 1)
            }
            _ => Reply::Simple("OK"),
        }
    }
}

async fn talk(stream: TcpStream, peer: Arc<Mutex<Peer>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let count: usize = line.trim().trim_start_matches('*').parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let length: usize = line.trim().trim_start_matches('$').parse().unwrap();
            let mut word = vec![0; length + 2];
            stream.read_exact(&mut word).await.unwrap();
            word.truncate(length);
            words.push(word);
        }
        let mut out = Vec::new();
        peer.lock().unwrap().answer(&words).write(&mut out);
        stream.get_mut().write_all(&out).await.unwrap();
    }
}

async fn start() -> Valkey {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("valkey://{}/0", listener.local_addr().unwrap());
    let peer = Arc::new(Mutex::new(Peer::default()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, peer.clone()));
        }
    });
    let environment = oui_config::Environment::from_map([
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
        ("DATA_DIR", "/nonexistent"),
        ("VALKEY_URL", url.as_str()),
    ]);
    let settings = oui_config::Settings::load(&environment).unwrap();
    Valkey::open(&settings.vectors).await.unwrap()
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    conformance::check(&start().await).await;
}

#[test]
fn filters_are_those_of_the_index() {
    assert_eq!(expression(&Filter::eq("page", 1)), None);
    let filter = Filter::eq("file_id", "a-b").and("hash", [json!("x"), json!("y z")]);
    assert_eq!(
        expression(&filter).as_deref(),
        Some(r"@file_id:{a\-b} @hash:{x|y\ z}")
    );
    assert!(is_indexed(&filter));
    assert!(!is_indexed(&filter.clone().and("page", [json!(1)])));
    let never = Filter::all().and("hash", []);
    assert!(expression(&never).unwrap().contains(NEVER));
}
