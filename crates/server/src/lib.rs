//! Start-up and mounting: settings become services, services become an application, the tables of the router
//! crates become routes under the middleware. No rules and no handlers of the API live here.

mod audit;
mod backend;
pub mod database;
pub mod doctor;
mod kept_files;
mod listen;
mod logging;
pub mod mfa;
mod middleware;
mod notifier;
mod peers;
mod routes;
mod services;

pub use listen::serve_until;
pub use logging::init as init_logging;
pub use oui_retrieval::Progress;
pub use routes::{areas, route_lines};
pub use services::{Running, reindex, start};
