//! The sessions that are due to be polled.

use rusqlite::{Connection, params};

use super::read::{SELECT, all};
use crate::domain::{Expected, Lane, Millis};
use crate::journal::Error;
use crate::journal::expected::in_order;

pub(super) fn due(
    connection: &Connection,
    now: Millis,
    limit: usize,
) -> Result<Vec<Expected>, Error> {
    let lane = |lane: Lane, order: &str, limit: usize| {
        let sql = format!(
            "{SELECT} INDEXED BY expected_due WHERE lane = ?1 AND due <= ?2 ORDER BY due {order} LIMIT ?3"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query(params![lane.number(), now, limit])?;
        all(rows)
    };
    Ok(in_order([
        lane(Lane::Closing, "ASC", limit)?,
        lane(Lane::Ended, "DESC", limit)?,
        lane(Lane::Ended, "ASC", limit.div_ceil(4))?,
        lane(Lane::Other, "ASC", limit)?,
    ]))
}
