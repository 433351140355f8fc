//! `coffer addon test`: the conformance kit, fed from manifests; the table is the result.

use super::{Loaded, load};
use crate::cli::{Format, Global, OutputArgs};
use crate::failure::{Failure, OrFail, Result};
use crate::manifest::{self, Problems};
use crate::output::{Printer, bytes};
use clap::{Args, ValueEnum};
use coffer_api::AppBinding;
use coffer_api::quantity::Bytes;
use coffer_conformance::{Bound, Compare, Conformance, Event, Outcome, Settings, Verdict, check};
use coffer_controller::resolve::application::of_manifests;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often a case that takes long says that it is still there.
const LINE_EVERY: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  coffer addon test notes.wasm                                    the descriptor and the parameters' schemas only
  coffer addon test notes.wasm --binding notes.yaml               and everything that reads: the application is not changed
  coffer addon test postgres.wasm --binding shop.yaml \\
    --restore-binding copy.yaml --reset ./empty-the-copy.sh \\
    --leftovers ./find-sessions-and-locks.sh \\
    --compare contents --volatile toc.dat                         and everything that writes, into a database of its own
  coffer addon test notes.wasm --binding notes.yaml --only 'source/cut-*'

A binding is a manifest with an AppBinding and its Secret, as for `coffer apply`.
The data should have 8 MB or more for each connection: what happens in the middle of a stream needs a middle.";

/// Try an addon on its application, and on all that goes wrong in real life
///
/// Checks what the addon says of itself; backs up the application of --binding, restores it into the one of --restore-binding
/// and compares the copy; then again and again with something wrong: a wrong password, a server that is not there, is killed,
/// stands still or talks nonsense, a cancel in the middle, a reader that does not read, artifacts that are damaged or missing.
/// After each case nothing may be left: no connection, and nothing that the command of --leftovers finds.
/// Exits with 1 when any case fails, or none of --only could be done. A case that cannot be done is skipped and says why.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// The component: a .wasm file
    file: PathBuf,

    /// Manifest of the application to back up: an AppBinding and its Secret, in one file or several (repeat the option)
    #[arg(long, value_name = "FILE")]
    binding: Vec<PathBuf>,

    /// Manifest of the application to restore into. WHAT IS IN IT IS LOST
    #[arg(long, value_name = "FILE", requires = "binding", requires = "reset")]
    restore_binding: Vec<PathBuf>,

    /// Shell command that brings the application of --restore-binding back to its beginning; runs before every restore.
    /// `true` where the parameters make the sink overwrite
    #[arg(long, value_name = "COMMAND")]
    reset: Option<String>,

    /// Shell command that exits with 0 when no run has left anything: sessions, locks, snapshots, temporary objects. Runs
    /// after every case, again for 15 s until it is content
    #[arg(long, value_name = "COMMAND")]
    leftovers: Option<String>,

    /// Parameters of the source, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    params: Option<Map<String, Value>>,

    /// Parameters of the sink, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    restore_params: Option<Map<String, Value>>,

    /// The source to test [default: the only one that serves the application]
    #[arg(long, value_name = "FUNCTION")]
    source: Option<String>,

    /// The sink to test [default: the only one that serves the application]
    #[arg(long, value_name = "FUNCTION")]
    sink: Option<String>,

    /// What of the copy has to be as it was
    #[arg(long, value_enum, default_value_t)]
    compare: Comparison,

    /// Artifact whose bytes may differ between two backups of the same data; repeat for more
    #[arg(long, value_name = "ARTIFACT")]
    volatile: Vec<String>,

    /// What the component may use, such as 64Mi
    #[arg(long, value_name = "BYTES", default_value = "64Mi")]
    memory: Bytes,

    /// What one run may take, such as 2m
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    timeout: coffer_api::Duration,

    /// Run these cases and those they stand on; `*` at the end stands for anything
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    only: Vec<String>,

    /// Leave these cases out
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    skip: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// When two backups of the same data are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Comparison {
    /// The facts `tables`, `rows` and `bytes` are
    Facts,
    /// And the artifacts' contents are, whatever their names
    Contents,
    /// And the artifacts' names are, too
    #[default]
    Bytes,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}

