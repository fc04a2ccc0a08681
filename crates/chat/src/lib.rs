//! The completion pipeline.
