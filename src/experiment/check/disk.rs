//! Faults of the disk: whether the path is one, and the goal something that can be filled to.

use super::{Found, Mistake};
use crate::experiment::fault::DiskFill;

/// `fault` is the path of the fault, its name last.
pub(super) fn fill(found: &mut Found<'_>, fault: &[&str], fill: &DiskFill) {
    path(found, fault, &fill.path);
    let nothing = [
        ("to", fill.to.is_some_and(|share| share.0 <= 0.0)),
        ("size", fill.size.is_some_and(|size| size.0 == 0)),
        ("inodes", fill.inodes.is_some_and(|share| share.0 <= 0.0)),
    ];
    for (key, is) in nothing {
        if is {
            let at = found.document.value_at(&[fault, &[key]].concat());
            found.add(Mistake::error(&at, format!("`{key}` fills nothing")).label("give more than 0"));
        }
    }
    if fill.inodes.is_some() && fill.rate.is_some() {
        let at = found.document.key_at(&[fault, &["rate"]].concat());
        found.add(
            Mistake::error(&at, "`rate` and `inodes` do not go together")
                .label("a rate counts bytes, and these files have none"),
        );
    }
}

/// An absolute path without detours.
pub(super) fn path(found: &mut Found<'_>, fault: &[&str], path: &str) {
    let why = if !path.starts_with('/') {
        "write it as the instance sees it, from `/` on"
    } else if path.split('/').any(|part| part == ".." || part == ".") {
        "write it without `.` and `..`"
    } else if path.contains('\0') {
        "a path has no zero byte"
    } else {
        return;
    };
    let at = found.document.value_at(&[fault, &["path"]].concat());
    found.add(Mistake::error(&at, format!("`{path}` is not an absolute path")).label(why));
}

#[cfg(test)]
mod tests {
    use crate::experiment::read;
    use crate::model::quantity;

    /// What is said of a file with this fault; nothing where it is fine.
    fn said(fault: &str) -> String {
        let text = format!(
            "version: 1\nname: a\nhypothesis: b\nsteady-state: {{ c: {{ http: 'http://x/', rate: 50/s }} }}\n\
             target: {{ service: shop }}\nblast-radius: {{ max-instances: 1 }}\nfault: {fault}\n"
        );
        read::experiment("a.yaml", text.as_bytes(), &quantity::unset).err().map(|m| m.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_goal_and_a_path_are_asked_for() {
        for fine in [
            "{ disk-fill: { path: /data, to: 95% } }",
            "{ disk-fill: { path: /, leave: 0B, rate: 50MiB/s } }",
            "{ disk-fill: { path: /data/, inodes: 100% } }",
            "{ disk-readonly: { path: /data } }",
        ] {
            assert_eq!(said(fine), "", "{fine}");
        }
        for (wrong, wants) in [
            ("{ disk-fill: { path: /data } }", &["`to`", "`leave`", "`size`", "`inodes`"][..]),
            ("{ disk-fill: { path: /data, to: 95%, size: 1GiB } }", &["`to`", "`size`"]),
            ("{ disk-fill: { to: 95% } }", &["`path`"]),
            ("{ disk-fill: { path: data, to: 95% } }", &["not an absolute path", "from `/` on"]),
            ("{ disk-fill: { path: /data/../etc, to: 95% } }", &["without `.` and `..`"]),
            ("{ disk-fill: { path: /data, size: 0B } }", &["`size` fills nothing"]),
            ("{ disk-fill: { path: /data, inodes: 50%, rate: 1MiB/s } }", &["`rate` and `inodes` do not go together"]),
            ("{ disk-fill: { path: /data, to: 95%, rate: 50MiB } }", &["`50MiB/s`"]),
            ("{ disk-fill: { path: /data, fill: 95% } }", &["fill"]),
            ("{ disk-readonly: { path: . } }", &["not an absolute path"]),
        ] {
            let said = said(wrong);
            assert!(wants.iter().all(|want| said.contains(want)), "{wrong}: {said}");
        }
    }
}
