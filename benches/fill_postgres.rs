//! The same for a shared store: copies are made on the server, all of a table in one statement.
//!
//! As [`fill`](super::fill) this knows tables.

use anyhow::Context;
use tokio_postgres::Client;

use super::postgres::connect;

/// How many rows one statement makes.
const BATCH: i64 = 500_000;

/// Copies the newest event so many times. With `is_purged` its content is gone.
pub(crate) async fn multiply(url: &str, count: u64, is_purged: bool) -> anyhow::Result<()> {
    let client = connect(url).await?;
    let newest = client
        .query_one("SELECT max(seq) FROM receipts", &[])
        .await?;
    let original: i64 = newest.get(0);
    let mut copies = Vec::new();
    for (table, key) in [
        ("receipts", "seq"),
        ("retrievals", "event"),
        ("endings", "event"),
        ("deliveries", "event"),
    ] {
        copies.push(copy(&client, table, key, is_purged).await?);
    }
    let last = original + count.cast_signed();
    let mut first = original + 1;
    while first <= last {
        let until = last.min(first + BATCH - 1);
        for sql in &copies {
            let sql = client.prepare(sql).await?;
            client.execute(&sql, &[&original, &first, &until]).await?;
        }
        first = until + 1;
    }
    client
        .execute(
            "INSERT INTO counts (state, n) SELECT state, $2 FROM endings WHERE event = $1",
            &[&original, &count.cast_signed()],
        )
        .await?;
    let sequence =
        "SELECT setval(pg_get_serial_sequence('receipts', 'seq'), (SELECT max(seq) FROM receipts))";
    client.batch_execute(sequence).await?;
    client
        .batch_execute("VACUUM (ANALYZE)")
        .await
        .context("the store cannot be vacuumed")
}

/// The statement that copies what belongs to event $1 for the events from $2 to $3.
async fn copy(client: &Client, table: &str, key: &str, is_purged: bool) -> anyhow::Result<String> {
    let found = client
        .query(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1",
            &[&table],
        )
        .await?;
    let columns: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    let values = columns.iter().map(|column| match column.as_str() {
        name if name == key => "n",
        "id" => "md5('id' || n)::uuid",
        "session_id" | "encounter_id" => "md5('session' || n)",
        "dedupe" => "decode(md5('dedupe' || n), 'hex')",
        "body" | "bodies" if is_purged => "NULL",
        "has_content" if is_purged => "false",
        name => name,
    });
    let values: Vec<_> = values.collect();
    let (columns, values) = (columns.join(", "), values.join(", "));
    Ok(format!(
        "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
         SELECT {values} FROM {table}, generate_series($2::bigint, $3::bigint) AS n WHERE {key} = $1"
    ))
}
