//! What a router crate remembers per application: finished answers, rate limits. One value per type, made at
//! the first use, so that no crate needs a static.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// Values by their type.
#[derive(Default)]
pub(crate) struct Memo(RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Memo {
    /// The value of type `T`, made now if it is the first use.
    pub(crate) fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let id = TypeId::of::<T>();
        let known = self.0.read().get(&id).cloned();
        let value = known.unwrap_or_else(|| {
            self.0
                .write()
                .entry(id)
                .or_insert_with(|| Arc::<T>::default())
                .clone()
        });
        // The map holds a value of type T under its id and nothing else.
        value.downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_type_has_one_value() {
        let memo = Memo::default();
        memo.get::<AtomicU32>().store(7, Ordering::SeqCst);
        assert_eq!(memo.get::<AtomicU32>().load(Ordering::SeqCst), 7);
        assert!(memo.get::<String>().is_empty());
    }
}
