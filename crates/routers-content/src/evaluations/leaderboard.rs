//! The leaderboard: Elo ratings of models from thumbs up and down in comparisons, for one topic too, and a model's
//! wins and losses by day.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::db::Date;
use oui_models::feedbacks::{self, Rating};
use oui_retrieval::Purpose;
use oui_web::{Admin, Caller, Query};
use serde_json::{Value, json};

/// Rating that every model starts with.
const START: f64 = 1000.0;
/// How far one comparison moves a rating.
const STEP: f64 = 32.0;
/// Difference of ratings at which the better one is expected to win ten times as often.
const SCALE: f64 = 400.0;
/// Tags shown of a model.
const TAGS: usize = 5;
const DAY: i64 = 86_400;
/// Days between 1970-01-01 and 2000-01-01, from which dates are counted.
const DAYS_TO_2000: i64 = 10_957;

struct Standing {
    id: String,
    rating: f64,
    won: i64,
    lost: i64,
}

fn index(standings: &mut Vec<Standing>, id: &str) -> usize {
    standings
        .iter()
        .position(|standing| standing.id == id)
        .unwrap_or_else(|| {
            standings.push(Standing {
                id: id.to_owned(),
                rating: START,
                won: 0,
                lost: 0,
            });
            standings.len() - 1
        })
}

/// How much comparisons count by the id of their rating; without entry they count whole.
type Weights = HashMap<String, f64>;

/// Plays the comparisons in order. A model that is compared with itself gains nothing.
fn standings(ratings: &[Rating], weights: &Weights) -> Vec<Standing> {
    let mut standings = Vec::new();
    for rating in ratings {
        let (Some(model), Some(won)) = (rating.model_id(), rating.won()) else {
            continue;
        };
        let weight = weights.get(&rating.id).copied().unwrap_or(1.0);
        for opponent in rating.texts("sibling_model_ids") {
            let (a, b) = (index(&mut standings, model), index(&mut standings, opponent));
            let expected = 1.0 / (1.0 + 10.0_f64.powf((standings[b].rating - standings[a].rating) / SCALE));
            let gain = STEP * (f64::from(u8::from(won)) - expected) * weight;
            standings[a].rating += gain;
            standings[b].rating -= gain;
            let (winner, loser) = if won { (a, b) } else { (b, a) };
            standings[winner].won += 1;
            standings[loser].lost += 1;
        }
    }
    standings
}

/// Tags of a model's ratings, most frequent first; equal ones in the order of their first occurrence.
fn top_tags(ratings: &[Rating], model: &str) -> Vec<Value> {
    let mut counts: Vec<(&str, i64)> = Vec::new();
    for tag in ratings
        .iter()
        .filter(|rating| rating.model_id() == Some(model))
        .flat_map(|rating| rating.texts("tags"))
    {
        match counts.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, count)) => *count += 1,
            None => counts.push((tag, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| -count);
    counts
        .into_iter()
        .take(TAGS)
        .map(|(tag, count)| json!({ "tag": tag, "count": count }))
        .collect()
}

