#!/usr/bin/env bash
# Runs every test: unit, property, store contract, integration over real sockets and the real binary, documentation.
#
#   tests/run.sh            all of them
#   tests/run.sh sinks      those whose name contains "sinks"
#
# Needs Rust (rust-version in Cargo.toml) and a C compiler. Needs no service, no account and no network beyond the
# crates that Cargo fetches, and installs nothing. Uses cargo-nextest where it is installed, `cargo test` otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

# Settings of the caller's own receiver must not reach the receivers of the tests.
for name in $(compgen -e); do
    case $name in SUKI_RECEIVER*) unset "$name" ;; esac
done

# The documentation's examples first, so that the last lines are the summary of the whole.
if [ $# -eq 0 ]; then
    say "documentation tests: cargo test --doc"
    cargo test --locked --quiet --doc
fi

if cargo nextest --version >/dev/null 2>&1; then
    say "all other tests: cargo nextest run"
    # --user-config-file none: a setting of the caller, such as retries, must not decide whether a test passes.
    exec cargo nextest run --locked --no-fail-fast --user-config-file none "$@"
fi
say "all other tests: cargo test (cargo-nextest is not installed)"
exec cargo test --locked --no-fail-fast --all-targets "$@"
