//! Configuration: every variable and every configuration key, declared once.
//!
//! There are two kinds of configuration:
//!
//! - **Keys** can be changed by administrators while the server runs. Each is a typed static in `keys/*`
//!   ([`ui::ENABLE_SIGNUP`], [`rag::RAG_TOP_K`], ...) and has an environment variable, a row in table
//!   `config` and a default. [`Config`] holds their effective values.
//! - **Settings** are fixed at start-up. They are fields of [`Settings`], listed in `settings/*`.
//!
//! [`Environment`] is the only reader of `std::env`. Documents are generated: [`env_example`],
//! [`reference_page`]. The crate does no SQL, no network and no logging; it hands out what others need for
//! that.
//!
//! # Start-up
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use oui_config::{Config, Environment, Settings, repair, ui};
//!
//! # fn rows() -> BTreeMap<String, serde_json::Value> { BTreeMap::new() }
//! # fn main() -> Result<(), oui_config::StartupError> {
//! let environment = Environment::from_process()?;
//! // All problems at once; settings.warnings go to the log.
//! let settings = Settings::load(&environment)?;
//! // Open the database, migrate, delete all rows if settings.persistence.reset.
//! let stored = rows();
//! // Rows of older versions: write changes.set, delete changes.remove, read the rows again.
//! let changes = repair(&stored);
//! let config = Config::new(&environment, stored);
//! for (path, value) in config.defaults_to_seed() {
//!     // Insert the row.
//! }
//! // As the database gives them back: SQLite turns 0.0 into 0.
//! config.reset_to(rows());
//! if config.get(&ui::ENABLE_SIGNUP) {}
//! # Ok(())
//! # }
//! ```
//!
//! A change by an administrator: write [`Config::rows_to_write`], then [`Config::apply`] the whole change,
//! then tell other nodes, which read the rows and call [`Config::reset_to`].
//!
//! # Adding a key
//!
//! One line and its comment in the file of its section:
//!
//! ```ignore
//! /// What it does, as one sentence; it appears in `.env.example` and in the reference page.
//! pub static ENABLE_THING: Key<bool> = Key::bool("things.enable", false).unseeded();
//! ```
//!
//! The name of the static is the environment variable. The constructor gives the type: `bool`, `int`,
//! `float`, `text`, `optional_text`, `optional_int`, `loose_int` and `loose_float` (text in the environment,
//! a number once saved), `list` (commas), `json_list`, `array`, `object`, `json`. Then, as needed:
//!
//! - `.secret()`, `.or_env(&["OLDER_NAME"])`, `.no_env()`, `.positive()`, `.clamp(1, 9)`;
//! - `.check(function)` for JSON, `.from(function, &["OTHER_VARIABLE"])` for a value computed from several
//!   variables; the functions are in `derive`;
//! - `.unseeded()` for a key that the original does not have, so that a database stays the original's.
//!
//! A new section is a new file and its name in `keys::sections!`.
//!
//! # Adding a setting
//!
//! One line and its comment in a group of `settings/*`: `VARIABLE => pub field: Type = spec;`. The specs are
//! the functions of `settings::spec`; `.strict()` makes a wrong text stop the start, otherwise it is
//! replaced by the default and a warning.

mod derive;
mod docs;
mod dotenv;
mod environment;
mod error;
mod key;
mod keys;
mod legacy;
mod permissions;
mod providers;
mod python;
mod resolve;
mod secret;
pub mod settings;
mod store;
mod validate;
mod value;

pub use docs::{env_example, reference_page};
pub use environment::Environment;
pub use error::{Problem, StartupError};
pub use key::{Form, Key, Literal, Meta};
pub use keys::*;
pub use legacy::{Repair, repair};
pub use providers::unresolved_host as ollama_host_to_probe;
pub use secret::Secret;
pub use settings::{PYTHON_FOLDER, Settings};
pub use store::{Config, Snapshot};
pub use value::ConfigType;
