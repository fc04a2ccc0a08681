//! Sentence embeddings and cross-encoder scores from models of the BERT family, computed on this machine's cores.
//!
//! `folder` finds a model on disk, `weights` reads it, `tokens` cuts texts, `forward` computes, `math` holds the loops
//! that must be fast. Nothing here knows of databases, settings or the async runtime: a call computes until it is done.

mod cross;
mod error;
mod folder;
mod forward;
mod math;
mod sentence;
mod tokens;
mod weights;

use rayon::{ThreadPool, ThreadPoolBuilder};

pub use cross::CrossEncoder;
pub use error::{EncoderError, Result};
pub use folder::find;
pub use sentence::SentenceEncoder;
pub use tokens::TokenCounter;

/// Tokens that are computed at once: enough to fill the cores, few enough to stay in the caches.
const TOKENS_AT_ONCE: usize = 2048;

/// Threads for the computation, apart from everybody else's.
fn threads(count: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|index| format!("encoder-{index}"))
        .build()
        .map_err(|error| EncoderError::Unsupported(error.to_string()))
}

/// Places of texts, shortest first, cut into runs of at most [`TOKENS_AT_ONCE`] tokens.
fn runs(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|place| lengths[*place]);
    let mut runs: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for place in order {
        match runs.last_mut().filter(|_| lengths[place] <= room) {
            Some(run) => run.push(place),
            None => {
                runs.push(vec![place]);
                room = TOKENS_AT_ONCE;
            }
        }
        room = room.saturating_sub(lengths[place]);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn texts_are_shared_out_by_length() {
        assert_eq!(runs(&[1000, 3, 1040, 5, 4000]), [vec![1, 3, 0, 2], vec![4]]);
        assert!(runs(&[]).is_empty());
    }
}
