//! The command line: one instance of the provider, for browsers, recordings and benchmarks.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Parser;
use oui_fake_provider::{CATALOGUE, FakeProvider, ListedModel, Settings};

/// A scripted LLM provider in the shapes of OpenAI and Ollama.
#[derive(Debug, Parser)]
#[command(name = "oui-fake-provider", after_help = models_help())]
struct Options {
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 chooses a free one. The address is printed when it is ready.
    #[arg(long, default_value_t = 9099)]
    port: u16,
    /// Chunks of the fixed text.
    #[arg(long, default_value_t = 50)]
    chunks: usize,
    /// Milliseconds before each chunk, for models without a pace of their own.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Says the time of sending, in microseconds since 1970, as every chunk of the fixed text.
    #[arg(long)]
    times: bool,
    /// Threads that serve.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Requests kept for GET /__fake/requests; none unless asked for.
    #[arg(long, default_value_t = 0)]
    keep: usize,
    /// The models to list, each `id` or `id=name` of a model below.
    #[arg(long, value_delimiter = ',', default_values = CATALOGUE.iter().map(|entry| entry.id))]
    models: Vec<ListedModel>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(options.workers))
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        models: options.models,
        chunks: options.chunks,
        pause: Duration::from_millis(options.delay_ms),
        think: Duration::ZERO,
        times: options.times,
        keep: options.keep,
    };
    let mut provider = FakeProvider::bind(SocketAddr::new(options.host, options.port), settings).await?;
    writeln!(io::stdout(), "listening on {}", provider.ollama_url())?;
    provider.wait().await;
    Ok(())
}

fn models_help() -> String {
    let mut help = String::from("Models:\n");
    for entry in CATALOGUE {
        // Writing into a string does not fail.
        let _written = writeln!(help, "  {:<16} {}", entry.id, entry.summary);
    }
    help
}
