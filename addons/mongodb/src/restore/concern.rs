//! Writes that most members of a replica set have.

use crate::client::{Hello, Kind, ServerError};
use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::Result;

/// Members of a set acknowledge what most of them have; others have nobody to ask.
pub fn append_concern(command: &mut RawDocumentBuf, hello: &Hello) {
    if hello.is_member() || hello.kind == Kind::Mongos {
        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
    }
}

/// A reply may say that a thing was done, but not as safely as was asked for.
pub fn check_concern(reply: &RawDocument) -> Result<()> {
    match reply.get_document("writeConcernError") {
        Ok(error) => Err(ServerError::read(error)
            .during("a command")
            .context("it is done, but not acknowledged by a majority of the members")),
        Err(_) => Ok(()),
    }
}
