//! Answers about containers in a state for which the client has no word: `stopped` of Podman, between the end of a process and what is
//! done after it, or whatever a later engine calls one. Only that word is forgiven; nothing else that cannot be read is.

use std::str::FromStr;

use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, HealthStatusEnum,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A list of containers, where those in an unknown state have none.
pub(super) fn listed(answer: Result<Vec<ContainerSummary>, Error>) -> Result<Vec<ContainerSummary>, Error> {
    reread(answer, |all| {
        for container in all.as_array_mut().into_iter().flatten() {
            forget::<ContainerSummaryStateEnum>(container, "State");
            // Whether it is healthy, inspecting it says.
            forget::<HealthStatusEnum>(&mut container["Health"], "Status");
        }
        None
    })
    .map(|(all, _)| all)
}

/// A container as it was inspected, and the name of its state where that is unknown.
pub(super) fn inspected(
    answer: Result<ContainerInspectResponse, Error>,
) -> Result<(ContainerInspectResponse, Option<String>), Error> {
    reread(answer, |container| {
        let state = &mut container["State"];
        // Whatever it is: it is not said to be healthy.
        if forget::<HealthStatusEnum>(&mut state["Health"], "Status").is_some() {
            state["Health"]["Status"] = HealthStatusEnum::STARTING.to_string().into();
        }
        forget::<ContainerStateStatusEnum>(state, "Status")
    })
}

/// An answer that could not be read, once more without what `mend` has removed from it, and what that returns.
fn reread<T: DeserializeOwned>(
    answer: Result<T, Error>,
    mend: impl FnOnce(&mut Value) -> Option<String>,
) -> Result<(T, Option<String>), Error> {
    let error = match answer {
        Ok(answer) => return Ok((answer, None)),
        Err(error) => error,
    };
    let Error::JsonDataError { contents, column, .. } = &error else { return Err(error) };
    let Ok(mut value) = serde_json::from_str::<Value>(contents) else { return Err(error) };
    let word = mend(&mut value);
    match serde_json::from_value(value) {
        Ok(answer) => Ok((answer, word)),
        // What is left is what it really is about.
        Err(e) => Err(Error::JsonDataError { message: e.to_string(), contents: contents.clone(), column: *column }),
    }
}

/// Removes a word that is none of `T`'s, and returns it.
fn forget<T: FromStr>(from: &mut Value, key: &str) -> Option<String> {
    let word = from.get(key)?.as_str().filter(|word| T::from_str(word).is_err())?.to_owned();
    from.as_object_mut()?.remove(key);
    Some(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the client makes of such an answer.
    fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Error> {
        let contents = answer.to_string();
        serde_json::from_str(&contents).map_err(|e| Error::JsonDataError {
            message: e.to_string(),
            column: e.column(),
            contents,
        })
    }

    #[test]
    fn an_unknown_state_spoils_no_list() {
        let all = json!([{ "Id": "a", "State": "running" }, { "Id": "b", "State": "stopped" }]);
        let states: Vec<_> = listed(read(&all)).unwrap().into_iter().map(|c| (c.id.unwrap(), c.state)).collect();
        assert_eq!(states, [("a".to_owned(), Some(ContainerSummaryStateEnum::RUNNING)), ("b".to_owned(), None)]);
        let wrong = json!([{ "Id": "a", "State": "stopped" }, { "Id": 1, "State": "stopped" }]);
        let Err(Error::JsonDataError { message, .. }) = listed(read(&wrong)) else { panic!("an id is a text") };
        assert!(message.contains("invalid type"), "{message}");
    }

    #[test]
    fn an_unknown_state_is_told_and_nothing_else_is_forgiven() {
        let stopped = json!({ "Id": "a", "State": { "Status": "stopped", "Running": false } });
        let (container, word) = inspected(read(&stopped)).unwrap();
        assert_eq!((container.state.unwrap().status, word.as_deref()), (None, Some("stopped")));
        let known = json!({ "Id": "a", "State": { "Status": "exited" } });
        assert_eq!(inspected(read(&known)).unwrap().1, None);
        for wrong in [
            json!({ "State": { "Status": "stopped", "Running": "no" } }),
            json!({ "State": { "Status": "stopped" }, "HostConfig": { "RestartPolicy": { "Name": "sometimes" } } }),
            json!({ "State": { "Status": 1 } }),
        ] {
            assert!(inspected(read(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_said_to_be_something_unknown_is_not_healthy() {
        let reset = json!({ "State": { "Status": "running", "Health": { "Status": "reset" } } });
        let (container, word) = inspected(read(&reset)).unwrap();
        let health = container.state.and_then(|s| s.health).and_then(|h| h.status);
        assert_eq!((health, word), (Some(HealthStatusEnum::STARTING), None));
    }
}
