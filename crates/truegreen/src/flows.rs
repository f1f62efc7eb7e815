//! A folder of contracts on disk.

use std::path::{Path, PathBuf};

use truegreen_engine::flow::{Compiled, Diagnostic, MAX_SOURCE_BYTES, Source, compile};

/// Most files of one folder.
const MAX_FILES: usize = 10_000;

/// Why there are no contracts to compile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file in it.
    #[error("cannot read the contracts in {}: {cause}\nhint: {}", path.display(), hint(cause))]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Nothing in it ends in `.yaml` or `.yml`.
    #[error(
        "no contract in {}: nothing there ends in .yaml or .yml\n\
         hint: a contract is a YAML file that says what a flow promises; `truegreen demo --keep DIR` leaves one to look at",
        path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// More files than anyone would write.
    #[error("more than {MAX_FILES} contracts in {}\nhint: is this the right folder?", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "is the path right? it counts from the folder you are in",
        std::io::ErrorKind::PermissionDenied => "let the user that runs truegreen read it",
        std::io::ErrorKind::InvalidData => "contracts are UTF-8 text",
        _ => "check the path and the disk",
    }
}

/// Reads every `.yaml` and `.yml` file of a folder in the order of their names; or one file.
pub fn read(path: &Path) -> Result<Vec<Source>, Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| Error::Unreadable { path, cause }
    };
    let kind = std::fs::metadata(path).map_err(unreadable(path))?;
    if kind.is_file() {
        return Ok(vec![read_file(path).map_err(unreadable(path))?]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
        let file = entry.map_err(unreadable(path))?.path();
        if is_contract(&file) {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(Error::TooMany { path: path.to_owned() });
        }
    }
    if files.is_empty() {
        return Err(Error::Empty { path: path.to_owned() });
    }
    files.sort();
    files.iter().map(|file| read_file(file).map_err(unreadable(file))).collect()
}

fn is_contract(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden && file.is_file()
}

fn read_file(path: &Path) -> std::io::Result<Source> {
    use std::io::Read;
    let mut text = String::new();
    // One byte more than is taken, so that the compiler says what is wrong.
    std::fs::File::open(path)?.take(MAX_SOURCE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(Source { path: path.display().to_string(), text })
}

/// Compiles contracts; on mistakes, and for warnings, the second part is what to tell the author.
pub fn compiled(sources: &[Source], colour: bool) -> (Option<Compiled>, Vec<String>) {
    match compile(sources) {
        Ok(compiled) => {
            let told = render(&compiled.warnings, sources, colour);
            (Some(compiled), told)
        }
        Err(diagnostics) => (None, render(&diagnostics, sources, colour)),
    }
}

fn render(diagnostics: &[Diagnostic], sources: &[Source], colour: bool) -> Vec<String> {
    let one = |diagnostic: &Diagnostic| match sources.iter().find(|source| source.path == diagnostic.path) {
        Some(source) => diagnostic.render(source, colour),
        None => format!("{}: {}", diagnostic.path, diagnostic.message),
    };
    diagnostics.iter().map(one).collect()
}