form! {
    /// What the models are compared at.
    pub(super) struct TopicQuery {
        /// Ratings count as far as their tags fit this text.
        pub query: Option<String>,
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let length = dot(a, a).sqrt() * dot(b, b).sqrt();
    if length > 0.0 { dot(a, b) / length } else { 0.0 }
}

/// How well ratings fit a topic: as well as the best of their tags does; those without tags do not.
fn weights(ratings: &[Rating], fits: &HashMap<&str, f64>) -> Weights {
    let weight = |rating: &Rating| {
        let best = rating.texts("tags").filter_map(|tag| fits.get(tag).copied());
        best.reduce(f64::max).unwrap_or(0.0)
    };
    ratings
        .iter()
        .map(|rating| (rating.id.clone(), weight(rating)))
        .collect()
}

/// [`weights`] by what the embedding model says of tags and topic. When it cannot be asked, or nothing has tags, all
/// ratings count whole.
async fn weights_for(caller: &Caller<Admin>, ratings: &[Rating], topic: &str) -> Weights {
    let mut tags: Vec<&str> = ratings.iter().flat_map(|rating| rating.texts("tags")).collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() {
        return Weights::new();
    }
    let texts = std::iter::once(topic)
        .chain(tags.iter().copied())
        .map(str::to_owned)
        .collect();
    let user = oui_retrieval::caller_of(caller.user());
    let embedder = &caller.app().retrieval.embedder;
    match embedder.embed(texts, Purpose::Query, Some(&user)).await {
        Ok(vectors) => {
            let Some((topic, vectors)) = vectors.split_first() else {
                return Weights::new();
            };
            let fits = vectors.iter().map(|vector| cosine(topic, vector));
            weights(ratings, &tags.into_iter().zip(fits).collect())
        }
        Err(error) => {
            tracing::warn!(%error, "the leaderboard of a topic counts all ratings: there are no embeddings");
            Weights::new()
        }
    }
}

pub(super) async fn all(caller: Caller<Admin>, Query(query): Query<TopicQuery>) -> ApiResult<Json<Value>> {
    let ratings = feedbacks::ratings(caller.db()).await?;
    let topic = query
        .query
        .as_deref()
        .map(str::trim)
        .filter(|topic| !topic.is_empty());
    let weights = match topic {
        Some(topic) => weights_for(&caller, &ratings, topic).await,
        None => Weights::new(),
    };
    let mut standings = standings(&ratings, &weights);
    // Half a point goes to the even number, as the reference rounds.
    standings.sort_by_key(|standing| -(standing.rating.round_ties_even() as i64));
    let entries: Vec<Value> = standings
        .iter()
        .map(|standing| {
            json!({
                "model_id": standing.id, "rating": standing.rating.round_ties_even() as i64,
                "won": standing.won, "lost": standing.lost, "count": standing.won + standing.lost,
                "top_tags": top_tags(&ratings, &standing.id),
            })
        })
        .collect();
    Ok(Json(json!({ "entries": entries })))
}

form! {
    /// How far back.
    pub(super) struct HistoryQuery {
        /// Days; 0 means since the first rating.
        pub days: i64 = 30,
    }
}

/// The day of a time, counted from 1970-01-01.
fn day(seconds: i64) -> i64 {
    seconds.div_euclid(DAY)
}

fn name(day: i64) -> String {
    Date(i32::try_from(day - DAYS_TO_2000).unwrap_or(i32::MAX)).to_string()
}

/// Wins and losses of a model by day, days without any included.
pub(crate) fn by_day(ratings: &[Rating], model: &str, days: i64, now: i64) -> Vec<Value> {
    /// A century: more days than that are not worth a list.
    const MOST: i64 = 36_525;
    let today = day(now);
    let counted: Vec<(i64, bool)> = ratings
        .iter()
        .filter(|rating| {
            rating.model_id() == Some(model) && (days == 0 || rating.created_at >= now - days * DAY)
        })
        .filter_map(|rating| Some((day(rating.created_at), rating.won()?)))
        .collect();
    let first = if days == 0 {
        counted.iter().map(|(day, _)| *day).min()
    } else {
        Some(today - days + 1)
    };
    let first = first.unwrap_or(today + 1).max(today - MOST);
    (first..=today)
        .map(|day| {
            let count = |wanted: bool| {
                counted
                    .iter()
                    .filter(|(on, won)| *on == day && *won == wanted)
                    .count()
            };
            json!({ "date": name(day), "won": count(true), "lost": count(false) })
        })
        .collect()
}

/// `{model}/history`; ids of models may hold slashes, so the path comes whole.
pub(super) async fn history(
    caller: Caller<Admin>,
    Path(path): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> ApiResult<Json<Value>> {
    let model = path
        .strip_suffix("/history")
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let ratings = feedbacks::ratings(caller.db()).await?;
    let history = by_day(&ratings, model, query.days.max(0), caller.app().clock.seconds());
    Ok(Json(json!({ "model_id": model, "history": history })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rating(model: &str, siblings: &[&str], rating: Value, at: i64) -> Rating {
        Rating {
            id: "r".into(),
            user_id: None,
            data: Some(
                json!({"model_id": model, "sibling_model_ids": siblings, "rating": rating, "tags": ["code", "art", "code"]}),
            ),
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn winning_takes_points_from_the_other() {
        let ratings = [
            rating("a", &["b"], json!(1), 0),
            rating("a", &["b"], json!("-1"), 0),
            rating("a", &["b"], json!(0), 0),
        ];
        let standings = standings(&ratings, &Weights::new());
        assert_eq!((standings[0].won, standings[0].lost, standings[1].won), (1, 1, 1));
        // 16 points up, then 32 * 0.546 down.
        assert!(
            (standings[0].rating - 998.53).abs() < 0.01,
            "{}",
            standings[0].rating
        );
        assert!((standings[0].rating + standings[1].rating - 2000.0).abs() < 1e-9);
        assert_eq!(
            top_tags(&ratings, "a"),
            [
                json!({"tag": "code", "count": 6}),
                json!({"tag": "art", "count": 3})
            ]
        );
    }

    #[test]
    fn a_topic_weighs_ratings_by_their_best_tag() {
        let mut ratings = [rating("a", &["b"], json!(1), 0), rating("b", &["c"], json!(1), 0)];
        ratings[1].id = "other".into();
        ratings[1].data = Some(json!({"model_id": "b", "sibling_model_ids": ["c"], "rating": 1}));
        assert!((cosine(&[1.0, 0.0], &[3.0, 4.0]) - 0.6).abs() < 1e-9);
        let weights = weights(&ratings, &HashMap::from([("code", 0.25), ("art", -0.5)]));
        assert_eq!((weights["r"], weights["other"]), (0.25, 0.0));
        let standings = standings(&ratings, &weights);
        assert!(
            (standings[0].rating - 1004.0).abs() < 1e-9,
            "{}",
            standings[0].rating
        );
        assert_eq!(
            (standings[2].id.as_str(), standings[2].rating, standings[2].lost),
            ("c", START, 1)
        );
    }

    #[test]
    fn every_day_has_a_row() {
        let now = 1_700_000_000;
        let ratings = [
            rating("a/b", &[], json!(1), now - DAY),
            rating("a/b", &[], json!(-1), now - 400 * DAY),
        ];
        let days = by_day(&ratings, "a/b", 3, now);
        assert_eq!(days.len(), 3);
        assert_eq!(days[1], json!({"date": "2023-11-13", "won": 1, "lost": 0}));
        assert_eq!(by_day(&ratings, "a/b", 0, now).len(), 401);
        assert!(by_day(&ratings, "other", 0, now).is_empty());
    }
}
