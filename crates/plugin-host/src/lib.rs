//! Tools and functions are Python source, so a Python process answers for them: which class a source holds, what a
//! model is told of its methods, what its settings look like and whether values fit them. The process is a child
//! that is started when it is first needed, is limited in time and memory, and is replaced when it dies. Where the
//! sources come from and who may change them is not decided here.

mod host;

pub use host::{Host, HostOptions, HostProblem, Inspection, Plugin, Which};
