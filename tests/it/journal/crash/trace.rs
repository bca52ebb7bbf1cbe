//! What a process did to its files, in the order in which it did it: runs a child under the shim and reads its trace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file or folder during one run. A name that is deleted and made again is another node.
pub type Node = u32;

/// One operation on the files below the root. Paths are relative to it.
pub enum Op {
    /// A file that was there already is used for the first time.
    Open(Node, String),
    /// A file is made.
    Create(Node, String),
    /// A folder is made.
    MakeFolder(Node, String),
    /// Bytes are written at an offset.
    Write(Node, u64, Vec<u8>),
    /// A file is cut or stretched.
    Truncate(Node, u64),
    /// A sync begins: what it covers is what was written before. Its number stands in the entry of its end.
    SyncStart(Node, u64),
    /// It ended.
    SyncEnd(Node, u64),
    /// A name is deleted.
    Unlink(String),
}

/// The compiled shim, in a folder of its own.
pub struct Shim {
    library: PathBuf,
    _dir: tempfile::TempDir,
}

impl Shim {
    /// Compiles it.
    pub fn compile() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/journal/crash/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
            .args([library.as_path(), Path::new(source)])
            .args(["-ldl", "-pthread"])
            .output()
            .expect("a C compiler, `cc`");
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{errors}");
        Self { library, _dir: dir }
    }

    /// Runs a test of this binary in a process of its own, under the shim, and gives back what it did below `root`.
    /// `plan` is for the child.
    pub fn run(&self, test: &str, root: &Path, plan: &str) -> Vec<Op> {
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env("LD_PRELOAD", &self.library)
            .env("CRASH_ROOT", root)
            .env("CRASH_TRACE", &trace)
            .env(super::PLAN, plan)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "the child with {plan} failed:\n{}{}",
            String::from_utf8_lossy(&child.stdout),
            String::from_utf8_lossy(&child.stderr)
        );
        parse(&std::fs::read(&trace).expect("a trace: is the child's test still called that?"))
    }
}

/// Reads what the shim wrote: see `struct entry` there.
fn parse(mut bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at(24);
        let word = |at| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        let long = |at| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let (kind, node, number) = (word(0), word(4), long(8));
        let (data, rest) = rest.split_at(usize::try_from(long(16)).unwrap());
        let path = || String::from_utf8(data.to_vec()).unwrap();
        ops.push(match kind {
            1 => Op::Open(node, path()),
            2 => Op::Create(node, path()),
            3 => Op::MakeFolder(node, path()),
            4 => Op::Write(node, number, data.to_vec()),
            5 => Op::Truncate(node, number),
            6 => Op::SyncStart(node, number),
            7 => Op::SyncEnd(node, number),
            8 => Op::Unlink(path()),
            other => panic!("the shim and trace.rs differ: {other}"),
        });
        bytes = rest;
    }
    ops
}
