//! What several tools for documents take alike.

use crate::builtin::spec::{Parameter, Shape, default, optional, required};

/// Parameters of the tools that read a document.
pub(in crate::builtin) const VIEW: [Parameter; 6] = [
    required("file_id", Shape::Text, "Id of the document."),
    default("offset", Shape::Int, "0", "Character to begin at."),
    default("max_chars", Shape::Int, "10000", "How many characters at most."),
    default(
        "line_numbers",
        Shape::Flag,
        "false",
        "Whether lines are numbered.",
    ),
    optional(
        "start_line",
        Shape::Int,
        "Line to begin at, instead of offset; counted from 1.",
    ),
    optional("end_line", Shape::Int, "Last line; counted from 1."),
];

/// Parameters of the tools that find lines.
pub(in crate::builtin) const GREP: [Parameter; 4] = [
    required("pattern", Shape::Text, "Text or regular expression."),
    optional("file_id", Shape::Text, "Look only in this document."),
    default(
        "case_insensitive",
        Shape::Flag,
        "false",
        "Whether case does not matter.",
    ),
    default(
        "count_only",
        Shape::Flag,
        "false",
        "Whether to tell only how many lines each document has.",
    ),
];

/// Parameters of the tools that find documents by name.
pub(in crate::builtin) const SEARCH: [Parameter; 4] = [
    required("query", Shape::Text, "Part of the file name."),
    optional("knowledge_id", Shape::Text, "Look only in this knowledge base."),
    default("count", Shape::Int, "5", "How many at most."),
    default("skip", Shape::Int, "0", "How many to leave out before the first."),
];

/// Parameters of the tools that find passages.
pub(in crate::builtin) const QUERY: [Parameter; 3] = [
    required("query", Shape::Text, "What is looked for, in plain words."),
    optional(
        "knowledge_ids",
        Shape::Texts,
        "Look only in these knowledge bases.",
    ),
    default("count", Shape::Int, "5", "How many passages at most."),
];
