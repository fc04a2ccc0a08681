//! The command line: starts provider and servers, runs the scenarios one after the other, prints the table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use oui_bench::load::{Effort, percentile};
use oui_bench::process::{Program, Server};
use oui_bench::report::{Figures, table};
use oui_bench::scenarios::{reads, slow, soak, sse, stop, web};
use oui_bench::site::{CLOCK_MODEL, Extent, Site};

/// Words of a fast reply.
const WORDS: usize = 50;
/// Words of a slow one: at 50 a second, enough for all streams to run side by side for a while.
const SLOW_WORDS: usize = 500;
/// Time before memory is looked at, for everything that a start leaves to do.
const IDLE: Duration = Duration::from_secs(5);
/// Load of a minute of `soak`: so long as fast as it goes, then so many slow replies.
const SOAK_TIME: Duration = Duration::from_secs(5);
const SOAK_STREAMS: usize = 208;
const SECRET: &str = "bench-secret-of-at-least-32-bytes";

/// Measures this server and the reference under the same load on this machine.
#[derive(Debug, Parser)]
#[command(name = "oui-bench")]
struct Options {
    /// The server's program; none leaves it out
    #[arg(long)]
    oui: Option<PathBuf>,
    /// The script that runs the reference; none leaves it out
    #[arg(long)]
    reference: Option<PathBuf>,
    /// The scripted provider's program
    #[arg(long)]
    provider: PathBuf,
    /// Seconds that each load is counted
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Only these scenarios: reads, sse, web, slow, stop, soak
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Minutes of the scenario `soak`, which runs only when it is named
    #[arg(long, default_value_t = 30)]
    minutes: usize,
    /// Keeps the figures in this file
    #[arg(long)]
    save: Option<PathBuf>,
    /// Takes the reference's figures from a file that an earlier run has kept
    #[arg(long)]
    against: Option<PathBuf>,
    /// Folder for databases and logs, kept afterwards (default: one that is removed)
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl Options {
    fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == scenario)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    // One thread: the other processors belong to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(options))
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
async fn run(options: Options) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let providers = Providers {
        fast: Server::start(&fast_provider(&options), &folder.join("provider")).await?,
        slow: Server::start(&slow_provider(&options), &folder.join("slow-provider")).await?,
    };
    let (mut ours, mut reference) = (Figures::default(), Figures::default());
    if let Some(path) = &options.against {
        let text = std::fs::read_to_string(path)?;
        [_, reference] = serde_json::from_str::<[Figures; 2]>(&text).context("no figures")?;
    }
    if let Some(oui) = &options.oui {
        let command = [
            &oui.to_string_lossy(),
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        ]
        .map(str::to_owned);
        let program = server_program(command.to_vec(), &providers);
        ours = measure(&options, &program, &providers, &folder.join("ours"), true)
            .await
            .context("ours")?;
    }
    if let Some(script) = &options.reference {
        let command = [&script.to_string_lossy(), "serve", "{port}", "{data}"].map(str::to_owned);
        let program = server_program(command.to_vec(), &providers);
        reference = measure(&options, &program, &providers, &folder.join("reference"), false)
            .await
            .context("the reference")?;
    }
    print!("\n{}", table(&ours, &reference));
    if let Some(path) = &options.save {
        std::fs::write(path, serde_json::to_string_pretty(&[ours, reference])?)?;
    }
    Ok(())
}

/// Two instances of the scripted provider.
struct Providers {
    /// Answers as fast as it can.
    fast: Server,
    /// Says the time 50 times a second.
    slow: Server,
}

fn fast_provider(options: &Options) -> Program {
    provider(options, &["--chunks", &WORDS.to_string()])
}

fn slow_provider(options: &Options) -> Program {
    let words = SLOW_WORDS.to_string();
    provider(
        options,
        &[
            "--models",
            CLOCK_MODEL,
            "--times",
            "--delay-ms",
            "20",
            "--chunks",
            &words,
        ],
    )
}

fn provider(options: &Options, arguments: &[&str]) -> Program {
    let mut command = vec![options.provider.to_string_lossy().into_owned()];
    command.extend(
        ["--port", "{port}"]
            .iter()
            .chain(arguments)
            .map(|word| (*word).to_owned()),
    );
    Program {
        command,
        variables: Vec::new(),
        ready: "/v1/models",
        patience: Duration::from_secs(10),
    }
}

fn server_program(command: Vec<String>, providers: &Providers) -> Program {
    let urls = format!(
        "http://{}/v1;http://{}/v1",
        providers.fast.address, providers.slow.address
    );
    let variables = [
        ("DATA_DIR", "{data}"),
        ("WEBUI_SECRET_KEY", SECRET),
        ("OPENAI_API_BASE_URLS", &urls),
        ("OPENAI_API_KEYS", "sk-fast;sk-slow"),
        ("ENABLE_OLLAMA_API", "false"),
        ("OFFLINE_MODE", "true"),
        ("CORS_ALLOW_ORIGIN", "*"),
        ("BYPASS_MODEL_ACCESS_CONTROL", "true"),
    ];
    Program {
        command,
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ready: "/health",
        patience: Duration::from_secs(300),
    }
}

