//! What this kernel has: asked of its own files, so that root is not needed and no module is loaded to find out.

use std::io::Read as _;
use std::path::Path;

/// Something that a kernel has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// The module's name, which people know it by.
    pub module: &'static str,
    /// The option it is built with.
    pub option: &'static str,
    /// What it is needed for.
    pub serves: &'static str,
    /// What takes its place, where something does: another of these, by its module.
    pub instead: Option<&'static str>,
}

const fn feature(module: &'static str, option: &'static str, serves: &'static str) -> Feature {
    Feature { module, option, serves, instead: None }
}

const fn or(feature: Feature, instead: &'static str) -> Feature {
    Feature { instead: Some(instead), ..feature }
}

/// What faults of the network are made of.
pub const NETWORK: [Feature; 11] = [
    or(feature("sch_netem", "CONFIG_NET_SCH_NETEM", "delays, and packets altered, by the kernel"), "nfnetlink_queue"),
    feature("sch_tbf", "CONFIG_NET_SCH_TBF", "bandwidth"),
    feature("sch_ingress", "CONFIG_NET_SCH_INGRESS", "bandwidth, and delays by the kernel (clsact)"),
    feature("cls_bpf", "CONFIG_NET_CLS_BPF", "bandwidth, and delays by the kernel"),
    feature("act_mirred", "CONFIG_NET_ACT_MIRRED", "bandwidth, and delays by the kernel"),
    feature("ifb", "CONFIG_IFB", "bandwidth, and delays by the kernel"),
    feature("nf_tables", "CONFIG_NF_TABLES", "every fault of the network"),
    feature(
        "nfnetlink_queue",
        "CONFIG_NETFILTER_NETLINK_QUEUE",
        "losses, partitions, wrong answers about names, delays without netem",
    ),
    or(feature("nft_queue", "CONFIG_NFT_QUEUE", "what nfnetlink_queue serves"), "xt_NFQUEUE"),
    or(feature("xt_NFQUEUE", "CONFIG_NETFILTER_XT_TARGET_NFQUEUE", "what nfnetlink_queue serves"), "nft_queue"),
    // No module of its own: a choice within another one.
    feature("inet_diag_destroy", "CONFIG_INET_DIAG_DESTROY", "`reset`"),
];

/// Whether a kernel has something, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is built in, loaded, or its module is there to be loaded.
    Yes(&'static str),
    /// It is not there, and why.
    No(&'static str),
    /// It cannot be told from here, and why.
    Unknown(&'static str),
}

/// What the files of a kernel say.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// Its release, such as `6.1.0-18-amd64`.
    pub release: Option<String>,
    config: Option<String>,
    built_in: Option<String>,
    modules: Option<String>,
    loaded: Vec<String>,
}

impl Kernel {
    /// Reads what can be read under `root`: `/`, or a directory that stands for it.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let release = text("proc/sys/kernel/osrelease").map(|r| r.trim().to_owned());
        let of = |dir: &str, file: &str| release.as_ref().and_then(|r| text(&format!("{dir}{r}{file}")));
        let loaded = text("proc/modules").unwrap_or_default();
        Self {
            config: unzipped(&root.join("proc/config.gz"))
                .or_else(|| of("boot/config-", ""))
                .or_else(|| of("lib/modules/", "/config")),
            built_in: of("lib/modules/", "/modules.builtin"),
            modules: of("lib/modules/", "/modules.dep"),
            loaded: loaded.lines().filter_map(|l| Some(l.split(' ').next()?.to_owned())).collect(),
            release,
        }
    }

    /// Whether it has a feature.
    #[must_use]
    pub fn has(&self, feature: &Feature) -> Presence {
        let option = self.config.as_ref().map(|c| value(c, feature.option));
        let listed = |list: &Option<String>| list.as_ref().map(|l| lists(l, feature.module));
        if self.loaded.iter().any(|m| m == feature.module) {
            return Presence::Yes("loaded");
        }
        if option == Some(Some("y")) || listed(&self.built_in) == Some(true) {
            return Presence::Yes("built in");
        }
        match (option, listed(&self.modules)) {
            (_, Some(true)) => Presence::Yes("a module"),
            (Some(Some("m")), Some(false)) => {
                Presence::No("it is a module, and not installed: install kernel-modules-extra, or your system's like")
            }
            (Some(Some("m")), None) => Presence::Unknown("it is a module, and the modules cannot be seen from here"),
            (Some(_), _) => Presence::No("this kernel is built without it"),
            (None, Some(false)) if self.built_in.is_some() => Presence::No("it is neither built in nor a module"),
            (None, _) => Presence::Unknown("neither the kernel's configuration nor its modules can be seen from here"),
        }
    }
}

