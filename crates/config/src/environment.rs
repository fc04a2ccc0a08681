//! A snapshot of the process environment and of the `.env` file: the only place that reads `std::env`.
//!
//! What the variables mean is decided elsewhere (`keys`, `settings`); here they are only collected. Tests
//! build an [`Environment`] from a map and touch no process state.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::dotenv;
use crate::error::{Problem, StartupError};
use crate::python;

/// Variables of the process, completed by a `.env` file, frozen at start-up.
#[derive(Debug, Clone)]
pub struct Environment {
    values: BTreeMap<String, String>,
    directory: PathBuf,
    ollama_port: Option<u16>,
    warnings: Vec<String>,
}

impl Environment {
    /// The variables of this process and of `.env` in the working directory, if there is one.
    ///
    /// The original reads exactly one file, `.env` in the root of its checkout; here that is the directory
    /// the server is started in. A variable of the process wins over the file, even when it is empty.
    ///
    /// # Errors
    /// The working directory or an existing `.env` cannot be read.
    pub fn from_process() -> Result<Self, StartupError> {
        let directory = std::env::current_dir().map_err(|error| {
            Problem::new(
                "PWD",
                format!("is not readable: {error}"),
                "Start the server in an existing folder.",
            )
        })?;
        let path = directory.join(".env");
        let process = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect();
        Self::assemble(process, directory, &path)
    }

    /// The given variables and nothing else; relative paths start at the current directory.
    pub fn from_map<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            values: values
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: PathBuf::from("."),
            ollama_port: None,
            warnings: Vec::new(),
        }
    }

    /// No variables at all: every key and setting has its declared default.
    pub fn empty() -> Self {
        Self::from_map::<String, String>([])
    }

    /// The same variables with relative paths starting at `directory`.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// The same variables with one more, which replaces an earlier value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Records which port an Ollama server on the default address answers at, see
    /// [`crate::ollama_host_to_probe`].
    #[must_use]
    pub fn with_ollama_port(mut self, port: u16) -> Self {
        self.ollama_port = Some(port);
        self
    }

    fn assemble(
        process: BTreeMap<String, String>,
        directory: PathBuf,
        file: &Path,
    ) -> Result<Self, StartupError> {
        let mut environment = Self::from_map(process).in_directory(directory);
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(environment),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                let fix = "Make the file readable for the server, save it as UTF-8, or remove it.";
                return Err(Problem::new(file.display().to_string(), message, fix).into());
            }
        };
        let parsed = dotenv::parse(&text, &environment.values);
        for (name, value) in parsed.values {
            environment.values.entry(name).or_insert(value);
        }
        environment.warnings = parsed
            .bad_lines
            .iter()
            .map(|line| {
                format!(
                    "{}: line {line} is not NAME=value and was skipped",
                    file.display()
                )
            })
            .collect();
        Ok(environment)
    }

    /// The text of a variable; `None` if it is not set. An empty text is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The text of a variable; `None` if it is not set or empty.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The first of several names that is set, with its text.
    pub fn first<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<(&'n str, &str)> {
        names
            .into_iter()
            .find_map(|name| self.get(name).map(|value| (name, value)))
    }

    /// Whether a variable says `true` (any case); `default` if it is not set.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, python::is_true)
    }

    /// Where relative paths start.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lines of `.env` that could not be read, as sentences for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn ollama_port(&self) -> Option<u16> {
        self.ollama_port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(file: Option<&str>) -> Environment {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let process = BTreeMap::from([
            ("A".to_owned(), "process".to_owned()),
            ("B".to_owned(), String::new()),
        ]);
        Environment::assemble(process, folder.path().to_owned(), &path).unwrap()
    }

    #[test]
    fn the_process_wins_over_the_file() {
        let environment = assemble(Some("A=file\nB=file\nC=first\nC=${A}\n= bad\n"));
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some(""));
        assert_eq!(environment.non_empty("B"), None);
        assert_eq!(environment.get("C"), Some("process"));
        assert_eq!(environment.warnings().len(), 1);
        assert!(
            environment.warnings()[0].contains("line 5"),
            "{:?}",
            environment.warnings()
        );
    }

    #[test]
    fn a_missing_file_is_fine_and_an_unreadable_one_is_not() {
        assert_eq!(assemble(None).get("C"), None);
        let folder = tempfile::tempdir().unwrap();
        let error =
            Environment::assemble(BTreeMap::new(), folder.path().to_owned(), folder.path()).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn the_first_name_that_is_set_counts_even_if_empty() {
        let environment = Environment::from_map([("NEW", ""), ("OLD", "x")]);
        assert_eq!(environment.first(["NEW", "OLD"]), Some(("NEW", "")));
        assert!(!environment.flag("NEW", true));
        assert!(environment.flag("OTHER", true));
    }
}
