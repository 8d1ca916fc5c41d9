//! The tables of files in ARCHITECTURE.md, written from the first line of each file.

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const OPEN: &str = "<!-- files: ";
const CLOSE: &str = "<!-- end of files -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Paths of the Rust files below `folder`, in order: files of a folder before those of its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    found.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

/// One row per file of a crate.
fn table(krate: &str) -> String {
    let source = root().join(krate).join("src");
    let mut rows = String::from("| file | contents |\n|---|---|\n");
    for file in files(&source) {
        // Unit tests in a file of their own.
        if file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let summary = first.strip_prefix("//! ").unwrap_or_default();
        let name = file.strip_prefix(&source).unwrap().to_string_lossy();
        assert!(
            summary.ends_with('.') && !summary.contains("]("),
            "{krate}/src/{name}: its first line is one whole sentence without link targets, not {first:?}"
        );
        let summary = summary.replace("[`", "`").replace("`]", "`");
        let summary = summary.trim_end_matches('.');
        writeln!(rows, "| `{name}` | {summary} |").unwrap();
    }
    rows
}

#[test]
fn every_file_is_on_the_map() {
    let path = root().join("ARCHITECTURE.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut parts = page.split(OPEN);
    let mut written = parts.next().unwrap().to_owned();
    let mut crates = vec![];
    for part in parts {
        let (krate, rest) = part.split_once(" -->\n").unwrap();
        let (_, after) = rest.split_once(CLOSE).unwrap();
        write!(written, "{OPEN}{krate} -->\n{}{CLOSE}{after}", table(krate)).unwrap();
        crates.push(krate.to_owned());
    }
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = format!("crates/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(
            crates.contains(&name),
            "ARCHITECTURE.md: no table of {name}"
        );
    }
    if env::var_os("UPHILL_BLESS").is_some() {
        fs::write(&path, &written).unwrap();
    } else if page != written {
        panic!(
            "ARCHITECTURE.md does not list the files as they are; \
             UPHILL_BLESS=1 cargo test --release -p uphill --test it map writes its tables anew"
        );
    }
}

/// Markdown files of the repository.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/algorithms"].map(|folder| root().join(folder));
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect()
}

#[test]
fn pages_name_files_that_exist() {
    let mut named = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // Every other piece is code; a block of code begins with an empty one.
        for name in text.split('`').skip(1).step_by(2) {
            let ours = ["crates/", "docs/", "examples/", "scripts/"];
            let path = name.split([' ', ':']).next().unwrap_or_default();
            // Patterns, and the file that a page has its reader write.
            let example = path.contains(['*', '<'])
                || path.contains("NAME")
                || path.ends_with("/corridor.rs");
            if example || !ours.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            named += 1;
            let exists = root().join(path).exists();
            assert!(exists, "{}: there is no {path}", page.display());
        }
    }
    assert!(named > 50, "{named} files are named");
}
