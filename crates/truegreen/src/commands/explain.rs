//! `truegreen explain`.

use std::io::Write;
use std::path::PathBuf;

use truegreen_engine::flow::describe;

use super::serve;

/// Tell in plain words what contracts promise
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder of contracts (*.yaml), or one of them
    #[arg(value_name = "DIR")]
    flows: PathBuf,
    /// Only this flow
    #[arg(value_name = "FLOW")]
    flow: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let flows = serve::load(&args.flows)?;
    let wanted: Vec<_> = flows.iter().filter(|flow| args.flow.as_ref().is_none_or(|name| *name == flow.name)).collect();
    if let (Some(name), true) = (&args.flow, wanted.is_empty()) {
        let names: Vec<_> = flows.iter().map(|flow| flow.name.as_str()).collect();
        anyhow::bail!("no flow is called {name:?}\nhint: there are {}", names.join(", "));
    }
    let mut out = anstream::stdout();
    for (n, flow) in wanted.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        write!(out, "{}", describe(flow))?;
    }
    Ok(0)
}
