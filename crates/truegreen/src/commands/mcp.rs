//! `truegreen mcp`: what a running server knows, as read-only tools for programs that speak the Model Context Protocol.

#[cfg(feature = "mcp")]
mod bounded;
#[cfg(feature = "mcp")]
mod tools;

/// Offer findings, diagnoses, books and traces to an assistant, as read-only tools
///
/// Speaks the Model Context Protocol on standard input and output, and asks a running server; nothing is changed. To be
/// started by the assistant, for example with `{"command": "truegreen", "args": ["mcp"]}`. The server need not run when this
/// starts: each tool says where it cannot be reached.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
}

#[cfg(feature = "mcp")]
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    use anyhow::Context;
    use rmcp::ServiceExt;

    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let tools = tools::Tools::new(&args.url);
    let served = runtime.block_on(async {
        let hint =
            "the other side does not speak the Model Context Protocol\nhint: let an assistant start this command";
        tools.serve(rmcp::transport::stdio()).await.context(hint)?.waiting().await.context("the connection broke")
    });
    // A read of standard input cannot be taken back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    served.map(|_| 0)
}

#[cfg(not(feature = "mcp"))]
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let hint = "hint: released builds have them; else build with `--features mcp`";
    anyhow::bail!("this build has no tools for assistants to ask {} with\n{hint}", args.url)
}