/// The value of an option in a kernel's configuration.
fn value<'a>(config: &'a str, option: &str) -> Option<&'a str> {
    config.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix('='))
}

/// Whether a list of module files (`kernel/net/sched/sch_htb.ko.zst: …`) begins a line with this module.
fn lists(list: &str, module: &str) -> bool {
    list.lines().any(|line| {
        let file = line.split(':').next().unwrap_or(line).rsplit('/').next().unwrap_or_default();
        file.split(".ko").next() == Some(module)
    })
}

fn unzipped(path: &Path) -> Option<String> {
    // A configuration has some 200 KiB; what is longer is none.
    const MOST: u64 = 8 << 20;
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).ok()?).take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.extension().is_some_and(|e| e == "gz") {
                let file = std::fs::File::create(path).unwrap();
                flate2::write::GzEncoder::new(file, flate2::Compression::fast()).write_all(text.as_bytes()).unwrap();
            } else {
                std::fs::write(path, text).unwrap();
            }
        }
        dir
    }

    fn netem(files: &[(&str, &str)]) -> Presence {
        Kernel::read(root(files).path()).has(&NETWORK[0])
    }

    const RELEASE: (&str, &str) = ("proc/sys/kernel/osrelease", "6.1.0\n");

    #[test]
    fn a_kernel_tells_what_it_is_built_with() {
        let config = |text| netem(&[RELEASE, ("proc/config.gz", text)]);
        assert_eq!(config("CONFIG_NET_SCH_NETEM=y\n"), Presence::Yes("built in"));
        assert_eq!(config("CONFIG_NET_SCH_NETEMS=y\n"), Presence::No("this kernel is built without it"));
        assert_eq!(config("# CONFIG_NET_SCH_NETEM is not set\n"), Presence::No("this kernel is built without it"));
        assert!(matches!(config("CONFIG_NET_SCH_NETEM=m\n"), Presence::Unknown(_)));
        assert_eq!(netem(&[RELEASE, ("boot/config-6.1.0", "CONFIG_NET_SCH_NETEM=y\n")]), Presence::Yes("built in"));
    }

    #[test]
    fn a_module_counts_only_where_its_file_is() {
        let config = ("boot/config-6.1.0", "CONFIG_NET_SCH_NETEM=m\n");
        let dep = |text| ("lib/modules/6.1.0/modules.dep", text);
        assert_eq!(netem(&[RELEASE, config, dep("kernel/net/sched/sch_netem.ko.xz:\n")]), Presence::Yes("a module"));
        assert!(matches!(
            netem(&[RELEASE, config, dep("kernel/x/sch_netem2.ko: kernel/sch_netem.ko\n")]),
            Presence::No(_)
        ));
    }

    #[test]
    fn without_a_configuration_the_lists_of_modules_tell() {
        let dep = ("lib/modules/6.1.0/modules.dep", "kernel/net/sched/sch_htb.ko:\n");
        let built_in = ("lib/modules/6.1.0/modules.builtin", "kernel/net/sched/sch_tbf.ko\n");
        assert!(matches!(netem(&[RELEASE, dep, built_in]), Presence::No(_)));
        assert!(matches!(netem(&[RELEASE, dep]), Presence::Unknown(_)));
        assert_eq!(netem(&[RELEASE, ("proc/modules", "sch_netem 16384 0 - Live 0x0\n")]), Presence::Yes("loaded"));
        assert!(matches!(netem(&[]), Presence::Unknown(_)));
    }
}
