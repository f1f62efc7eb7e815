//! Where everything lies: the programs under test, the peers in an environment of their own, and a private folder,
//! all under the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{new_cargo, root, run, say};

/// What each peer is on the Python package index, in the version that these programs were written for.
const PACKAGES: [(&str, &[&str]); 7] = [
    ("rotel", &["rotel==0.0.1a15"]),
    ("duckdb", &["duckdb==2.0.0"]),
    ("clickhouse", &["chdb==4.4.0"]),
    ("subgroups", &["pysubgroup==0.9.0", "divexplorer==0.2.6"]),
    ("polars", &["polars==2.1.0"]),
    ("bytewax", &["bytewax==0.21.1"]),
    // Without what it depends on: only its Java archives are wanted.
    ("flink", &["--no-deps", "apache-flink-libraries==2.3.0"]),
];

pub(crate) struct Place {
    target: PathBuf,
    /// Generated data, environments, results.
    pub(crate) work: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Result<Place> {
        // This program stands in the folder of its profile.
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).context("no target folder above this program")?.to_owned();
        let work = target.join("peers");
        std::fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
        Ok(Place { target, work })
    }

    /// Builds what is published, and the load for it.
    pub(crate) fn build(&self) -> Result<()> {
        let mut cargo = new_cargo();
        cargo.args(["build", "--locked", "--profile", "dist", "--package", "truegreen", "--package", "truegreen-load"]);
        cargo.args(["--bin", "truegreen", "--bin", "truegreen-load"]).env("CARGO_TARGET_DIR", &self.target);
        // What cargo tells us of this package would make it build some dependencies anew, as if they had changed.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_")
            {
                cargo.env_remove(name);
            }
        }
        run(cargo)
    }

    /// A program as it is published.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.target.join("dist").join(name))
    }

    /// An empty folder for one run.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join("runs").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Installs a peer where it is missing; returns the folder of its Python packages.
    pub(crate) fn install(&self, peer: &str) -> Result<PathBuf> {
        let python = self.python()?;
        let Some((_, packages)) = PACKAGES.iter().find(|(name, _)| *name == peer) else {
            bail!("{peer} has no package");
        };
        let marker = self.work.join("venv").join(format!("{peer}.installed"));
        let wanted = packages.join(" ");
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return self.packages();
        }
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(*packages);
        let by_hand = format!("{} -m pip install {wanted}", self.python_path().display());
        run(pip).with_context(|| format!("{peer} cannot be installed\nhint: `{by_hand}` says why"))?;
        std::fs::write(marker, wanted)?;
        self.packages()
    }

    /// The Python of the environment.
    pub(crate) fn python(&self) -> Result<PathBuf> {
        let python = self.python_path();
        if !python.exists() {
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv"]).arg(self.work.join("venv"));
            run(venv).context("no Python environment\nhint: `apt-get install python3-venv`")?;
        }
        Ok(python)
    }

    fn python_path(&self) -> PathBuf {
        self.work.join("venv/bin/python")
    }

    fn packages(&self) -> Result<PathBuf> {
        let purelib = "import sysconfig; print(sysconfig.get_path('purelib'))";
        Ok(PathBuf::from(output(Command::new(self.python_path()).args(["-c", purelib]))?))
    }

    /// What the figures are of: machine and commit.
    pub(crate) fn describe(&self) -> String {
        let told = |program: &str, arguments: &[&str]| {
            output(Command::new(program).args(arguments).current_dir(root())).unwrap_or_else(|_| "unknown".to_owned())
        };
        let changed = if told("git", &["status", "--porcelain"]).is_empty() { "" } else { ", with changes" };
        format!(
            "{}, {} cores, commit {}{changed}, profile `dist`.",
            told("date", &["--utc", "+%F"]),
            cores(),
            told("git", &["rev-parse", "--short", "HEAD"])
        )
    }
}

/// Where the peers' own programs stand.
pub(crate) fn programs() -> PathBuf {
    root().join("bench").join("peers")
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a program prints, once it has ended well.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let out = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !out.status.success() {
        say(String::from_utf8_lossy(&out.stderr).trim_end());
        bail!("{shown} failed ({})", out.status);
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// The last line that a program prints, as JSON.
pub(crate) fn told(command: &mut Command) -> Result<serde_json::Value> {
    let text = output(command)?;
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))
}

/// The jar files of a folder as a class path.
pub(crate) fn jars(folder: &Path) -> String {
    format!("{}/*", folder.display())
}
