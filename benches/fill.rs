//! Fills an embedded store in bulk with copies of a row that the service has left there itself.
//!
//! This alone knows tables: which columns make an event another one, and what is gone once content is purged.

use std::path::Path;

use rand::RngExt;
use rusqlite::{Connection, params};
use uuid::{Builder, Uuid};

use super::Bench;
use super::messages::Messages;
use super::receiver::{PATIENCE, Settings};
use super::stage::{Others, delivered};

/// How many rows go into one transaction.
const BATCH: u64 = 50_000;

/// Receipts whose content is purged: events that are followed and delivered.
pub(crate) async fn receipts(bench: &Bench, settings: &Settings, count: u64) -> anyhow::Result<()> {
    let others = Others::start(bench).await?;
    let receiver = settings
        .clone()
        .api(&others.api.url)
        .http_sink(&others.sink.url)
        .start()
        .await?;
    Messages::new(1, 50)
        .send(&receiver.webhook, 1, 1, 0.0)
        .await?;
    delivered(&receiver, 1, PATIENCE).await?;
    receiver.process.stop(PATIENCE).await?;
    multiply(&settings.file(), count, true)?;
    seen(settings, count).await
}

/// Events that wait to be followed.
pub(crate) async fn pending(settings: &Settings, count: u64) -> anyhow::Result<()> {
    let receiver = settings.start().await?;
    Messages::new(1, 51)
        .send(&receiver.webhook, 1, 1, 0.0)
        .await?;
    receiver.process.stop(PATIENCE).await?;
    multiply(&settings.file(), count, false)?;
    seen(settings, count).await
}

/// Sees to it that the service takes the copies for events, with the one that they were made of.
async fn seen(settings: &Settings, count: u64) -> anyhow::Result<()> {
    let receiver = settings.start().await?;
    let events = receiver.events().await?;
    anyhow::ensure!(
        events == count + 1,
        "of {count} copies the service sees {events} events"
    );
    receiver.process.stop(PATIENCE).await
}

/// Copies the newest event so many times. With `is_purged` its content is gone.
pub(crate) fn multiply(file: &Path, count: u64, is_purged: bool) -> anyhow::Result<()> {
    let mut connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000")?;
    let original: i64 =
        connection.query_row("SELECT max(seq) FROM receipts", [], |row| row.get(0))?;
    let copies = [
        ("receipts", "seq"),
        ("work", "event"),
        ("retrievals", "event"),
        ("endings", "event"),
        ("deliveries", "event"),
    ]
    .map(|(table, key)| copy(&connection, table, key, is_purged));
    // There is no index by which those of one event are found.
    let mention = "INSERT OR IGNORE INTO mentions (name, event) VALUES (?1, ?2)";
    let mut seq = original;
    while seq < original + count.cast_signed() {
        let transaction = connection.transaction()?;
        for _ in 0..BATCH.min((original + count.cast_signed() - seq).cast_unsigned()) {
            seq += 1;
            let session = Builder::from_random_bytes(rand::random())
                .into_uuid()
                .to_string();
            if is_purged {
                transaction
                    .prepare_cached(mention)?
                    .execute(params![session, seq])?;
            }
            let dedupe: [u8; 16] = rand::rng().random();
            for sql in &copies {
                let sql = sql.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
                let id = Uuid::now_v7();
                transaction.prepare_cached(sql)?.execute(params![
                    original,
                    seq,
                    id.as_bytes(),
                    session,
                    dedupe
                ])?;
            }
        }
        transaction.commit()?;
    }
    connection.execute(
        "UPDATE counts SET n = n + ?2 WHERE state =
         coalesce((SELECT state FROM endings WHERE event = ?1), 'received')",
        params![original, count],
    )?;
    Ok(())
}

/// The statement that copies what belongs to event ?1 for event ?2.
fn copy(
    connection: &Connection,
    table: &str,
    key: &str,
    is_purged: bool,
) -> rusqlite::Result<String> {
    let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let columns: Vec<String> = columns
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let values: Vec<_> = columns
        .iter()
        .map(|column| match column.as_str() {
            name if name == key => "?2",
            "id" => "?3",
            "session_id" | "encounter_id" => "?4",
            "dedupe" => "?5",
            "body" | "bodies" if is_purged => "NULL",
            "has_content" if is_purged => "0",
            name => name,
        })
        .collect();
    let (columns, values) = (columns.join(", "), values.join(", "));
    // Every statement takes the same parameters, whether or not its table has all these columns.
    Ok(format!(
        "INSERT OR IGNORE INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {key} = ?1 AND coalesce(?2, ?3, ?4, ?5) IS NOT NULL"
    ))
}
