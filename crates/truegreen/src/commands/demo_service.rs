//! The hidden command by which the demo starts its services, each in a process of its own.

use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    role: String,
    #[arg(long)]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(truegreen_demo::serve_role(&args.role, &args.config));
    // Dropping it would wait for requests that never end.
    runtime.shutdown_background();
    served?;
    Ok(0)
}
