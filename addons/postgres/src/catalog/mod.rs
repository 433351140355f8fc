//! Reads a database's catalogs and writes the statements that make its objects again, in restore order.
//!
//! Each family of objects has a file with its queries; what they find goes into one graph ([`object`]), pg_depend
//! tells its edges, [`order`] breaks loops and sorts as pg_dump does, and [`entries`] numbers the result. What cannot
//! be made again is listed in [`Dump::unsupported`], never left out in silence ([`unsupported`]).
//!
//! The server must run with an empty `search_path`, so that its own deparsing functions qualify every name, and in one
//! repeatable-read transaction.

mod acls;
mod aggregates;
mod columns;
mod comments;
mod constraints;
mod database;
mod dependencies;
mod entries;
mod functions;
mod indexes;
mod object;
mod operators;
mod order;
mod plain;
mod programs;
mod publications;
mod reader;
mod relations;
mod sequences;
mod table_data;
mod tables;
mod text_search;
mod triggers;
mod types;
mod unsupported;
mod views;

use coffer_addon::Error;

use crate::Client;
use crate::entry::Entry;

pub use object::Unsupported;

use object::Graph;
use reader::Reader;

/// What a database consists of.
#[derive(Debug)]
pub struct Dump {
    /// In restore order, numbered from 1.
    pub entries: Vec<Entry>,
    /// What is in the database but not in `entries`; a backup reports it.
    pub unsupported: Vec<Unsupported>,
}

/// Reads the whole database that `client` is connected to, and locks its tables against changes until the end of the
/// transaction.
pub async fn read(client: &mut Client) -> Result<Dump, Error> {
    let mut reader = Reader::new(client)?;
    if reader.version >= 11 {
        // Many lookups make these queries look expensive, but they are short: compiling them takes longer than running.
        reader.execute("turn just-in-time compilation off", "SET LOCAL jit = off").await?;
    }
    let mut graph = Graph::default();
    // The tables' locks come first: functions like pg_get_indexdef see the catalog of now, not that of the snapshot.
    let relations = relations::read(&mut reader).await?;
    relations::lock(&mut reader, &relations).await?;
    dependencies::read(&mut reader, &mut graph).await?;
    database::read(&mut reader, &mut graph).await?;
    plain::read(&mut reader, &mut graph, programs::FAMILIES).await?;
    types::read(&mut reader, &mut graph).await?;
    functions::read(&mut reader, &mut graph).await?;
    aggregates::read(&mut reader, &mut graph).await?;
    operators::read(&mut reader, &mut graph).await?;
    plain::read(&mut reader, &mut graph, text_search::FAMILIES).await?;
    let columns = columns::read(&mut reader).await?;
    let checks = constraints::checks(&mut reader).await?;
    tables::add(&mut graph, &relations, &columns, &checks);
    sequences::read(&mut reader, &mut graph).await?;
    views::read(&mut reader, &mut graph, &relations, &columns).await?;
    table_data::read(&mut reader, &mut graph, &relations, &columns).await?;
    let attachments = indexes::read(&mut reader, &mut graph).await?;
    constraints::read(&mut reader, &mut graph, &attachments).await?;
    attachments.connect(&mut graph);
    triggers::read(&mut reader, &mut graph).await?;
    plain::read(&mut reader, &mut graph, publications::FAMILIES).await?;
    comments::read(&mut reader, &mut graph).await?;
    acls::read(&mut reader, &mut graph).await?;
    unsupported::read(&mut reader, &mut graph).await?;
    let order = order::order(&mut graph);
    let entries = entries::entries(&graph, &order);
    let mut unsupported = graph.unsupported;
    unsupported.sort();
    unsupported.dedup();
    Ok(Dump { entries, unsupported })
}
