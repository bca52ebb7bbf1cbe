//! The conditions of a filter as SQL, for the dialect and the values of either store.

use crate::domain::DeliveryState;
use crate::journal::Filter;

/// Conditions, and their values in the order of their numbers.
pub(super) struct Conditions<V> {
    /// What stands before a parameter's number.
    sign: char,
    conditions: Vec<String>,
    values: Vec<V>,
}

impl<V> Conditions<V> {
    /// None yet, of a dialect whose parameters have this sign.
    pub(super) fn new(sign: char) -> Self {
        Self {
            sign,
            conditions: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds a condition that needs no value.
    pub(super) fn push(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Adds a condition on a value, where there is one; `{}` stands for it.
    pub(super) fn that(&mut self, condition: &str, value: Option<V>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.conditions.push(condition.replace("{}", &place));
        }
    }

    /// Adds that one of these holds, where there are any.
    pub(super) fn any(&mut self, conditions: impl Iterator<Item = &'static str>) {
        let conditions: Vec<String> = conditions.map(|it| format!("({it})")).collect();
        if !conditions.is_empty() {
            self.push(format!("({})", conditions.join(" OR ")));
        }
    }

    /// Adds the conditions on deliveries and causes. A cause of a delivery is one at the sink, where one is named.
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
        // An index finds those of a cause. For all others each event is looked at, so that they are not gathered first.
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

    /// All of them, for behind a WHERE.
    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() {
            "1 = 1".to_owned()
        } else {
            self.conditions.join(" AND ")
        }
    }

    /// The values.
    pub(super) fn values(&self) -> &[V] {
        &self.values
    }

    /// Adds a value and gives its place.
    fn value(&mut self, value: V) -> String {
        self.values.push(value);
        format!("{}{}", self.sign, self.values.len())
    }
}
