//! Migrates the schema: safely when several instances start at once, and not while an older version still runs.
//!
//! One instance migrates at a time, under an advisory lock; the others find the work done. A schema with migrations
//! that this version does not know is a newer version's and is left alone.

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::Client;

use super::error::within;
use crate::journal::{Error, OpenError};

/// The id of the advisory lock: "sukircv" in bytes.
const LOCK: i64 = 0x0073_756b_6972_6376;
/// The longest time for one step other than the migrations.
const STEP: Duration = Duration::from_secs(15);
/// The longest time for the migrations; an index over a large table may take long.
const MIGRATE: Duration = Duration::from_secs(600);

mod embedded {
    #![allow(missing_docs, unreachable_pub, reason = "made by the macro")]
    refinery::embed_migrations!("src/journal/postgres/migrations");
}

/// Applies the migrations that are missing.
pub(super) async fn migrate(client: &mut Client) -> Result<(), Error> {
    within(STEP, must_be_utf8(client)).await?;
    if within(STEP, is_current(client)).await? {
        return Ok(());
    }
    within(STEP, must_be_alone(client)).await?;
    // A migration must not wait long behind a long transaction, because everything else would queue up behind the
    // migration. It is tried again with the next attempt to connect.
    within(STEP, async {
        let settings = "SET statement_timeout = 0; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = 0";
        client.batch_execute(settings).await?;
        client
            .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
            .await?;
        Ok(())
    })
    .await?;
    let migrated = within(MIGRATE, run(client)).await;
    within(STEP, async {
        client
            .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
            .await?;
        Ok(())
    })
    .await?;
    migrated
}

async fn run(client: &mut Client) -> Result<(), Error> {
    let report = embedded::migrations::runner()
        .set_abort_missing(false)
        .set_abort_divergent(true)
        .run_async(client)
        .await
        .map_err(of_refinery)?;
    for applied in report.applied_migrations() {
        tracing::info!(migration = %applied, "the database's schema was brought up to date");
    }
    Ok(())
}

/// Whether every migration of this version has been applied.
async fn is_current(client: &Client) -> Result<bool, Error> {
    let known = client
        .query_one(
            "SELECT to_regclass('refinery_schema_history') IS NOT NULL",
            &[],
        )
        .await?;
    if !known.get::<_, bool>(0) {
        return Ok(false);
    }
    let applied: Vec<String> = client
        .query(
            "SELECT version::text || ' ' || checksum FROM refinery_schema_history",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    Ok(embedded::migrations::runner()
        .get_migrations()
        .iter()
        .all(|own| applied.contains(&format!("{} {}", own.version(), own.checksum()))))
}

/// Fails while instances of an earlier version are connected, because they cannot use this version's schema. Until they
/// have ended, this instance stores notifications in its spool. Earlier versions use this application name for their
/// connections; this version's name is longer.
async fn must_be_alone(client: &Client) -> Result<(), Error> {
    let older: i64 = client
        .query_one(
            "SELECT count(DISTINCT coalesce(client_addr::text, '') || ' ' || coalesce(client_hostname, ''))
             FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'suki-receiver'",
            &[],
        )
        .await?
        .get(0);
    if older == 0 {
        return Ok(());
    }
    Err(Error::Unreachable {
        reason: "instances of an earlier version are connected to it, and this version's schema is not for them; stop them, \
                 and it is brought up to date (docs/UPGRADE.md)"
            .to_owned(),
    })
}

/// Fails on a database of another encoding: notifications hold text of any language, and it would refuse some of it.
async fn must_be_utf8(client: &Client) -> Result<(), Error> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.get(0);
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Error::Unreachable {
        reason: format!("its encoding is {encoding}; make the database with ENCODING 'UTF8'"),
    })
}

/// Returns a failure of the server as such; only what refinery itself reports is a failed migration.
fn of_refinery(error: refinery::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(server) = cause
            .downcast_ref::<tokio_postgres::Error>()
            .and_then(tokio_postgres::Error::as_db_error)
        {
            return Error::Database {
                code: server.code().code().to_owned(),
                message: Some("while the schema was brought up to date".to_owned()),
            };
        }
        source = cause.source();
    }
    OpenError::from(error).into()
}
