//! The machine under the process: processors, memory, disks, networks, as `/proc` has them when a
//! scrape asks.
//!
//! For those who run no exporter of their own beside Tidegate; the totals are the kernel's, so several
//! processes of one machine say the same. In a container they are mostly the host's, as everything in
//! `/proc`. What cannot be read (another system than Linux, `ProcSubset=pid`) is left out.

use std::path::Path;

use procfs::{Current, CurrentSI, KernelStats, Meminfo};

use crate::observe::metrics::text::{Kind, Text, labels};

/// The kernel counts sectors of this size, whatever the disk's are.
const SECTOR: u64 = 512;

/// What was read.
#[derive(Debug, Default)]
pub struct Os {
    /// Seconds by mode.
    cpu: Vec<(&'static str, f64)>,
    /// Bytes by kind.
    memory: Vec<(&'static str, u64)>,
    /// Bytes read and written by device.
    disks: Vec<(String, [u64; 2])>,
    /// Bytes received and sent by interface.
    networks: Vec<(String, [u64; 2])>,
}

// === impl Os ===

impl Os {
    /// Reads it all. Four files of the kernel's; none waits for a device.
    pub fn read() -> Self {
        Self { cpu: cpu(), memory: memory(), disks: disks(), networks: networks() }
    }

    pub(super) fn render(&self, text: &mut Text) {
        let by = |text: &mut Text, name: &str, label: &str, all: &[(&'static str, String)]| {
            for (of, value) in all {
                text.sample(name, "", &labels([(label, *of)]), value);
            }
        };
        let (cpu, memory) = ("os_cpu_seconds_total", "os_memory_bytes");
        text.family(cpu, "Time of all processors of the machine by what they did.", Kind::Counter);
        by(text, cpu, "mode", &self.cpu.iter().map(|(mode, s)| (*mode, s.to_string())).collect::<Vec<_>>());
        text.family(memory, "Memory of the machine.", Kind::Gauge);
        by(text, memory, "kind", &self.memory.iter().map(|(k, n)| (*k, n.to_string())).collect::<Vec<_>>());
        flow(
            text,
            "os_disk_io_bytes_total",
            "Bytes from and to disks.",
            "device",
            ["read", "write"],
            &self.disks,
        );
        let help = "Bytes over the network interfaces of the machine.";
        let directions = ["receive", "transmit"];
        flow(text, "os_network_bytes_total", help, "interface", directions, &self.networks);
    }
}

/// A family of two directions.
fn flow(
    text: &mut Text,
    name: &str,
    help: &str,
    label: &str,
    directions: [&str; 2],
    all: &[(String, [u64; 2])],
) {
    text.family(name, help, Kind::Counter);
    for (of, bytes) in all {
        for (direction, bytes) in directions.iter().zip(bytes) {
            text.sample(name, "", &labels([(label, of.as_str()), ("direction", direction)]), bytes);
        }
    }
}

fn cpu() -> Vec<(&'static str, f64)> {
    let Ok(stats) = KernelStats::current() else { return Vec::new() };
    let total = stats.total;
    let modes = [
        ("user", Some(total.user_ms())),
        ("nice", Some(total.nice_ms())),
        ("system", Some(total.system_ms())),
        ("idle", Some(total.idle_ms())),
        ("iowait", total.iowait_ms()),
        ("irq", total.irq_ms()),
        ("softirq", total.softirq_ms()),
        ("steal", total.steal_ms()),
    ];
    #[expect(clippy::cast_precision_loss, reason = "exact for the first 285,000 years")]
    let seconds = |ms: u64| ms as f64 / 1000.0;
    modes.into_iter().filter_map(|(mode, ms)| Some((mode, seconds(ms?)))).collect()
}

fn memory() -> Vec<(&'static str, u64)> {
    let Ok(memory) = Meminfo::current() else { return Vec::new() };
    let kinds = [
        ("total", Some(memory.mem_total)),
        ("available", memory.mem_available),
        ("free", Some(memory.mem_free)),
        ("buffers", Some(memory.buffers)),
        ("cached", Some(memory.cached)),
        ("swap_total", Some(memory.swap_total)),
        ("swap_free", Some(memory.swap_free)),
    ];
    kinds.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect()
}

/// Whole disks: a partition's bytes are its disk's too, and loop and RAM disks are files and memory.
fn disks() -> Vec<(String, [u64; 2])> {
    let whole = |name: &str| {
        !name.starts_with("loop") && !name.starts_with("ram") && Path::new("/sys/block").join(name).exists()
    };
    let all = procfs::diskstats().unwrap_or_default().into_iter();
    let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
    all.filter(|disk| whole(&disk.name))
        .map(|disk| (disk.name, [bytes(disk.sectors_read), bytes(disk.sectors_written)]))
        .collect()
}

fn networks() -> Vec<(String, [u64; 2])> {
    let all = procfs::net::dev_status().unwrap_or_default();
    let mut all: Vec<_> =
        all.into_values().map(|device| (device.name, [device.recv_bytes, device.sent_bytes])).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(os: &Os) -> String {
        let mut text = Text::new(Vec::new());
        os.render(&mut text);
        String::from_utf8(text.into_bytes()).unwrap()
    }

    #[test]
    fn what_was_read_is_told() {
        let os = Os {
            cpu: vec![("user", 1.25), ("idle", 10.0)],
            memory: vec![("total", 1024)],
            disks: vec![("vda".into(), [512, 1024])],
            networks: vec![("lo".into(), [7, 8])],
        };
        let page = page(&os);
        for line in [
            r#"os_cpu_seconds_total{mode="user"} 1.25"#,
            r#"os_memory_bytes{kind="total"} 1024"#,
            r#"os_disk_io_bytes_total{device="vda",direction="write"} 1024"#,
            r#"os_network_bytes_total{interface="lo",direction="receive"} 7"#,
        ] {
            assert!(page.lines().any(|l| l == line), "no `{line}` in:\n{page}");
        }
    }

    #[test]
    fn this_machine_has_processors_memory_and_a_loopback() {
        let os = Os::read();
        assert!(os.cpu.iter().any(|(mode, seconds)| *mode == "idle" && *seconds > 0.0), "{os:?}");
        assert!(os.memory.iter().any(|(kind, bytes)| *kind == "total" && *bytes > 1 << 20), "{os:?}");
        assert!(os.networks.iter().any(|(name, _)| name == "lo"), "{os:?}");
    }
}
