"""Compares the crates that the packaged binary lists with the SBOM. Called by .ci/supply, which has made both."""

import json
import pathlib
import subprocess
import sys
import tempfile
import zlib


def in_binary(package):
    """What cargo-auditable wrote into the binary, by name and version."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        binary = pathlib.Path(folder, "usr/bin/suki-receiver")
        section = pathlib.Path(folder, "section")
        extract = ["objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc"]
        subprocess.run([*extract, binary, section], check=True)
        listed = json.loads(zlib.decompress(section.read_bytes()))
    # What only takes part in the build is in no program.
    linked = [crate for crate in listed["packages"] if crate.get("kind", "runtime") == "runtime"]
    return {f"{crate['name']} {crate['version']}" for crate in linked}


def in_sbom(file):
    """What the SBOM names, and the program itself."""
    listed = json.loads(pathlib.Path(file).read_text())
    parts = [*listed["components"], listed["metadata"]["component"]]
    return {f"{part['name']} {part['version']}" for part in parts}


def main(package, sbom):
    binary, named = in_binary(package), in_sbom(sbom)
    missing = sorted(binary - named)
    if missing:
        sys.exit(f"linked, and not in the SBOM: {', '.join(missing)}")
    beside = sorted(named - binary)
    print(f"{len(binary)} crates are linked; the SBOM names {len(beside)} beside them: {', '.join(beside) or 'none'}")


main(*sys.argv[1:])
