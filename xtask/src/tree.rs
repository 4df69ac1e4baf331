//! The files of the repository as the rules see them: paths relative to the root, and text.
//!
//! Read from the disk, not from git, so that it works in an unpacked archive too.

use std::io;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 7] =
    [".git", ".venv", "target", "node_modules", "__pycache__", ".pytest_cache", "corpus"];
const TEXT_ENDINGS: [&str; 12] =
    ["rs", "md", "toml", "py", "js", "mjs", "ts", "json", "yml", "yaml", "sh", "ini"];
const TEXT_NAMES: [&str; 4] = ["Makefile", "Dockerfile", "run", ".gitignore"];

pub struct Tree {
    pub files: Vec<File>,
}

pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

impl Tree {
    /// Reads every text file under `root`, in the order of their paths.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
                if path.is_dir() {
                    if !FOREIGN.contains(&name) {
                        folders.push(path);
                    }
                } else if is_text(name)
                    && let Ok(text) = std::fs::read_to_string(&path)
                {
                    files.push(File { path: relative(root, &path), text });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { files })
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|it| it.path == path)
    }

    pub fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a File> + 'a {
        self.files.iter().filter(move |it| it.path.ends_with(ending))
    }
}

impl File {
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The crate that the file belongs to, by its folder.
    pub fn krate(&self) -> Option<&str> {
        match self.path.split_once('/')? {
            ("crates", rest) => rest.split('/').next(),
            ("xtask", _) => Some("xtask"),
            ("fuzz", _) => Some("fuzz"),
            _ => None,
        }
    }
}

/// The root of the workspace: the folder above this crate's.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or(here.clone(), Path::to_owned)
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, it)| it);
    TEXT_NAMES.contains(&name)
        || (name != "package-lock.json" && ending.is_some_and(|it| TEXT_ENDINGS.contains(&it)))
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    parts.map(|it| it.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
