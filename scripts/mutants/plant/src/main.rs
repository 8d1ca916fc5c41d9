//! `plant TREE MISTAKES.json`: rewrites the sources in TREE so that a number chooses one of the mistakes, and prints the
//! number of each that could be planted with that of its place.

mod finder;
mod site;

use finder::Finder;
use serde::Deserialize;
use site::Mistake;
use std::collections::BTreeMap;
use std::{env, error::Error, fs, path::Path};

/// A mistake as scripts/mutants lists it, after cargo-mutants.
#[derive(Deserialize)]
struct Listed {
    id: u32,
    file: String,
    genre: String,
    replacement: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    start: Position,
}

/// Counted from 1.
#[derive(Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [tree, list] = &arguments[..] else {
        return Err("usage: plant TREE MISTAKES.json".into());
    };
    let listed: Vec<Listed> = serde_json::from_str(&fs::read_to_string(list)?)?;
    let mut files: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for mistake in listed {
        files.entry(mistake.file.clone()).or_default().push(mistake);
    }
    for (file, listed) in files {
        let path = Path::new(tree).join(&file);
        let text = fs::read_to_string(&path)?;
        let mut finder = Finder::new(&text);
        for one in listed {
            let mistake = Mistake {
                id: one.id,
                replacement: one.replacement,
            };
            finder.look_for(
                &one.genre,
                [one.span.start.line, one.span.start.column],
                mistake,
            );
        }
        let sites = finder.find(&syn::parse_file(&text)?);
        for site in &sites {
            for mistake in &site.mistakes {
                println!("{} {}", mistake.id, site.place());
            }
        }
        let switch = match file.starts_with("crates/cpu/") {
            true => "crate::mistakes::at",
            false => "::uphill_cpu::mistakes::at",
        };
        fs::write(&path, site::planted(&text, &sites, switch))?;
    }
    Ok(())
}
