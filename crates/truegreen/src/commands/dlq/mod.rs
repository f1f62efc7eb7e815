//! `truegreen dlq`: dead letters, straight at the systems and without a running server.

mod edit;
mod history;
mod json_path;
mod list;
mod redrive;
mod selection;
mod show;
#[cfg(test)]
mod tests;
mod text;
mod verify;
mod whereabouts;

use clap::Subcommand;
use truegreen_connect::dead_letters::search::Query;

use crate::dead_letters::choice::Choice;

/// Look at dead letters, edit them, send them back or throw them away
///
/// Works directly on the systems that the configuration names under `systems`, without a running server. Looking changes
/// nothing. What is sent back or thrown away is remembered in the folder of the data: `truegreen dlq history`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

// What each does is said beside its arguments.
#[derive(Subcommand, Debug)]
enum What {
    Groups(list::Groups),
    List(list::List),
    Search(list::Search),
    Show(show::Args),
    Edit(edit::Args),
    Redrive(redrive::Args),
    Discard(redrive::Discard),
    History(history::Args),
}

/// Which letters.
#[derive(clap::Args, Clone, Debug, Default)]
struct Which {
    /// Only this one; may be given many times
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only errors of this type
    #[arg(long, value_name = "TYPE")]
    error: Option<String>,
    /// Only those whose first own stack frame is this
    #[arg(long, value_name = "FRAME")]
    frame: Option<String>,
    /// Only messages of this type
    #[arg(long = "type", value_name = "TYPE")]
    message_type: Option<String>,
    /// Only those that came from here
    #[arg(long, value_name = "QUEUE")]
    origin: Option<String>,
    /// Only those that hold all of these words
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Which {
    fn choice(&self) -> Choice {
        Choice {
            ids: self.ids.clone(),
            error_type: self.error.clone(),
            frame: self.frame.clone(),
            message_type: self.message_type.clone(),
            origin: self.origin.clone(),
            query: self.search.as_deref().map(Query::new).filter(|query| !query.is_empty()),
            searched: self.search.clone(),
            limit: self.limit,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut out = anstream::stdout();
    let done = runtime.block_on(async {
        match &args.what {
            What::Groups(args) => list::groups(args, &mut out).await,
            What::List(args) => list::list(args, &mut out).await,
            What::Search(args) => list::search(args, &mut out).await,
            What::Show(args) => show::run(args, &mut out).await,
            What::Edit(args) => edit::run(args, &mut out).await,
            What::Redrive(args) => redrive::run(args, &mut out).await,
            What::Discard(args) => redrive::discard(args, &mut out).await,
            What::History(args) => history::run(args, &mut out),
        }
    });
    // A client may hold a thread that never ends.
    runtime.shutdown_background();
    done
}
