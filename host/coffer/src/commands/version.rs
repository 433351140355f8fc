//! `coffer version`.

use crate::cli::{Format, OutputArgs};
use crate::failure::Result;
use crate::output::Printer;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    api: &'static str,
    contract: &'static str,
}

pub fn run(args: OutputArgs, printer: Printer) -> Result<()> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        api: coffer_api::API_VERSION,
        contract: coffer_addon_descriptor::CONTRACT,
    };
    if args.output == Format::Table {
        printer.line(format_args!("coffer {} (API {}, addons {})", version.version, version.api, version.contract));
        return Ok(());
    }
    printer.value(args.output, &version)
}
