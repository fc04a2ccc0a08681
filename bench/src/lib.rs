//! Load for a server of this kind: how fast it starts, how much memory it takes, how many requests and chats it
//! carries, and how late the words of many slow streams arrive. The same load runs against this server, the
//! reference and, for streams, the bare provider.
//!
//! The load generator shares the machine with what it measures, so it speaks HTTP over plain sockets
//! ([`http`]) on one thread and parses no more than it must.

pub mod http;
pub mod load;
pub mod process;
pub mod report;
pub mod scenarios;
pub mod site;
pub mod tab;