pub async fn run(global: &Global, args: TestArgs, printer: Printer) -> Result<()> {
    let source = bound(&args.binding, args.params)?;
    let target = bound(&args.restore_binding, args.restore_params)?;
    let Loaded { compiled, linked, .. } = load(global, &args.file).await?;
    let settings = Settings {
        source,
        target,
        source_function: args.source,
        sink_function: args.sink,
        compare: match args.compare {
            Comparison::Facts => Compare::Facts,
            Comparison::Contents => Compare::Contents,
            Comparison::Bytes => Compare::Bytes,
        },
        volatile: args.volatile,
        reset: args.reset,
        leftovers: args.leftovers,
        memory: usize::try_from(args.memory.get()).unwrap_or(usize::MAX),
        timeout: args.timeout.into(),
        only: args.only.clone(),
        skip: args.skip,
    };
    let doing = RefCell::new((String::new(), Instant::now()));
    let checking = check(compiled.imports(), &linked, &settings, |event| match event {
        Event::Begun { case, number, of } => {
            *doing.borrow_mut() = (format!("[{number:>3}/{of}] {case}"), Instant::now());
        }
        Event::Ended { outcome, number, of } if outcome.verdict != Verdict::Skipped => {
            printer.note(ended(outcome, number, of));
        }
        Event::Ended { .. } => {}
    });
    let mut checking = std::pin::pin!(checking);
    let mut tick = tokio::time::interval(LINE_EVERY / 2);
    let result = loop {
        tokio::select! {
            result = &mut checking => break result,
            _ = tick.tick() => {
                let (case, since) = &*doing.borrow();
                if since.elapsed() >= LINE_EVERY {
                    printer.note(format_args!("{case}: running, {} s", since.elapsed().as_secs()));
                }
            }
        }
    };
    let result = result.or_fail(|| format!("unable to test {}", args.file.display()))?;
    show(&result, args.output.output, printer)?;
    judged(&result, &args.only)
}

/// Nothing found wrong is no success when nothing was tried.
fn judged(result: &Conformance, only: &[String]) -> Result<()> {
    let Conformance { addon, failed, .. } = result;
    if *failed > 0 {
        let failure = Failure::new(format_args!("{addon} does not conform: {failed} of its cases failed"));
        return Err(failure.hint("look into one with --only CASE; docs/authoring.md says what is expected"));
    }
    match result.untried(only) {
        None => Ok(()),
        Some(Outcome { case, found, .. }) => {
            let failure = Failure::new(format_args!("nothing of --only {} was tried", only.join(",")));
            Err(failure.cause(format_args!("{case}: {found}")))
        }
    }
}

fn ended(outcome: &Outcome, number: usize, of: usize) -> String {
    let Outcome { case, verdict, seconds, .. } = outcome;
    let text = format!("[{number:>3}/{of}] {case}: {}, {seconds:.1} s", verdict.as_str());
    match verdict {
        Verdict::Failed => {
            format!("{text}\n          expected: {}\n          found: {}", outcome.expected, outcome.found)
        }
        Verdict::Passed | Verdict::Skipped => text,
    }
}

fn show(result: &Conformance, format: Format, printer: Printer) -> Result<()> {
    if format != Format::Table {
        return printer.value(format, result);
    }
    let rows = result.cases.chunk_by(same_reason).filter_map(|cases| {
        let case = cases.first()?;
        let name = match cases.len() {
            1 => case.case.clone(),
            count => format!("{} and {} more", case.case, count - 1),
        };
        let outcome = match case.verdict {
            Verdict::Failed => "FAILED".to_owned(),
            verdict => verdict.as_str().to_owned(),
        };
        let memory = case.memory.map(bytes).unwrap_or_default();
        let seconds = format!("{:.1}s", case.seconds);
        Some(vec![name, outcome, case.expected.clone(), case.found.clone(), memory, seconds])
    });
    printer.table(&["case", "outcome", "expected", "found", "memory", "time"], rows);
    let Conformance { addon, passed, failed, skipped, peak_memory, .. } = result;
    printer.line("");
    let peak = bytes(*peak_memory);
    printer
        .line(format_args!("{addon}: {passed} passed, {failed} failed, {skipped} skipped; at most {peak} of memory"));
    Ok(())
}

