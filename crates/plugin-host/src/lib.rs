//! Tools and functions are Python source, so Python processes answer for them and run them. One answers questions about
//! sources: which class a source holds, what a model is told of its methods, what its settings look like and whether
//! values fit them. The others run plugins, one process for each. All are started when they are first needed, are
//! limited in time and memory, and are replaced when they die. [`environment`] makes the Python they may use. Where the sources come from and who may use them is not
//! decided here.

pub mod environment;
mod host;
mod runner;

pub use host::{Host, HostOptions, HostProblem, Inspection, Plugin, Which};
pub use runner::{Call, Facts, Method, Runner, Runners, Said};
