//! The command line of `oui`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use oui_config::{Environment, Settings};
use oui_core::Clock;
use oui_frontend::{InstallOptions, Step};
use oui_plugin_host::environment;
use tokio::net::TcpListener;

/// JSON and rows make very many small blocks, which are often freed by another thread than the one that made them:
/// what the C library's allocator is worst at.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The backend of Open WebUI, in one small binary.
#[derive(Parser)]
#[command(name = "oui", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API and the web client
    Serve {
        /// Address to listen on (default: HOST, else 0.0.0.0)
        #[arg(long)]
        host: Option<String>,
        /// Port to listen on (default: PORT, else 8080)
        #[arg(long)]
        port: Option<u16>,
    },
    /// Checks database, client, providers and folders, and says how to mend what is wrong
    Doctor,
    /// The official web client
    Frontend {
        #[command(subcommand)]
        command: FrontendCommand,
    },
    /// The Python that runs tools and functions
    Python {
        #[command(subcommand)]
        command: PythonCommand,
    },
    /// Second factors
    Mfa {
        #[command(subcommand)]
        command: MfaCommand,
    },
    /// Vectors of documents and memories
    Vectors {
        #[command(subcommand)]
        command: VectorsCommand,
    },
    /// Prints every route: method, path, policy, area, handler
    Routes,
    /// Prints a commented .env file with every variable
    EnvExample,
    /// Reads one document for the server
    #[command(hide = true)]
    ExtractWorker,
}

#[derive(Subcommand)]
enum PythonCommand {
    /// Makes a Python environment in the data folder, with the packages that most tools and functions need
    Install {
        /// Python to make it from (default: python3)
        #[arg(long)]
        python: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum MfaCommand {
    /// Takes the authenticator of somebody who lost it, and prints the ticket to set up another
    Reset {
        /// Address of the account
        email: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
enum VectorsCommand {
    /// Makes all vectors anew from the stored texts, for another vector store or another model
    Reindex,
}

#[derive(Subcommand)]
enum FrontendCommand {
    /// Downloads the client with your pip, or takes it from a wheel file, into the data folder
    Install {
        /// Wheel file to take it from
        #[arg(long)]
        wheel: Option<PathBuf>,
        /// Python to use for the download (default: python3)
        #[arg(long)]
        python: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::ExtractWorker) {
        return match oui_loaders::worker::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.into()),
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("the async runtime did not start")),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("oui: {error:#}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "these commands answer on standard output")]
async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve { host, port } => serve(host, port).await?,
        Command::Doctor => {
            let (environment, settings) = load()?;
            return Ok(oui_server::doctor::run(&environment, settings).await);
        }
        Command::Frontend {
            command: FrontendCommand::Install { wheel, python },
        } => {
            let (_, settings) = load()?;
            let data_dir = settings.server.data_dir;
            let options = InstallOptions {
                data_dir,
                wheel,
                python,
                ..InstallOptions::default()
            };
            let installed = oui_frontend::install(options, &show).await;
            if std::io::stderr().is_terminal() {
                eprintln!();
            }
            let installed = installed?;
            println!(
                "The client {} is in {}",
                installed.version,
                installed.dir.display()
            );
        }
        Command::Python {
            command: PythonCommand::Install { python },
        } => {
            let (_, settings) = load()?;
            let folder = settings.server.data_dir.join(oui_config::PYTHON_FOLDER);
            let python = python.unwrap_or_else(|| "python3".into());
            let plugins = &settings.plugins;
            let options = [&plugins.pip_options[..], &plugins.pip_index_options[..]].concat();
            eprintln!("Installing Python packages for tools and functions; this takes up to a minute.");
            let interpreter = environment::install(&folder, &python, &options).await?;
            println!("Tools and functions run with {}", interpreter.display());
        }
        Command::Mfa {
            command: MfaCommand::Reset { email, reason },
        } => {
            let (_, settings) = load()?;
            let ticket = oui_server::mfa::reset(settings, &email, &reason).await?;
            println!("Recovery token, good for 30 minutes; hand it to nobody but the account's owner:");
            println!("{ticket}");
        }
        Command::Vectors {
            command: VectorsCommand::Reindex,
        } => {
            let (environment, settings) = load()?;
            let done = oui_server::reindex(&environment, settings, Clock::system(), show_progress).await?;
            if std::io::stderr().is_terminal() {
                eprintln!();
            }
            println!("{} of {} done, {} failed", done.done, done.total, done.failed);
            if done.failed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Routes => oui_server::route_lines()
            .iter()
            .for_each(|line| println!("{line}")),
        // Answered before the runtime starts.
        Command::ExtractWorker => {}
        Command::EnvExample => print!("{}", oui_config::env_example()),
    }
    Ok(ExitCode::SUCCESS)
}

fn load() -> Result<(Environment, Settings)> {
    let environment = Environment::from_process()?;
    let settings = Settings::load(&environment)?;
    Ok((environment, settings))
}

async fn serve(host: Option<String>, port: Option<u16>) -> Result<()> {
    let (environment, mut settings) = load()?;
    if let Some(host) = host {
        settings.server.host = host;
    }
    if let Some(port) = port {
        settings.server.port = port;
    }
    oui_server::init_logging(&settings.logging);
    oui_loaders::worker::use_program(
        std::env::current_exe().context("the program does not know where it is")?,
    );
    for warning in environment.warnings() {
        tracing::warn!("{warning}");
    }
    let address = format!("{}:{}", settings.server.host, settings.server.port);
    let listener = TcpListener::bind(&address).await.with_context(|| {
        format!(
            "can not listen on {address}; another program may use the port: choose one with --port or PORT"
        )
    })?;
    let running = oui_server::start(&environment, settings, Clock::system()).await?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    oui_server::serve_until(listener, running, shutdown_signal()).await
}

async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// A bar on standard error.
fn show_progress(progress: oui_server::Progress) {
    if !std::io::stderr().is_terminal() {
        // A line for each tenth.
        let tenths = |done: usize| done * 10 / progress.total.max(1);
        if tenths(progress.done) > tenths(progress.done.saturating_sub(1)) {
            eprintln!("{}/{}", progress.done, progress.total);
        }
        return;
    }
    let width = 40;
    let filled = progress.done * width / progress.total.max(1);
    eprint!(
        "\r\x1b[K[{}{}] {}/{}",
        "#".repeat(filled),
        "-".repeat(width - filled),
        progress.done,
        progress.total
    );
}

/// Shows progress on standard error, on one line of the terminal; logs and pipes are spared it.
fn show(step: Step) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{step}");
    }
}