fn say(text: &str) {
    eprintln!("bench: {text}");
}

/// All figures of one server. What only ours promises is measured for ours only.
async fn measure(
    options: &Options,
    program: &Program,
    providers: &Providers,
    data: &Path,
    is_ours: bool,
) -> Result<Figures> {
    let effort = Effort::full(Duration::from_secs_f64(options.seconds), SLOW_WORDS);
    let mut figures = Figures::default();
    let name = program.command.first().map(String::as_str).unwrap_or_default();
    say(&format!("starting {name}"));
    let server = Server::start(program, data).await?;
    figures.add("start to /health, ms", server.start.as_secs_f64() * 1000.0);
    tokio::time::sleep(IDLE).await;
    figures.add("idle memory, MB", server.memory()?);
    say("making people and chats");
    let site = Site::prepare(server.address, Extent::FULL).await?;
    if options.wants("reads") {
        say("reads");
        reads::run(&site, &effort, &mut figures).await.context("reads")?;
    }
    if options.wants("sse") {
        say("SSE chats");
        let bare = sse::run(providers.fast.address, sse::PROVIDER_PATH, &[], WORDS, &effort).await?;
        let before = server.processor()?;
        let through = sse::run(site.address, sse::SERVER_PATH, &site.tokens, WORDS, &effort).await?;
        let spent = server.processor()? - before;
        figures.add("SSE chats/s", through.per_second);
        figures.add("SSE chats, first word p50 ms", through.first(50.0));
        figures.add("SSE chats, p99 ms", through.whole(99.0));
        figures.add(
            "bare provider's chats/s to ours",
            bare.per_second / through.per_second,
        );
        if is_ours {
            figures.add("bare provider, chats/s", bare.per_second);
            let chats = through.per_second * (effort.warm_up + effort.time).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "50")]
            let words = chats * WORDS as f64;
            figures.add("processor time per SSE word, us", spent * 1e6 / words);
        }
    }
    if options.wants("web") {
        say("web chats");
        let through = web::run(&site, WORDS, &effort).await.context("web chats")?;
        figures.add("web chats/s", through.per_second);
        figures.add("web chats, first word p50 ms", through.first(50.0));
        figures.add("web chats, first word p99 ms", through.first(99.0));
        figures.add("web chats, p99 ms", through.whole(99.0));
    }
    if is_ours && options.wants("slow") {
        many_streams(&site, providers, &server, &effort, &mut figures).await?;
    }
    if options.only.iter().any(|only| only == "soak") {
        say("soak");
        let effort = Effort {
            time: SOAK_TIME,
            streams: SOAK_STREAMS,
            ..effort
        };
        let memory = soak::run(&site, &server, options.minutes, WORDS, &effort).await?;
        for (minute, megabytes) in memory.iter().enumerate() {
            say(&format!("minute {}: {megabytes:.1} MB", minute + 1));
        }
        let (first, second) = memory.split_at(memory.len() / 2);
        let most = |half: &[f64]| half.iter().copied().fold(0.0, f64::max);
        figures.add("soak, most memory in the first half, MB", most(first));
        figures.add("soak, most memory in the second half, MB", most(second));
    }
    figures.add("memory after the load, MB", server.memory()?);
    let server = if is_ours && options.wants("stop") {
        say("SIGTERM");
        stop::run(server, program, data, &site, &mut figures)
            .await
            .context("stop")?
    } else {
        server
    };
    figures.add(
        "SIGTERM while idle, ms",
        server.stop().await?.as_secs_f64() * 1000.0,
    );
    Ok(figures)
}

/// Memory and delays under very many slow streams, of both kinds.
async fn many_streams(
    site: &Site,
    providers: &Providers,
    server: &Server,
    effort: &Effort,
    figures: &mut Figures,
) -> Result<()> {
    say("1000 streams from the provider");
    let bare = slow::sse(providers.slow.address, sse::PROVIDER_PATH, &[], effort).await?;
    let bare = percentile(bare, 99.0);
    figures.add("1000 streams of the provider, p99 ms", bare);
    say("1000 SSE streams");
    let streams = slow::sse(site.address, sse::SERVER_PATH, &site.tokens, effort);
    let (delays, memory) = watched(server, streams).await?;
    figures.add("1000 SSE streams, added p99 ms", percentile(delays, 99.0) - bare);
    figures.add("1000 SSE streams, memory MB", memory);
    say("1000 web streams");
    let (delays, memory) = watched(server, slow::web(site, effort)).await?;
    figures.add("1000 web streams, added p99 ms", percentile(delays, 99.0) - bare);
    figures.add("1000 web streams, memory MB", memory);
    Ok(())
}

/// The most memory that the server takes while something runs.
async fn watched<T>(server: &Server, work: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let mut most: f64 = 0.0;
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok((done?, most)),
            _ = looks.tick() => most = most.max(server.memory()?),
        }
    }
}
