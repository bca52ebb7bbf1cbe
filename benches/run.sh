#!/usr/bin/env bash
# Measures the service from outside and prints one table.
#
#   benches/run.sh                                  every benchmark
#   benches/run.sh accept pipeline                  these two
#   benches/run.sh --quick                          all of them, shorter
#   benches/run.sh accept --peers                   beside handlers in other frameworks
#   benches/run.sh instructions --check             fails where an event takes more instructions than was recorded
#   BENCH_PROFILE=dev benches/run.sh instructions   with the build that the tests use, as .ci/run does
#   benches/run.sh --rounds 9 --json figures.json   more rounds, and the figures as JSON
#   benches/run.sh pipeline --dir /dev/shm          without the disk, whose syncs differ from run to run
#   benches/run.sh --help                           names and options
#
# Needs what tests/run.sh needs, and Linux. Takes PostgreSQL from where tests/run.sh takes it, and leaves nothing behind;
# what a run leaves that is killed, the next one removes.
# `instructions` needs valgrind, which is installed by apt-get where it is missing; --peers needs node with npm and
# Python, and installs what it compares with below target/ (see benches/peers/install.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Standard output is for the table.
say() { printf '== %s\n' "$*" >&2; }

# Settings of the caller's own receiver must not reach the receivers that are measured.
for name in $(compgen -e); do
    case $name in SUKI_RECEIVER*) unset "$name" ;; esac
done

# shellcheck source=tests/postgres.sh
. tests/postgres.sh
provide_postgresql >&2

case " $* " in
*" --peers "*)
    benches/peers/install.sh "${CARGO_TARGET_DIR:-target}/peers" >&2
    ;;
esac

# No exec: the server has to be stopped at the end.
cargo bench --profile "${BENCH_PROFILE:-dist}" --locked --quiet --bench engine -- \
    --postgres "${TEST_POSTGRES_URL:-postgres://postgres@127.0.0.1:5432/postgres}" "$@"