/// Cases that were left out together are shown together.
fn same_reason(one: &Outcome, next: &Outcome) -> bool {
    one.verdict == Verdict::Skipped && next.verdict == Verdict::Skipped && one.found == next.found
}

/// The application of the AppBinding among these manifests, with its Secrets; other kinds are passed over.
fn bound(files: &[PathBuf], parameters: Option<Map<String, Value>>) -> Result<Option<Bound>> {
    if files.is_empty() {
        return match parameters {
            None => Ok(None),
            Some(_) => Err(Failure::new("parameters are given for an application that is not")
                .hint("--params goes with --binding, --restore-params with --restore-binding")),
        };
    }
    let shown = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut problems = Problems::default();
    let (mut bindings, mut secrets) = (Vec::<AppBinding>::new(), Vec::<Secret>::new());
    for mut document in manifest::read(files, &mut problems)? {
        let kind = document.object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !matches!(kind.as_str(), "AppBinding" | "Secret") {
            continue;
        }
        if let Err(invalid) = coffer_api::validate(&mut document.object) {
            problems.add(&document.origin, invalid);
            continue;
        }
        let what = || format!("unable to read the {kind} in {}", document.origin);
        match kind.as_str() {
            "Secret" => secrets.push(serde_json::from_value(document.object.clone()).or_fail(what)?),
            _ => bindings.push(serde_json::from_value(document.object.clone()).or_fail(what)?),
        }
    }
    let texts = problems.into_texts();
    if !texts.is_empty() {
        return Err(texts.iter().fold(Failure::new(format_args!("{shown} cannot be used")), Failure::cause));
    }
    let binding = match bindings.as_slice() {
        [only] => only,
        [] => return Err(Failure::new(format_args!("there is no AppBinding in {shown}"))),
        several => {
            let count = several.len();
            return Err(Failure::new(format_args!("there are {count} AppBindings in {shown}: give one")));
        }
    };
    let application = of_manifests(binding, &secrets).map_err(|error| {
        let refused = error.into_failure();
        let mut failure = Failure::new(format_args!("the binding in {shown} cannot be used")).cause(&refused.message);
        failure.hint = refused.hint;
        failure
    })?;
    let offered = binding.spec.parameters.0.clone();
    Ok(Some(Bound { application, parameters: parameters.unwrap_or_default(), offered }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_and_not_tried_is_a_failure() {
        let case = |case: &str, verdict, found: &str| Outcome {
            case: case.into(),
            verdict,
            expected: String::new(),
            found: found.into(),
            seconds: 0.0,
            memory: None,
        };
        let left_out = case("sink/whole", Verdict::Skipped, "needs --restore-binding");
        let result = |cases: Vec<Outcome>| Conformance {
            addon: "notes 1.0.0".into(),
            passed: 0,
            failed: 0,
            skipped: 0,
            peak_memory: 0,
            cases,
        };
        let only = ["sink/*".to_owned()];
        // The source's whole run was not asked for.
        let measure = case("source/whole", Verdict::Passed, "");
        let untried = result(vec![measure, left_out.clone()]);
        let failure = judged(&untried, &only).expect_err("nothing was tried");
        assert_eq!(failure.error, "nothing of --only sink/* was tried");
        assert_eq!(failure.causes, ["sink/whole: needs --restore-binding"]);
        // Everything is left out that has no binding: the author asked for what there is.
        judged(&untried, &[]).expect("no complaint");
        let tried = result(vec![left_out, case("sink/tls", Verdict::Passed, "")]);
        judged(&tried, &only).expect("no complaint");
    }
}
