//! Connections to `PostgreSQL` that the instance begins are refused, as by a server that is full, or not ready.

use super::traffic::path::answers_for;
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::{Found, dotted};
use crate::model::network::{Ports, ProxyFault, SqlError};
use crate::model::quantity::Word;

answers_for! {
    /// Refuse connections to `PostgreSQL` that the instance begins.
    pub struct Postgres {
        /// By which SQLSTATE: `53300`, too many connections; `57P03`, it is starting up; or any other.
        pub error: Word,
    }
}

/// What `PostgreSQL` says with some of them.
const SAYS: [(&str, &str); 5] = [
    ("53300", "sorry, too many clients already"),
    ("57P03", "the database system is starting up"),
    ("57P01", "terminating connection due to administrator command"),
    ("28P01", "password authentication failed"),
    ("3D000", "database does not exist"),
];

impl Postgres {
    const PORT: Ports = Ports { first: 5432, last: 5432 };

    fn fault(&self, share: f64) -> ProxyFault {
        let code = &self.error.0;
        let message = SAYS.iter().find(|(known, _)| known == code).map_or("refused", |(_, message)| message);
        ProxyFault::Postgres { error: SqlError { code: code.clone(), message: message.to_owned() }, share }
    }

    fn check_error(&self, found: &mut Found<'_>, own: &[&str]) {
        let code = &self.error.0;
        if code.len() != 5 || !code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
            let key = [own, &["error"]].concat();
            let at = found.document.value_at(&key);
            found.add(
                Mistake::error(&at, format!("`{}` is no SQLSTATE", dotted(&key)))
                    .label("five capitals and digits, such as `53300` or `57P03`"),
            );
        }
    }
}
