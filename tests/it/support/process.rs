//! usher as a real process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::wire::{Answer, UNTRUSTED, Wire};

/// How long usher may take until it listens (a debug build on a busy machine).
const START: Duration = Duration::from_secs(30);

/// A running usher with its directory (config, database); killed when dropped.
pub(crate) struct Usher {
    child: Child,
    log: Arc<Mutex<String>>,
    directory: Arc<tempfile::TempDir>,
    environment: Vec<(String, String)>,
    public: SocketAddr,
    metrics: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

/// usher ended before it listened: its exit code and all it printed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

impl Usher {
    /// Writes `config` as `usher.yaml` into a new directory and starts usher with it. Every
    /// `{dir}` in it is replaced by the directory. Use port 0 for `listen`: the address comes
    /// from the log.
    pub(crate) async fn start(config: &str) -> Result<Self, Refused> {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(directory, config, &[]).await
    }

    /// As [`Usher::start`], in a directory of one's own and with environment variables.
    pub(crate) async fn start_in(
        directory: Arc<tempfile::TempDir>,
        config: &str,
        environment: &[(String, String)],
    ) -> Result<Self, Refused> {
        write_config(directory.path(), config);
        let (child, log) = spawn(directory.path(), environment);
        let mut usher = Self {
            child,
            log,
            directory,
            environment: environment.to_vec(),
            public: ([127, 0, 0, 1], 0).into(),
            metrics: None,
            admin: None,
        };
        usher.wait_until_listening(config).await?;
        Ok(usher)
    }

    async fn wait_until_listening(&mut self, config: &str) -> Result<(), Refused> {
        let with_metrics = config.contains("metrics:");
        let with_admin = config.lines().any(|line| line.starts_with("admin:"));
        let until = Instant::now() + START;
        loop {
            let (public, metrics, admin) = bound(&self.log());
            if let Some(public) = public
                && (metrics.is_some() || !with_metrics)
                && (admin.is_some() || !with_admin)
            {
                (self.public, self.metrics, self.admin) = (public, metrics, admin);
                return Ok(());
            }
            let exited = self.child.try_wait().unwrap();
            if exited.is_some() || Instant::now() > until {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let code = exited.and_then(|status| status.code());
                return Err(Refused {
                    code,
                    output: self.log(),
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where browsers connect.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where `/healthz` and `/metrics` are.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Where the API, SCIM and the admin pages are.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory of config and database.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// All that usher printed so far, both streams.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills with SIGKILL and starts again with the same files; ports may change.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<(), Refused> {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        self.restart().await
    }

    /// As [`Usher::kill_and_restart`], with another config and environment.
    pub(crate) async fn restart_with(
        &mut self,
        config: &str,
        environment: &[(String, String)],
    ) -> Result<(), Refused> {
        write_config(self.directory.path(), config);
        self.environment = environment.to_vec();
        self.kill_and_restart().await
    }

    async fn restart(&mut self) -> Result<(), Refused> {
        let earlier = self.log();
        let (child, log) = spawn(self.directory.path(), &self.environment);
        (self.child, self.log) = (child, log);
        let config = std::fs::read_to_string(self.path().join("usher.yaml")).unwrap();
        let outcome = self.wait_until_listening(&config).await;
        self.log
            .lock()
            .unwrap()
            .insert_str(0, &earlier.replace("\"listening\"", "\"listened\""));
        outcome
    }

    /// Writes another config and asks for a reload by SIGHUP; give it a moment.
    pub(crate) fn reload_with(&self, config: &str) {
        write_config(self.directory.path(), config);
        self.signal("HUP");
    }

    /// Sends a signal by name (`TERM`, `HUP`, `STOP`).
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    /// True while the process of this id runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; `None` where it still runs after `patience`.
    pub(crate) async fn exit_code(&mut self, patience: Duration) -> Option<i32> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// True where `/healthz` answers 200 within one second.
    pub(crate) async fn is_healthy(&self) -> bool {
        let Some(metrics) = self.metrics else {
            return false;
        };
        matches!(fetch(metrics, "/healthz", Duration::from_secs(1)).await, Some(a) if a.status == 200)
    }

    /// Resident memory now, in bytes; `None` off Linux.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// Highest resident memory since [`Usher::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// Starts a new peak.
    pub(crate) fn forget_peak(&self) {
        let _done = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    fn memory(&self, key: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    }
}

impl Drop for Usher {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Fetches a path of the metrics listener.
pub(crate) async fn fetch(from: SocketAddr, path: &str, patience: Duration) -> Option<Answer> {
    let exchange = async {
        let mut wire = Wire::connect(from, UNTRUSTED).await.ok()?;
        let host = from.to_string();
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .await;
        wire.answer(false, patience).await
    };
    tokio::time::timeout(patience, exchange).await.ok()?
}

/// Where a test binary finds usher.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_usher"))
}

fn write_config(directory: &Path, config: &str) {
    let config = config.replace("{dir}", &directory.display().to_string());
    std::fs::write(directory.join("usher.yaml"), config).unwrap();
}

fn spawn(directory: &Path, environment: &[(String, String)]) -> (Child, Arc<Mutex<String>>) {
    let mut child = Command::new(binary())
        .args(["run", "--config"])
        .arg(directory.join("usher.yaml"))
        // Pages of 2 MiB would blur what is said about memory.
        .env("MIMALLOC_ALLOW_THP", "0")
        .envs(environment.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    collect(child.stdout.take().unwrap(), Arc::clone(&log));
    collect(child.stderr.take().unwrap(), Arc::clone(&log));
    (child, log)
}

fn collect(stream: impl std::io::Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut lines = std::io::BufReader::new(stream);
        let mut line = Vec::new();
        while std::io::BufRead::read_until(&mut lines, b'\n', &mut line).is_ok_and(|n| n > 0) {
            into.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// The public, the metrics and the admin address by the log's lines `"message":"listening"`.
fn bound(log: &str) -> (Option<SocketAddr>, Option<SocketAddr>, Option<SocketAddr>) {
    let mut found = (None, None, None);
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let field = |name: &str| {
            let value = line.get(name).or_else(|| line.get("fields")?.get(name));
            value
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        if field("message") != "listening" {
            continue;
        }
        match field("listener").as_str() {
            "public" => found.0 = field("address").parse().ok(),
            "metrics" => found.1 = field("address").parse().ok(),
            "admin" => found.2 = field("address").parse().ok(),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::bound;

    #[test]
    fn reads_the_bound_addresses_from_the_log() {
        let log = "warm\n{\"message\":\"listening\",\"listener\":\"public\",\"address\":\"127.0.0.1:5\"}\n\
                   {\"fields\":{\"message\":\"listening\",\"listener\":\"metrics\",\"address\":\"127.0.0.1:6\"}}\n\
                   {\"message\":\"listening\",\"listener\":\"admin\",\"address\":\"127.0.0.1:7\"}\n";
        let (public, metrics, admin) = bound(log);
        assert_eq!(admin.unwrap().port(), 7);
        assert_eq!(public.unwrap().port(), 5);
        assert_eq!(metrics.unwrap().port(), 6);
    }
}
