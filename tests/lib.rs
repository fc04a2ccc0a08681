//! Holds nothing: the tests of the whole server are in `it`.
