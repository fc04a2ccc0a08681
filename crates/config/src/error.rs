//! What can be wrong with the environment at start-up.
//!
//! Every problem names the variable and says how to put it right; all problems found are reported at once,
//! so that a wrong setup is corrected in one go. Nothing else of the crate fails: once the server runs,
//! configuration reads cannot error.

use std::fmt;

/// One thing wrong with one environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable as the operator wrote it (an alias, if that is the one that is set).
    pub variable: String,
    /// What is wrong, without the value if the variable is a secret.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem of `variable`.
    pub fn new(variable: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            variable: variable.into(),
            message: message.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}. {}", self.variable, self.message, self.fix)
    }
}

/// The environment does not allow a start. Displays one line per problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct StartupError(pub Vec<Problem>);

impl From<Problem> for StartupError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
