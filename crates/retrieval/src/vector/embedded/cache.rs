//! Vectors in memory, by collection, within a limit of bytes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::vector::matrix::Matrix;

pub(super) type Shared = Arc<RwLock<Matrix>>;

pub(super) struct Cache {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tick: u64,
    matrices: HashMap<i64, (u64, Shared)>,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: Mutex::default(),
        }
    }

    pub(super) fn get(&self, collection: i64) -> Option<Shared> {
        let mut kept = self.kept.lock();
        kept.tick += 1;
        let now = kept.tick;
        let (used, matrix) = kept.matrices.get_mut(&collection)?;
        *used = now;
        Some(matrix.clone())
    }

    pub(super) fn put(&self, collection: i64, matrix: Matrix) -> Shared {
        let matrix = Arc::new(RwLock::new(matrix));
        let mut kept = self.kept.lock();
        kept.tick += 1;
        let now = kept.tick;
        kept.matrices.insert(collection, (now, matrix.clone()));
        self.make_room(&mut kept, collection);
        matrix
    }

    /// Takes entries out of a collection and lets `add` put others in, when the collection is in memory.
    pub(super) fn change(&self, collection: i64, gone: &HashSet<i64>, add: impl FnOnce(&mut Matrix)) {
        let Some((_, matrix)) = self.kept.lock().matrices.get(&collection).cloned() else {
            return;
        };
        {
            let mut matrix = matrix.write();
            if !gone.is_empty() {
                matrix.remove(gone);
            }
            add(&mut matrix);
        }
        self.make_room(&mut self.kept.lock(), collection);
    }

    pub(super) fn forget(&self, collection: i64) {
        self.kept.lock().matrices.remove(&collection);
    }

    pub(super) fn clear(&self) {
        self.kept.lock().matrices.clear();
    }

    /// Lets go of the collections not used for the longest time, but not of the one in use.
    fn make_room(&self, kept: &mut Kept, in_use: i64) {
        let size = |kept: &Kept| -> usize {
            kept.matrices
                .values()
                .map(|(_, matrix)| matrix.read().size())
                .sum()
        };
        while kept.matrices.len() > 1 && size(kept) > self.limit {
            let oldest = kept
                .matrices
                .iter()
                .filter(|(id, _)| **id != in_use)
                .min_by_key(|(_, (used, _))| *used)
                .map(|(id, _)| *id);
            match oldest {
                Some(id) => kept.matrices.remove(&id),
                None => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_gives_way() {
        let filled = || {
            let mut matrix = Matrix::new(100);
            matrix.push(1, &[1.0; 100]);
            matrix
        };
        let cache = Cache::new(250);
        cache.put(1, filled());
        cache.put(2, filled());
        cache.get(1);
        cache.put(3, filled());
        assert!(cache.get(2).is_none());
        assert!(cache.get(1).is_some() && cache.get(3).is_some());
        cache.change(1, &HashSet::from([1]), |_| {});
        assert_eq!(cache.get(1).unwrap().read().size(), 0);
    }
}
