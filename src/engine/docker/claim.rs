//! Locks on services: named volumes with labels.
//!
//! Creating a volume whose name is taken returns the one that is there, so the labels that come back say whose it is:
//! compare and set in one call.

use std::collections::HashMap;

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};

use super::failure::{Failure, within};
use super::{Docker, QUICK};
use crate::engine::{Claim, EngineError};
use crate::text::fingerprint;

const SERVICE: &str = "squall.claim";
const RUN: &str = "squall.run";
const OWNER: &str = "squall.owner";
const AT: &str = "squall.at";
const HOLDER: &str = "squall.holder";

impl Docker {
    pub(super) async fn take_claim(&self, claim: &Claim) -> Result<(), EngineError> {
        let attempt = || format!("lock service `{}` on the engine", claim.service);
        let found = self.lock_for(claim).await.map_err(|f| f.error(&self.endpoint.address, attempt))?;
        match read(&found) {
            Some(taken) if taken.run == claim.run => Ok(()),
            Some(taken) => Err(EngineError::Claimed(Box::new(taken))),
            None => Err(EngineError::Refused {
                attempt: attempt(),
                why: format!(
                    "a volume `{0}` is there that is no lock of Squall's; `docker volume rm {0}` if it is not needed",
                    found.name
                ),
            }),
        }
    }

    pub(super) async fn release_claim(&self, claim: &Claim) -> Result<(), EngineError> {
        let error =
            |f: Failure| f.error(&self.endpoint.address, || format!("remove the lock on service `{}`", claim.service));
        // Taking it again says for certain whose it is, where an answer to a look may be of before. Should an engine carry this
        // out when the lock is gone already, the new one names its holder as the old one did, and that is proven dead.
        let found = match self.lock_for(claim).await {
            Ok(found) if read(&found).is_some_and(|taken| taken.run == claim.run) => found,
            Ok(_) | Err(Failure::Missing(_)) => return Ok(()),
            Err(failure) => return Err(error(failure)),
        };
        match within(QUICK, self.api.remove_volume(&found.name, None::<RemoveVolumeOptions>)).await {
            Ok(()) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => Err(error(failure)),
        }
    }

    /// The lock on a claim's service: the one that is there, else a new one.
    async fn lock_for(&self, claim: &Claim) -> Result<Volume, Failure> {
        // Plain data with text keys always serialises.
        let holder = claim.holder.as_ref().and_then(|h| serde_json::to_string(h).ok());
        let told = [(SERVICE, &claim.service), (RUN, &claim.run), (OWNER, &claim.owner), (AT, &claim.at)];
        let labels = told.into_iter().chain(holder.as_ref().map(|h| (HOLDER, h)));
        let request = VolumeCreateRequest {
            name: Some(volume(&claim.service)),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.clone())).collect()),
            ..VolumeCreateRequest::default()
        };
        let found = within(QUICK, self.api.create_volume(request)).await?;
        if read(&found).is_some() {
            return Ok(found);
        }
        // An engine that was restarted does not tell here what it knows of a volume from before.
        within(QUICK, self.api.inspect_volume(&found.name)).await
    }

    pub(super) async fn all_claims(&self) -> Result<Vec<Claim>, EngineError> {
        let filters = HashMap::from([("label", vec![SERVICE])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = within(QUICK, self.api.list_volumes(Some(options)))
            .await
            .map_err(|f| f.error(&self.endpoint.address, || "list the locks on services".to_owned()))?;
        let mut claims: Vec<Claim> = listed.volumes.unwrap_or_default().iter().filter_map(read).collect();
        claims.sort_by(|a, b| a.service.cmp(&b.service));
        Ok(claims)
    }
}

fn read(volume: &Volume) -> Option<Claim> {
    let label = |key: &str| volume.labels.get(key).cloned();
    Some(Claim {
        service: label(SERVICE)?,
        run: label(RUN)?,
        owner: label(OWNER).unwrap_or_default(),
        at: label(AT).unwrap_or_default(),
        holder: label(HOLDER).and_then(|holder| serde_json::from_str(&holder).ok()),
    })
}

/// The name of the lock on a service. The hash keeps names apart that look alike once they are made fit for a volume.
fn volume(service: &str) -> String {
    let fit: String =
        service.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' }).collect();
    let fit: String = fit.chars().take(64).collect();
    format!("squall-claim-{fit}-{:08x}", fingerprint::of_bytes(service.bytes()) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::volume;

    #[test]
    fn names_are_fit_for_a_volume_and_stay_apart() {
        assert_ne!(volume("a/b"), volume("a:b"));
        assert_eq!(volume("shop"), volume("shop"));
        for service in ["shop", "a/b", "ü", "", &"x".repeat(300)] {
            let name = volume(service);
            assert!(
                name.len() < 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
                "{name}"
            );
        }
    }
}
