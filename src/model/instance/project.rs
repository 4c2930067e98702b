//! To which project an instance belongs, and which projects are meant. Pure.

use std::collections::BTreeMap;

use super::Instance;
use crate::text::glob::glob;

/// How a file names the instances that belong to no project: they are a project of their own kind.
pub const NONE: &str = "none";

impl Instance {
    /// Whether its project is among these, in which `*` stands for any text; whether none is named.
    #[must_use]
    pub fn is_of(&self, projects: &[String]) -> bool {
        let means = |named: &String| match &self.project {
            Some(project) => named != NONE && glob(named, project),
            None => named == NONE || named == "*",
        };
        projects.is_empty() || projects.iter().any(means)
    }
}

/// The names of instances by their projects.
#[must_use]
pub fn by_project<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> BTreeMap<Option<&'a str>, Vec<&'a str>> {
    let mut projects: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for i in instances {
        projects.entry(i.project.as_deref()).or_default().push(&i.name);
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_of_an_instance_is_one_of_those_that_are_named() {
        let lone = Instance::new("web-1", "web-1", "web");
        let shop = Instance { project: Some("shop".to_owned()), ..lone.clone() };
        for (named, is_shop, is_lone) in [
            (&[][..], true, true),
            (&["shop"], true, false),
            (&["sh*"], true, false),
            (&["billing"], false, false),
            (&["none"], false, true),
            (&["*"], true, true),
            (&["billing", "shop"], true, false),
        ] {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!((shop.is_of(&named), lone.is_of(&named)), (is_shop, is_lone), "{named:?}");
        }
    }
}
