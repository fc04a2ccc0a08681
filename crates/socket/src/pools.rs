//! Who is here and which models are in use: the session pool and the usage pool, as traits and in
//! their in-memory kind.
//!
//! The methods do not wait. A kind that spans several processes keeps a mirror of the shared state
//! here, answers from it, and writes behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::{Mutex, RwLock};

/// A signed-in session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user it belongs to.
    pub user_id: String,
    /// Name of that user.
    pub name: String,
    /// Last sign of life, in seconds since the epoch.
    pub last_seen_at: i64,
    /// Saved chats that are open in it.
    pub chat_ids: BTreeSet<String>,
}

/// Signed-in sessions by session id.
pub trait SessionPool: Send + Sync + 'static {
    /// Adds or replaces a session.
    fn insert(&self, sid: &str, session: Session);
    /// Changes a session in place. False if there is none of that id.
    fn update(&self, sid: &str, change: &mut dyn FnMut(&mut Session)) -> bool;
    /// Removes a session.
    fn remove(&self, sid: &str) -> Option<Session>;
    /// The user of a session.
    fn user_of(&self, sid: &str) -> Option<String>;
    /// Shows every session to `visitor`, which must not call back into the pool.
    fn visit(&self, visitor: &mut dyn FnMut(&str, &Session));
}

/// Models in use, by the sessions that use them.
pub trait UsagePool: Send + Sync + 'static {
    /// The session uses the model at `now` (seconds).
    fn touch(&self, model_id: &str, sid: &str, now: i64);
    /// Forgets all uses of a session.
    fn forget(&self, sid: &str);
    /// Forgets uses from before `since` (seconds).
    fn expire(&self, since: i64);
    /// Ids of the models in use.
    fn models(&self) -> Vec<String>;
}

/// The session pool of a single process.
#[derive(Default)]
pub struct MemorySessions(RwLock<HashMap<String, Session>>);

impl SessionPool for MemorySessions {
    fn insert(&self, sid: &str, session: Session) {
        self.0.write().insert(sid.to_owned(), session);
    }

    fn update(&self, sid: &str, change: &mut dyn FnMut(&mut Session)) -> bool {
        self.0.write().get_mut(sid).map(change).is_some()
    }

    fn remove(&self, sid: &str) -> Option<Session> {
        self.0.write().remove(sid)
    }

    fn user_of(&self, sid: &str) -> Option<String> {
        self.0.read().get(sid).map(|session| session.user_id.clone())
    }

    fn visit(&self, visitor: &mut dyn FnMut(&str, &Session)) {
        for (sid, session) in self.0.read().iter() {
            visitor(sid, session);
        }
    }
}

/// The usage pool of a single process.
#[derive(Default)]
pub struct MemoryUsage(Mutex<BTreeMap<String, HashMap<String, i64>>>);

impl MemoryUsage {
    fn retain(&self, mut keep: impl FnMut(&str, i64) -> bool) {
        self.0.lock().retain(|_, uses| {
            uses.retain(|sid, seen| keep(sid, *seen));
            !uses.is_empty()
        });
    }
}

impl UsagePool for MemoryUsage {
    fn touch(&self, model_id: &str, sid: &str, now: i64) {
        self.0
            .lock()
            .entry(model_id.to_owned())
            .or_default()
            .insert(sid.to_owned(), now);
    }

    fn forget(&self, sid: &str) {
        self.retain(|user, _| user != sid);
    }

    fn expire(&self, since: i64) {
        self.retain(|_, seen| seen >= since);
    }

    fn models(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_in_use_until_its_last_use_is_stale() {
        let usage = MemoryUsage::default();
        usage.touch("a", "s1", 10);
        usage.touch("a", "s2", 12);
        usage.touch("b", "s1", 10);
        usage.expire(10);
        assert_eq!(usage.models(), ["a", "b"]);
        usage.expire(11);
        assert_eq!(usage.models(), ["a"]);
        usage.forget("s2");
        assert!(usage.models().is_empty());
    }

    #[test]
    fn sessions_change_in_place() {
        let sessions = MemorySessions::default();
        let session = Session {
            user_id: "u".into(),
            name: "n".into(),
            last_seen_at: 1,
            chat_ids: BTreeSet::new(),
        };
        assert!(!sessions.update("s", &mut |_| {}));
        sessions.insert("s", session.clone());
        assert!(sessions.update("s", &mut |session| session.last_seen_at = 5));
        assert_eq!(sessions.user_of("s").as_deref(), Some("u"));
        assert_eq!(
            sessions.remove("s"),
            Some(Session {
                last_seen_at: 5,
                ..session
            })
        );
        assert_eq!(sessions.user_of("s"), None);
    }
}
