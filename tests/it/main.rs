//! Tests of the whole server: real router, real databases, scripted provider.
#![expect(clippy::unwrap_used, reason = "a failure is the test's failure")]

mod access_matrix;
mod accounts;
mod attachments;
mod bench;
mod chats;
mod code;
mod conformance;
mod database;
mod durability;
mod errands;
mod existing;
mod files;
mod gateway;
mod news;
mod pages;
mod people;
mod pipelines;
mod plugins;
mod quotas;
mod retrieval;
mod roles;
mod sdk;
mod several_servers;
mod statements;
mod tools;
mod vectors_moved;
