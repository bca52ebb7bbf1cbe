//! Reads all matching events page by page.

use crate::journal::{Error, Filter, Page, Records};

/// The number of events in a page.
const PAGE: usize = 500;

/// The pages of a list, newest events first, up to a number of events.
pub(super) struct Pages<'a> {
    store: &'a dyn Records,
    filter: Filter,
    left: usize,
    cursor: Option<i64>,
}

impl<'a> Pages<'a> {
    /// Pages with the first `limit` matching events.
    pub(super) fn new(store: &'a dyn Records, filter: Filter, limit: usize) -> Self {
        Self {
            store,
            filter,
            left: limit,
            cursor: None,
        }
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let limit = self.left.min(PAGE);
        let page = self
            .store
            .list(self.filter.clone(), limit, self.cursor)
            .await?;
        self.cursor = page.next;
        self.left = match page.next {
            Some(_) => self.left - page.events.len(),
            None => 0,
        };
        Ok(Some(page))
    }
}
