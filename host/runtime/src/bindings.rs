//! The contract as Rust, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../../wit/0.1.0",
    world: "addon",
    imports: {
        // They make or take streams, so they need the store.
        "coffer:addon/application.[method]connection.receive": store | trappable,
        "coffer:addon/application.[method]connection.transmit": store | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "coffer:addon/application.connection": crate::capability::connection::Connection,
    },
});

pub(crate) use coffer::addon::types::Error as GuestError;
