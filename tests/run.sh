#!/usr/bin/env bash
# Runs every test: unit, property, store contract, integration over real sockets and the real binary, documentation.
#
#   tests/run.sh            all of them
#   tests/run.sh sinks      those whose name contains "sinks"
#
# Needs Rust (rust-version in Cargo.toml), a C compiler, bash and util-linux, and no account and no network beyond the
# crates that Cargo fetches. Uses cargo-nextest where it is installed, `cargo test` otherwise.
#
# The tests of the shared store need a PostgreSQL server on which they may make databases. The first of these is taken:
#   1. the one that TEST_POSTGRES_URL names, as postgres://SUPERUSER@HOST:PORT/postgres
#   2. one that lets user postgres in without a password on 127.0.0.1:5432
#   3. one of the run's own, in a temporary folder and stopped at the end, from the binaries in PATH or in
#      /usr/lib/postgresql; TEST_POSTGRES=private goes straight here
#   4. the same, after PostgreSQL has been installed by apt-get, as root or by sudo without a password
#
# The tests of the console need Chromium and its driver, which are installed in the same way where they are missing, and
# axe-core, which npm fetches into target/tools. Those of docs/examples need python3, Node and Java, nginx and HAProxy,
# installed likewise. That and PostgreSQL are all that the script ever installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

# Settings of the caller's own receiver must not reach the receivers of the tests.
for name in $(compgen -e); do
    case $name in SUKI_RECEIVER*) unset "$name" ;; esac
done

# shellcheck source=tests/postgres.sh
. tests/postgres.sh
provide_postgresql
# shellcheck source=tests/browser.sh
. tests/browser.sh
provide_browser
# shellcheck source=tests/languages.sh
. tests/languages.sh
provide_languages
# shellcheck source=tests/balancers.sh
. tests/balancers.sh
provide_balancers

# --- The tests --------------------------------------------------------------------------------------------------------

# The documentation's examples first, so that the last lines are the summary of the whole.
if [ $# -eq 0 ]; then
    say "documentation tests: cargo test --doc"
    cargo test --locked --quiet --doc
fi

# No exec: the server has to be stopped at the end.
if cargo nextest --version >/dev/null 2>&1; then
    say "all other tests: cargo nextest run"
    # --user-config-file none: a setting of the caller, such as retries, must not decide whether a test passes.
    cargo nextest run --locked --no-fail-fast --user-config-file none "$@"
else
    say "all other tests: cargo test (cargo-nextest is not installed)"
    cargo test --locked --no-fail-fast --all-targets "$@"
fi
