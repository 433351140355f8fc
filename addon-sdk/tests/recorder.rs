//! The smallest addon, run natively and built as a component.

use coffer_addon::descriptor::{Capability, Role};
use coffer_addon::{Addon, Binding, Ends, Error, Report, Result, testing};
use futures::io::Cursor;

#[path = "../examples/recorder.rs"]
#[allow(dead_code)]
mod recorder;

fn addon() -> Addon {
    recorder::addon()
}

/// Runs the function against an application that says `said`; the artifacts it wrote.
async fn run(function: &str, parameters: &str, said: Result<Vec<u8>>) -> (Result<Report>, Vec<testing::Written>) {
    let application = testing::application(Binding::default(), &[], move || {
        std::future::ready(said.clone().map(|said| testing::connection(Cursor::new(said))))
    });
    let (outbox, written) = testing::outbox();
    let outcome = addon().run(Ends { application, inbox: testing::inbox([]), outbox }, function, parameters).await;
    (outcome, written.take())
}

#[tokio::test]
async fn it_records_what_was_said() {
    let said: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    let (report, written) = run("record", r#"{"name": "x"}"#, Ok(said.clone())).await;
    assert_eq!(report, Ok(Report::new().fact("bytes", 1_000_000)));
    assert_eq!(written.len(), 1);
    assert_eq!((written[0].artifact.name.as_str(), written[0].artifact.label("mediaType")), ("x", Some("text/plain")));
    assert_eq!(written[0].bytes.as_ref(), Ok(&said));
}

#[tokio::test]
async fn errors_keep_their_case() {
    let (refused, written) = run("record", "{}", Err(Error::Denied("no".into()))).await;
    assert_eq!((refused, written), (Err(Error::Denied("no".into())), vec![]));
    let (wrong, _) = run("record", r#"{"nmae": "x"}"#, Ok(vec![])).await;
    assert!(matches!(&wrong, Err(Error::InvalidParameter(text)) if text.contains("nmae")), "{wrong:?}");
    assert!(matches!(run("record", "[", Ok(vec![])).await.0, Err(Error::InvalidParameter(_))));
    assert!(matches!(run("play", "{}", Ok(vec![])).await.0, Err(Error::Unsupported(_))));
}

/// `docs/authoring.md` shows what is built here, letter for letter.
#[test]
fn the_manual_shows_this_addon() {
    let manual = include_str!("../../docs/authoring.md");
    assert!(manual.contains(concat!("```rust\n", include_str!("../examples/recorder.rs"), "```\n")));
}

#[test]
fn the_descriptor_follows_from_the_declaration() {
    let descriptor = addon().descriptor().expect("valid");
    let function = &descriptor.functions[0];
    assert_eq!(function.role, Role::Source);
    assert_eq!(function.capabilities, [Capability::Application, Capability::Outbox]);
    let schema = &function.parameters;
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["name"]["default"], "said.txt");
    assert_eq!(schema["properties"]["name"]["description"], "The artifact's name.");
    assert!(Addon::new("x", "one").descriptor().is_err());
}

#[test]
fn it_builds_as_a_component_with_no_more_imports_than_it_uses() {
    let Some(file) = coffer_test_components::build(&["-p", "coffer-addon", "--example", "recorder"]) else { return };
    let component = std::fs::read(file).expect("readable");
    assert_eq!(component.get(..8), Some(b"\0asm\x0d\0\x01\0".as_slice()), "no component");
    let imports = |interface: &str| {
        let name = format!("coffer:addon/{interface}@0.1.0");
        component.windows(name.len()).any(|window| window == name.as_bytes())
    };
    assert!(imports("application") && imports("outbox") && imports("step"));
    assert!(!imports("inbox"), "an interface that is not used has to vanish");
}
