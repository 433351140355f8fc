//! Writes the custom resource definitions, one file a kind, into the folder given. Run by `cargo xtask generate`; apart
//! from it, because it needs the kinds and all they depend on.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("the folder to write to is missing")?);
    fs::create_dir_all(&folder)?;
    for crd in coffer_api::crds() {
        let text = serde_saphyr::to_string(&crd)?;
        let name = format!("{}.yaml", crd.spec.names.plural);
        fs::write(folder.join(name), format!("# Written by `cargo xtask generate`.\n{}\n", text.trim_end()))?;
    }
    Ok(())
}
