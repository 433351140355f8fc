//! What a run takes of memory is bounded by what is under way, not by how much there is.

use coffer_e2e::{Coffer, REPOSITORY_PASSWORD, guests, manifest};

const MIB: u64 = 1 << 20;

#[test]
fn memory_does_not_follow_the_data() {
    let coffer = Coffer::start();
    let backups = coffer.folder().join("backups");
    std::fs::create_dir(&backups).unwrap();
    coffer.ok(&["addon", "install", &guests().display().to_string(), "--grant-requested"]);
    let numbers = "  parameters: {type: object, properties: {length: {type: integer}, piece: {type: integer}}}\n";
    let length = 600 * MIB;
    coffer.apply(&[
        manifest::function("generate", "generate", numbers),
        manifest::task("generate", "generate"),
        manifest::sink("drain", "drain"),
        manifest::task("drain", "drain"),
        // Nobody connects to it.
        manifest::unbound("shop"),
        manifest::local_storage("disk", &backups),
        manifest::repository_key("shop", REPOSITORY_PASSWORD),
        manifest::repository("shop", "disk"),
        manifest::configuration("shop", "shop", "shop", "generate", &format!("{{length: {length}, piece: {MIB}}}"), ""),
    ]);
    for command in [
        &["backup", "shop", "-n", manifest::NAMESPACE][..],
        &["restore", "--config", "shop", "-n", manifest::NAMESPACE, "--task", "drain"],
    ] {
        coffer.ok(command);
        let peak = coffer.peak_memory();
        assert!(peak < length / 2, "coffer serve took {} MiB by `coffer {}`", peak / MIB, command.join(" "));
    }
}
