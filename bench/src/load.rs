//! Many clients that do the same thing over and over for a while, and what came of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

/// How hard to try.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Clients at a time.
    pub clients: usize,
    /// Time before counting begins.
    pub warm_up: Duration,
    /// Time that is counted.
    pub time: Duration,
    /// Streams at a time where the words come slowly.
    pub streams: usize,
    /// Words of each of these, as the slow provider is set.
    pub words: usize,
}

impl Effort {
    /// The effort of a measurement.
    #[must_use]
    pub fn full(time: Duration, words: usize) -> Self {
        Self {
            clients: 16,
            warm_up: Duration::from_secs(1),
            time,
            streams: 1000,
            words,
        }
    }

    /// Just enough to see that everything works.
    #[must_use]
    pub fn token() -> Self {
        Self {
            clients: 2,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(100),
            streams: 4,
            words: 3,
        }
    }
}

/// One thing done: how long until something was there, and until all was.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Time to the first word.
    pub first: Duration,
    /// Time to the end.
    pub whole: Duration,
}

/// A client that can do its thing again and again.
pub trait Client: Send + 'static {
    /// Does it once. Any fault ends the measurement.
    fn once(&mut self) -> impl Future<Output = Result<Sample>> + Send;
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Things done in a second, by all clients together.
    pub per_second: f64,
    samples: Vec<Sample>,
}

impl Outcome {
    /// Milliseconds that so many of a hundred took at most, to the end.
    #[must_use]
    pub fn whole(&self, percent: f64) -> f64 {
        percentile(self.samples.iter().map(|sample| sample.whole).collect(), percent)
    }

    /// Milliseconds that so many of a hundred took at most, to the first word.
    #[must_use]
    pub fn first(&self, percent: f64) -> f64 {
        percentile(self.samples.iter().map(|sample| sample.first).collect(), percent)
    }
}

/// The value in milliseconds that so many of a hundred do not exceed.
#[must_use]
pub fn percentile(mut values: Vec<Duration>, percent: f64) -> f64 {
    values.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list that fits into memory"
    )]
    let index = ((values.len() as f64 * percent / 100.0).ceil() as usize).saturating_sub(1);
    values
        .get(index)
        .map_or(0.0, |value| value.as_secs_f64() * 1000.0)
}

/// Lets all clients work, and counts what is done after the warm-up.
///
/// # Errors
/// The first fault of a client; or when nothing was done in the time.
pub async fn drive<C: Client>(clients: Vec<C>, effort: &Effort) -> Result<Outcome> {
    let from = Instant::now() + effort.warm_up;
    let until = from + effort.time;
    let mut working = JoinSet::new();
    for mut client in clients {
        working.spawn(async move {
            let mut samples = Vec::new();
            let mut last = from;
            while Instant::now() < until {
                let sample = client.once().await?;
                let now = Instant::now();
                // What ends after the time still counts, and so does the time that it took.
                if now > from {
                    samples.push(sample);
                    last = now;
                }
            }
            anyhow::Ok((samples, last))
        });
    }
    let mut samples = Vec::new();
    let mut last = from;
    while let Some(done) = working.join_next().await {
        let (theirs, at) = done??;
        samples.extend(theirs);
        last = last.max(at);
    }
    ensure!(!samples.is_empty(), "nothing was done in {:?}", effort.time);
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are far below what a float can hold"
    )]
    let per_second = samples.len() as f64 / (last - from).as_secs_f64();
    Ok(Outcome { per_second, samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(u32);

    impl Client for Counter {
        async fn once(&mut self) -> Result<Sample> {
            self.0 += 1;
            ensure!(self.0 < 5, "four are enough");
            tokio::time::sleep(Duration::from_millis(1)).await;
            let whole = Duration::from_millis(u64::from(self.0));
            Ok(Sample {
                first: whole / 2,
                whole,
            })
        }
    }

    #[test]
    fn percentiles_are_values_of_the_list() {
        let values = (1..=200).map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(percentile(values.clone(), 99.0).round(), 198.0);
        assert_eq!(percentile(values, 100.0).round(), 200.0);
        assert_eq!(percentile(Vec::new(), 50.0), 0.0);
    }

    #[tokio::test]
    async fn a_fault_ends_the_measurement() {
        let effort = Effort {
            time: Duration::from_secs(60),
            ..Effort::token()
        };
        let error = drive(vec![Counter(0)], &effort).await.unwrap_err();
        assert_eq!(error.to_string(), "four are enough");
    }
}
