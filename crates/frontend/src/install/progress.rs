//! Telling the caller how far an installation is. Worker threads write on a [`Board`]; the async
//! side looks at it a few times a second and reports changes.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;

/// How often the board is looked at: often enough to look alive, seldom enough to cost nothing.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Where an installation stands. `Display` gives a short line for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Looking for a Python with pip.
    FindingPip,
    /// pip is downloading; bytes on disk so far (0 while it asks the index).
    Downloading {
        /// Bytes on disk so far.
        bytes: u64,
    },
    /// Reading the wheel's metadata.
    Checking,
    /// Writing files, each checked against its checksum.
    Unpacking {
        /// Files written.
        done: u64,
        /// Files in all.
        total: u64,
    },
    /// Making the compressed variants.
    Compressing {
        /// Files compressed.
        done: u64,
        /// Files in all.
        total: u64,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::FindingPip => write!(f, "looking for pip"),
            Step::Downloading { bytes: 0 } => {
                write!(f, "downloading the web client: asking the package index")
            }
            Step::Downloading { bytes } => {
                write!(f, "downloading the web client: {:.1} MB", *bytes as f64 / 1e6)
            }
            Step::Checking => write!(f, "checking the wheel"),
            Step::Unpacking { done, total } => write!(f, "unpacking: {done} of {total} files"),
            Step::Compressing { done, total } => write!(f, "compressing: {done} of {total} files"),
        }
    }
}

/// Receives the steps of an installation, from one task, in order. Any `Fn(Step)` will do.
pub trait Progress: Send + Sync {
    /// Called at each new step and several times a second while numbers grow.
    fn report(&self, step: Step);
}

impl<F: Fn(Step) + Send + Sync> Progress for F {
    fn report(&self, step: Step) {
        self(step);
    }
}

/// The step that worker threads are at.
pub(super) struct Board(Mutex<Step>);

impl Board {
    pub(super) fn new(step: Step) -> Self {
        Self(Mutex::new(step))
    }

    pub(super) fn set(&self, step: Step) {
        *self.0.lock() = step;
    }

    fn get(&self) -> Step {
        *self.0.lock()
    }
}

/// Drives `work` to its end, reporting what stands on the board whenever it changes.
pub(super) async fn watch<T>(board: &Board, progress: &dyn Progress, work: impl Future<Output = T>) -> T {
    let mut reported = None;
    let mut report = || {
        let step = board.get();
        if reported != Some(step) {
            progress.report(step);
            reported = Some(step);
        }
    };
    let mut tick = tokio::time::interval(TICK);
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                report();
                return result;
            }
            _ = tick.tick() => report(),
        }
    }
}
