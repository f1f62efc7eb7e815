//! Contract text to compiled flow, with every mistake pointed at: file, line, column and how to mend it.
//!
//! Read in this order: [`compile`], `contract` and `step` and `pattern` (the walk over one document), `tree` (YAML that
//! remembers places), `value`, `diagnostic`, `warning`. `form` is the same contract as documented structs, for the
//! schema that editors read; `describe` tells a flow in plain words. Nothing here opens a file.

use std::collections::HashMap;

use truegreen_model::flow::Flow;

mod confirm;
mod contract;
mod describe;
mod diagnostic;
mod duration;
mod form;
mod pattern;
mod step;
mod tree;
mod value;
mod warning;

pub use describe::describe;
pub use diagnostic::{Diagnostic, MAX_DIAGNOSTICS, Severity};
pub use duration::MAX_DURATION;
pub use form::schema;
pub use pattern::MAX_ALTERNATIVES;
pub use tree::MAX_SOURCE_BYTES;

use diagnostic::{Notes, quoted};

/// Most flows of one server; [`truegreen_model::flow::FlowId`] counts no further.
pub const MAX_FLOWS: usize = 1 << 16;

/// The text of one file of contracts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// For messages only.
    pub path: String,
    /// YAML; several documents are several flows.
    pub text: String,
}

/// Contracts that can be taken.
#[derive(Clone, PartialEq, Debug)]
pub struct Compiled {
    /// In the order of the sources and of the documents in them.
    pub flows: Vec<Flow>,
    /// By path and position.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles the contracts of all sources together, since names are unique over all of them.
///
/// # Errors
/// Everything that is wrong in all sources, and the warnings too, by path and position.
pub fn compile(sources: &[Source]) -> Result<Compiled, Vec<Diagnostic>> {
    let mut flows = Vec::new();
    let mut diagnostics = Vec::new();
    // Where each name of a flow was first given: path and line.
    let mut names: HashMap<String, String> = HashMap::new();
    for source in sources {
        let mut notes = Notes::new(source);
        if source.text.len() > MAX_SOURCE_BYTES {
            notes.error_with(
                &(0..0),
                format!("this file has more than {MAX_SOURCE_BYTES} bytes"),
                "split it; all files of the folder are read",
            );
        } else {
            flows.extend(compile_source(source, &mut names, &mut notes));
        }
        diagnostics.extend(notes.finish());
    }
    diagnostics.sort_by(|a, b| (&a.path, a.span.start).cmp(&(&b.path, b.span.start)));
    if diagnostics.iter().any(|found| found.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Compiled { flows, warnings: diagnostics })
}

fn compile_source(source: &Source, names: &mut HashMap<String, String>, notes: &mut Notes<'_>) -> Vec<Flow> {
    let mut flows = Vec::new();
    for document in tree::documents(&source.text, notes) {
        let contract = contract::read(&document.root, notes);
        if let Some((name, span)) = contract.name {
            if let Some(first) = names.get(&name) {
                notes.error_with(
                    &span,
                    format!("there is a flow {} already", quoted(&name)),
                    format!("the first is at {first}; give one of them another name"),
                );
            } else if names.len() >= MAX_FLOWS {
                notes.error(&span, format!("a server watches at most {MAX_FLOWS} flows"));
            } else {
                let line = notes.line(span.start);
                names.insert(name, format!("{}:{line}", source.path));
            }
        }
        if let Some((flow, places)) = contract.flow.filter(|_| document.sound) {
            warning::warn(&flow, &places, notes);
            flows.push(flow);
        }
    }
    flows
}

#[cfg(test)]
mod tests;
