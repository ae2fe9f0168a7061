//! The real binary in a folder of its own, on ports of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub const ACCESS: &str = "TESTOPERATOR";
pub const SECRET: &str = "operator-secret-of-the-tests";

/// A folder with the shipped policies, in which commands are run.
pub struct Place {
    pub dir: tempfile::TempDir,
}

pub struct Running {
    pub child: Child,
    pub s3: SocketAddr,
    pub edge: SocketAddr,
    pub admin: SocketAddr,
    pub s3_tls: Option<SocketAddr>,
    pub edge_tls: Option<SocketAddr>,
    pub edge_mtls: Option<SocketAddr>,
    /// Everything on stderr, in a file.
    pub log: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(dir.path().join("policies/tenants")).unwrap();
        std::fs::copy(root.join("policies/tenant-default.json"), dir.path().join("policies/tenant-default.json")).unwrap();
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// With the operator's key from the environment, and free ports.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("TIDEGATE_")) {
            command.env_remove(name);
        }
        command.env("TIDEGATE_ROOT_ACCESS_KEY", ACCESS).env("TIDEGATE_ROOT_SECRET_KEY", SECRET);
        for name in ["TIDEGATE_LISTEN", "TIDEGATE_EDGE_LISTEN", "TIDEGATE_ADMIN_LISTEN"] {
            command.env(name, "127.0.0.1:0");
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn serve(&self) -> Running {
        self.serve_by(self.command(&["serve"]))
    }

    pub fn serve_by(&self, mut command: Command) -> Running {
        let log = self.path("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listed = |door: &str| -> Option<SocketAddr> {
            let word = line.split_whitespace().find_map(|w| w.strip_prefix(door)?.strip_prefix('='));
            word.map(|w| w.parse().unwrap())
        };
        let address =
            |door: &str| listed(door).unwrap_or_else(|| panic!("no {door} in {line:?}; log: {}", std::fs::read_to_string(&log).unwrap()));
        assert!(line.starts_with("listening s3="), "{line:?}; log: {}", std::fs::read_to_string(&log).unwrap());
        Running {
            s3: address("s3"),
            edge: address("edge"),
            admin: address("admin"),
            s3_tls: listed("s3_tls"),
            edge_tls: listed("edge_tls"),
            edge_mtls: listed("edge_mtls"),
            child,
            log,
        }
    }
}

impl Running {
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it does not end; log: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(20), "never logged: {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
