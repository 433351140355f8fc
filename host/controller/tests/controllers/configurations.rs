//! What configurations and addons say of themselves.

use crate::plane::*;
use crate::sessions::configuration;
use bytes::Bytes;
use coffer_api::*;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_configuration_tells_what_it_waits_for() {
    let plane = Plane::new().await;
    plane.start();
    plane.apply::<BackupConfiguration>("shop", configuration(json!({}))).await;
    let says = |word: &'static str| {
        move |configuration: Option<&BackupConfiguration>| {
            let status = configuration.and_then(|configuration| configuration.status.clone()).unwrap_or_default();
            status.phase == ConfigurationPhase::NotReady
                && status.error.is_some_and(|error| error.message.contains(word))
        }
    };
    plane.until("shop", says("AppBinding demo/shop")).await;
    let config = json!({"url": "postgresql://127.0.0.1:1/shop", "tlsMode": "Disable"});
    plane.apply::<AppBinding>("shop", json!({"spec": {"type": "postgresql", "clientConfig": config}})).await;
    plane.until("shop", says("Task dump")).await;
}

#[tokio::test]
async fn an_addon_without_a_module_or_with_a_broken_one_is_failed_with_the_reason() {
    let plane = Plane::new().await;
    plane.start();
    let broken = plane.server.modules().add(Bytes::from_static(b"\0asm\x01\0\0\0")).await.unwrap();
    let absent = format!("sha256:{}", "0".repeat(64));
    let api: Api<Addon> = Api::all(plane.client.clone());
    for (name, digest, class, word) in [
        ("broken", broken, FailureClass::Unsupported, "not a component"),
        ("absent", absent, FailureClass::NotFound, "not stored"),
    ] {
        let spec = AddonSpec { module: AddonModule { digest }, grants: Vec::new(), limits: None };
        api.create(&PostParams::default(), &Addon::new(name, spec)).await.unwrap();
        let mut error = None;
        for _ in 0..600 {
            let status = api.get(name).await.unwrap().status.unwrap_or_default();
            if status.error.is_some() {
                assert_eq!(status.phase, AddonPhase::Failed);
                error = status.error;
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let error = error.expect("the addon was not looked at");
        assert!(error.class == class && error.message.contains(word), "{error:?}");
    }
}
