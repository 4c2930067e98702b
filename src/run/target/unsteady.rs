//! Instances that do not stay up: one that is restarted again and again is up at most looks, and neither healthy nor a target whose
//! loss shows anything. Pure.

use jiff::Timestamp;

use crate::model::instance::{Instance, Trait};

/// For how long an instance has to run after its engine has restarted it. As long as Docker takes for a start that went well.
const SETTLES: i64 = 10;

/// Marks those that were restarted since an earlier look, in which nothing was touched, or by their engine a moment ago.
pub(crate) fn mark(fleet: &mut [Instance], earlier: &[Instance], now: Timestamp) {
    for i in fleet.iter_mut().filter(|i| i.is_running()) {
        let before = earlier.iter().find(|b| b.id == i.id && b.is_running());
        // Only some engines tell the moment.
        let age = i.epoch.0.parse::<Timestamp>().ok().map(|started| now.duration_since(started).as_secs());
        let why = match (before, age) {
            (Some(before), _) if before.restarts < i.restarts => "its engine restarted it in the baseline".to_owned(),
            (Some(before), _) if before.epoch != i.epoch => "it was restarted in the baseline".to_owned(),
            (_, Some(age @ 0..SETTLES)) if i.restarts > 0 => format!("its engine restarted it {age} s ago"),
            _ => continue,
        };
        i.traits.insert(Trait::Unsteady(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Epoch, Setting};

    fn instance(name: &str, started: &str, restarts: u64) -> Instance {
        let mut i = Instance::new(name, name, "shop");
        let running = Setting::Running(true);
        i.settings.insert(running.aspect(), running);
        (i.epoch, i.restarts) = (Epoch(started.to_owned()), restarts);
        i
    }

    #[test]
    fn who_is_restarted_again_and_again_is_told() {
        let earlier = [
            instance("crashes", "2026-01-01T00:00:01Z", 3),
            instance("deployed", "2026-01-01T00:00:01Z", 0),
            instance("steady", "2026-01-01T00:00:01Z", 3),
            instance("local", "4711", 1),
        ];
        let mut now = [
            instance("crashes", "2026-01-01T00:00:30Z", 4),
            instance("deployed", "2026-01-01T00:00:30Z", 0),
            instance("steady", "2026-01-01T00:00:01Z", 3),
            instance("local", "4711", 1),
            instance("slowly", "2026-01-01T00:00:51Z", 1),
            instance("settled", "2026-01-01T00:00:50Z", 1),
            instance("new", "2026-01-01T00:00:59Z", 0),
        ];
        mark(&mut now, &earlier, "2026-01-01T00:01:00Z".parse().unwrap());
        let told: Vec<_> = now.iter().filter_map(|i| Some((i.name.as_str(), i.unsteady()?))).collect();
        let want = [
            ("crashes", "its engine restarted it in the baseline"),
            ("deployed", "it was restarted in the baseline"),
            ("slowly", "its engine restarted it 9 s ago"),
        ];
        assert_eq!(told, want);
    }
}
