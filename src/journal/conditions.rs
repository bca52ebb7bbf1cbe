//! Translates a filter into SQL conditions, for the dialect and value type of either store.

use crate::domain::DeliveryState;
use crate::journal::Filter;

/// SQL conditions, and their values in the order of the parameter numbers.
pub(super) struct Conditions<V> {
    /// The character in front of a parameter's number.
    sign: char,
    conditions: Vec<String>,
    values: Vec<V>,
}

impl<V> Conditions<V> {
    /// An empty set, for a dialect whose parameters begin with `sign`.
    pub(super) fn new(sign: char) -> Self {
        Self {
            sign,
            conditions: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds a condition that has no parameter.
    pub(super) fn push(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Adds a condition with one parameter, written `{}`, if there is a value for it.
    pub(super) fn that(&mut self, condition: &str, value: Option<V>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.conditions.push(condition.replace("{}", &place));
        }
    }

    /// Adds the disjunction of these conditions, if there are any.
    pub(super) fn any(&mut self, conditions: impl Iterator<Item = &'static str>) {
        let conditions: Vec<String> = conditions.map(|it| format!("({it})")).collect();
        if !conditions.is_empty() {
            self.push(format!("({})", conditions.join(" OR ")));
        }
    }

    /// Adds the conditions on deliveries and causes. When a sink is named, a delivery's cause must be one at that sink.
    pub(super) fn deliveries(&mut self, filter: &Filter, text: impl Fn(&str) -> V) {
        let cause = filter.cause;
        let of_delivery = cause.filter(|cause| cause.stage() == "deliver");
        if let Some(cause) = cause.filter(|_| of_delivery.is_none()) {
            let of_event = "receipts.seq IN (SELECT event FROM endings WHERE state <> 'done' AND purged_at IS NULL \
                            AND cause_code = {} UNION ALL SELECT event FROM work WHERE cause_code = {})";
            self.that(of_event, Some(text(cause.as_str())));
        }
        if of_delivery.is_none() && filter.sink.is_none() && filter.delivery.is_none() {
            return;
        }
        let (mut made, mut pending) = (String::new(), String::new());
        if let Some(cause) = of_delivery {
            let place = self.value(text(cause.as_str()));
            made += &format!(" AND cause_code = {place} AND state = 'dead'");
            pending += &format!(" AND cause_code = {place}");
        }
        if let Some(sink) = &filter.sink {
            let place = self.value(text(sink));
            made += &format!(" AND sink = {place}");
            pending += &format!(" AND task = 'deliver:' || {place}");
        }
        // Deliveries of one cause are found through an index. The others are checked event by event, so that not all of
        // them have to be collected first.
        let this = match of_delivery {
            Some(_) => "",
            None => " AND event = receipts.seq",
        };
        let made = |states: &str| {
            format!("SELECT event FROM deliveries WHERE state IN ({states}){made}{this}")
        };
        let pending = format!("SELECT event FROM work WHERE task LIKE 'deliver:%'{pending}{this}");
        let of_it = match filter.delivery {
            None => format!("{} UNION ALL {pending}", made("'delivered', 'dead'")),
            Some(DeliveryState::Pending) => pending,
            Some(DeliveryState::Delivered) => made("'delivered'"),
            Some(DeliveryState::Dead) => made("'dead'"),
        };
        self.push(match of_delivery {
            Some(_) => format!("receipts.seq IN ({of_it})"),
            None => format!("EXISTS ({of_it})"),
        });
    }

    /// The expression for a WHERE clause.
    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() {
            "1 = 1".to_owned()
        } else {
            self.conditions.join(" AND ")
        }
    }

    /// The parameters' values.
    pub(super) fn values(&self) -> &[V] {
        &self.values
    }

    /// Adds a value and returns its placeholder.
    fn value(&mut self, value: V) -> String {
        self.values.push(value);
        format!("{}{}", self.sign, self.values.len())
    }
}
