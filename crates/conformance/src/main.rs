//! Command line of the conformance tool: `record`, `replay`, `coverage`, `list`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reports go to the terminal"
)]

use std::{io::Read, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use futures::{StreamExt, stream};
use oui_conformance::{
    Golden, Scenario, Suite, Verdict, coverage, provider_settings, record, reference, replay, start_provider,
};
use oui_fake_provider::FakeProvider;

/// Records scenarios from the reference server and replays them against another one.
#[derive(Parser)]
#[command(name = "oui-conformance")]
struct Cli {
    /// The folder with scenarios and golden files.
    #[arg(long, default_value = "conformance", global = true)]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays scenarios on fresh reference servers and writes the golden files.
    Record(Record),
    /// Plays scenarios on another server and reports every difference.
    Replay(Replay),
    /// Shows which operations are routed and covered by scenarios.
    Coverage(CoverageArgs),
    /// Lists the scenarios.
    List,
}

#[derive(Args)]
struct Record {
    /// Only these areas or scenarios (`auths`, `auths/sign-in`).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the reference is installed, instead of ~/.cache/oui-reference.
    #[arg(long)]
    reference_home: Option<PathBuf>,
    /// How many servers run at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Compares with the golden files instead of writing them: a recording must repeat itself.
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct Replay {
    /// Only these areas or scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A running server with an empty database and the profile's environment; plays one scenario.
    #[arg(long, conflicts_with = "launch")]
    base_url: Option<String>,
    /// Where the provider of that server is, or shall be started if nothing listens there.
    #[arg(long, default_value = "http://127.0.0.1:9100")]
    provider_url: String,
    /// A program that serves on `PORT` with `DATA_DIR`; started anew for every scenario.
    #[arg(long)]
    launch: Option<PathBuf>,
}

#[derive(Args)]
struct CoverageArgs {
    /// A file with our routes, `METHOD path` a line; `-` for stdin.
    #[arg(long)]
    routes: Option<PathBuf>,
    /// Only the table.
    #[arg(long)]
    brief: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<bool> {
    let suite = Suite::load(&cli.folder)?;
    Ok(match cli.command {
        Command::Record(args) => record_all(suite, args, &cli.folder).await?,
        Command::Replay(args) => replay_all(&suite, args).await?,
        Command::Coverage(args) => show_coverage(&suite, &args, &cli.folder)?,
        Command::List => {
            for scenario in &suite.scenarios {
                println!(
                    "{:<44} {:<14} {}",
                    scenario.id(),
                    scenario.profile,
                    scenario.about
                );
            }
            true
        }
    })
}

fn selected(suite: &Suite, only: &[String]) -> Result<Vec<Scenario>> {
    let scenarios: Vec<Scenario> = suite.select(only).cloned().collect();
    if scenarios.is_empty() {
        bail!("no scenario is called {}", only.join(", "));
    }
    Ok(scenarios)
}

async fn record_all(suite: Suite, args: Record, folder: &std::path::Path) -> Result<bool> {
    let script = folder.join("reference.sh").canonicalize()?;
    let host = Arc::new(reference::Host::start(&script, args.reference_home.as_deref()).await?);
    let suite = Arc::new(suite);
    let scenarios = selected(&suite, &args.only)?;
    let runs = stream::iter(scenarios).map(|scenario| {
        let (suite, host) = (Arc::clone(&suite), Arc::clone(&host));
        async move {
            let start = Instant::now();
            let outcome = record_one(&suite, &host, &scenario, args.check).await;
            match &outcome {
                Ok(text) => println!("{}: {text}, {} s", scenario.id(), start.elapsed().as_secs()),
                Err(error) => println!("{}: FAILED: {error:#}", scenario.id()),
            }
            outcome.is_ok()
        }
    });
    let outcomes: Vec<bool> = runs.buffer_unordered(args.jobs.max(1)).collect().await;
    Ok(outcomes.into_iter().all(|good| good))
}

async fn record_one(
    suite: &Suite,
    host: &reference::Host,
    scenario: &Scenario,
    check: bool,
) -> Result<String> {
    let provider = start_provider().await;
    let url = provider.ollama_url();
    let server = host.serve(&suite.environment(scenario, &url)?).await?;
    let outcome = if check {
        let report = replay::check(&suite.golden(), &server.base_url, &url, scenario).await;
        if report.is_same() {
            Ok("repeats itself".to_owned())
        } else {
            Err(anyhow::anyhow!("{report}"))
        }
    } else {
        record_to_file(suite, &server.base_url, &url, scenario).await
    };
    let outcome = outcome.map_err(|error| {
        let log = server.log();
        if check {
            error
        } else {
            anyhow::anyhow!("{error:#}\n{log}")
        }
    });
    host.stop(server).await?;
    provider.stop().await;
    outcome
}

async fn record_to_file(
    suite: &Suite,
    base_url: &str,
    provider_url: &str,
    scenario: &Scenario,
) -> Result<String> {
    let golden: Golden = record(base_url, provider_url, scenario).await?;
    golden.store(&suite.golden(), scenario)?;
    Ok(format!("{} steps", golden.steps.len()))
}

async fn replay_all(suite: &Suite, args: Replay) -> Result<bool> {
    let scenarios = selected(suite, &args.only)?;
    if let Some(base_url) = &args.base_url {
        if scenarios.len() > 1 {
            bail!(
                "one running server can play one scenario, because each needs an empty database; use --only or --launch"
            );
        }
        let provider = provider_at(&args.provider_url).await?;
        let verdict = suite.check(&scenarios[0], base_url, &args.provider_url).await;
        drop(provider);
        print!("{verdict}");
        return Ok(verdict.is_good());
    }
    let program = args.launch.context("one of --base-url and --launch is needed")?;
    let mut good = true;
    for scenario in &scenarios {
        let verdict = replay_launched(suite, &program, scenario).await?;
        print!("{verdict}");
        good &= verdict.is_good();
    }
    Ok(good)
}

/// Starts a provider at this address, unless one is there already.
async fn provider_at(url: &str) -> Result<Option<FakeProvider>> {
    let host = url
        .split_once("://")
        .map_or(url, |(_, host)| host)
        .trim_end_matches('/');
    let address: SocketAddr = host
        .parse()
        .with_context(|| format!("{url} is not an address of this machine"))?;
    Ok(FakeProvider::bind(address, provider_settings()).await.ok())
}

async fn replay_launched(suite: &Suite, program: &std::path::Path, scenario: &Scenario) -> Result<Verdict> {
    let provider = start_provider().await;
    let url = provider.ollama_url();
    let server = reference::Launched::start(program, &suite.environment(scenario, &url)?).await?;
    let verdict = suite.check(scenario, &server.base_url, &url).await;
    server.stop().await;
    provider.stop().await;
    Ok(verdict)
}

fn show_coverage(suite: &Suite, args: &CoverageArgs, folder: &std::path::Path) -> Result<bool> {
    let text = match &args.routes {
        Some(file) if file.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text)
        }
        Some(file) => Some(std::fs::read_to_string(file)?),
        None => None,
    };
    let routes = text.as_deref().map(coverage::routes);
    let operations = coverage::operations(&folder.join("data/endpoints.tsv"))?;
    let mut report = coverage::report(operations, routes.as_deref(), &suite.scenarios, &suite.golden());
    report.detailed = !args.brief;
    print!("{report}");
    Ok(true)
}
