//! The running tasks: which there are, to which chat each belongs, and how to stop one.

use oui_core::boxed;
use std::collections::HashMap;

use indexmap::IndexMap;
use oui_core::ids;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Entry {
    item: String,
    user_id: String,
    cancel: CancellationToken,
    finished: watch::Receiver<bool>,
}

/// Tasks by id, in the order of their start.
#[derive(Default)]
pub struct TaskRegistry {
    tasks: Mutex<IndexMap<String, Entry>>,
}

/// Held by a running task; dropping it takes the task off the list.
pub struct TaskGuard<'r> {
    registry: &'r TaskRegistry,
    id: String,
    finished: watch::Sender<bool>,
}

impl Drop for TaskGuard<'_> {
    fn drop(&mut self) {
        self.registry.tasks.lock().shift_remove(&self.id);
        self.finished.send_replace(true);
    }
}

/// A place on the list for a task that is about to start.
pub struct Ticket {
    /// Task id.
    pub id: String,
    /// Fires when the task is to stop.
    pub cancel: CancellationToken,
    finished: watch::Sender<bool>,
}

impl TaskRegistry {
    /// Puts a task on the list before it starts, so that it can be found and stopped at once. `item` is a chat id.
    pub fn register(&self, id: Option<String>, item: &str, user_id: &str) -> Ticket {
        let id = id.unwrap_or_else(ids::uuid);
        let cancel = CancellationToken::new();
        let (sender, finished) = watch::channel(false);
        let entry = Entry {
            item: item.to_owned(),
            user_id: user_id.to_owned(),
            cancel: cancel.clone(),
            finished,
        };
        self.tasks.lock().insert(id.clone(), entry);
        Ticket {
            id,
            cancel,
            finished: sender,
        }
    }

    /// Turns the ticket into the guard that the task holds while it runs.
    pub fn start(&self, ticket: Ticket) -> (TaskGuard<'_>, CancellationToken) {
        (
            TaskGuard {
                registry: self,
                id: ticket.id,
                finished: ticket.finished,
            },
            ticket.cancel,
        )
    }

    /// Ids of all tasks.
    pub fn all(&self) -> Vec<String> {
        self.tasks.lock().keys().cloned().collect()
    }

    /// Ids of the tasks of a chat; with `user_id`, only of those that this user started.
    pub fn of(&self, item: &str, user_id: Option<&str>) -> Vec<String> {
        let tasks = self.tasks.lock();
        let wanted = tasks
            .iter()
            .filter(|(_, entry)| entry.item == item && user_id.is_none_or(|id| entry.user_id == id));
        wanted.map(|(id, _)| id.clone()).collect()
    }

    /// Number of running tasks by chat.
    pub fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for entry in self.tasks.lock().values() {
            *counts.entry(entry.item.clone()).or_default() += 1;
        }
        counts
    }

    /// Stops a task and waits until it has saved what it had. `false` when there is no such task.
    #[boxed]
    pub async fn stop(&self, id: &str) -> bool {
        let found = {
            let tasks = self.tasks.lock();
            tasks
                .get(id)
                .map(|entry| (entry.cancel.clone(), entry.finished.clone()))
        };
        let Some((cancel, mut finished)) = found else {
            return false;
        };
        cancel.cancel();
        // An error means that the task is gone already.
        let _ = finished.wait_for(|done| *done).await;
        true
    }

    /// What fires when a task is stopped.
    pub fn cancelling(&self, id: &str) -> Option<CancellationToken> {
        self.tasks.lock().get(id).map(|entry| entry.cancel.clone())
    }

    /// Waits until a task has ended by itself. Returns at once when there is no such task.
    #[boxed]
    pub async fn finished(&self, id: &str) {
        let finished = self.tasks.lock().get(id).map(|entry| entry.finished.clone());
        if let Some(mut finished) = finished {
            // An error means that the task is gone already.
            let _ = finished.wait_for(|done| *done).await;
        }
    }

    /// Stops all tasks of a chat.
    #[boxed]
    pub async fn stop_of(&self, item: &str) {
        let ids = self.of(item, None);
        futures::future::join_all(ids.iter().map(|id| self.stop(id))).await;
    }

    /// Stops everything, as at shutdown.
    #[boxed]
    pub async fn stop_all(&self) {
        let ids = self.all();
        futures::future::join_all(ids.iter().map(|id| self.stop(id))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_stopped_task_is_waited_for() {
        let registry = Arc::new(TaskRegistry::default());
        let ticket = registry.register(None, "chat", "u");
        let id = ticket.id.clone();
        assert_eq!(registry.of("chat", Some("u")), std::slice::from_ref(&id));
        assert!(registry.of("chat", Some("other")).is_empty());
        let running = registry.clone();
        let task = tokio::spawn(async move {
            let (_guard, cancel) = running.start(ticket);
            cancel.cancelled().await;
        });
        assert!(registry.stop(&id).await);
        task.await.unwrap();
        assert!(registry.all().is_empty());
        assert!(!registry.stop(&id).await);
    }
}
