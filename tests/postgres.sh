# Finds a PostgreSQL server or starts one. Sourced by tests/run.sh, whose head says which one is taken, and by
# benches/run.sh. The caller has a function say(); provide_postgresql sets TEST_POSTGRES_URL where it is not the default.

cluster=

# PostgreSQL does not run as root; then a user that owns nothing of importance runs it.
as_server() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
}

# The folder of initdb and pg_ctl, the newest version's where there are several.
binaries() {
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
        dirname "$(command -v initdb)"
        return
    fi
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
    return 1
}

# Speaks PostgreSQL's start-up for user postgres: an answer that begins with R and says "ok" lets us in.
answers() {
    local reply
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '\0\0\0\x29\0\3\0\0user\0postgres\0database\0postgres\0\0' >&3
    reply=$(timeout 5 head -c 9 <&3 | od -An -tx1 | tr -d ' \n')
    exec 3>&-
    [ "$reply" = 520000000800000000 ]
}

free_port() {
    local port
    for port in $(shuf -i 20000-60000 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    return 1
}

install_postgresql() {
    local sudo=
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        sudo=sudo
    fi
    say "PostgreSQL: installing it by apt-get"
    $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends postgresql
}

stop_cluster() {
    if [ -n "$cluster" ]; then
        as_server "$bin/pg_ctl" --pgdata "$cluster/data" --mode immediate --silent stop || true
        rm -rf "$cluster"
    fi
}

start_cluster() {
    local port
    bin=$1
    port=$(free_port)
    cluster=$(mktemp -d "${TMPDIR:-/tmp}/suki-receiver-postgres.XXXXXX")
    trap stop_cluster EXIT
    if [ "$(id -u)" -eq 0 ]; then
        chown "$(as_server id -u):$(as_server id -g)" "$cluster"
    fi
    # From a folder that its user may look into.
    (
        cd "$cluster"
        as_server "$bin/initdb" --pgdata "$cluster/data" --username postgres --auth trust --encoding UTF8 \
            --locale C --no-sync >"$cluster.log" 2>&1 || { cat "$cluster.log" >&2; exit 1; }
        as_server "$bin/pg_ctl" --pgdata "$cluster/data" --log "$cluster/log" --silent --wait --timeout 60 \
            --options "-p $port -h 127.0.0.1 -k '' -c max_connections=400" start
    ) || { cat "$cluster/log" >&2 || true; rm -f "$cluster.log"; return 1; }
    rm -f "$cluster.log"
    export TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
    say "PostgreSQL: a server of this run's own, $TEST_POSTGRES_URL, by $bin"
}

provide_postgresql() {
    local found
    if [ -n "${TEST_POSTGRES_URL:-}" ]; then
        say "PostgreSQL: the server of TEST_POSTGRES_URL"
        return
    fi
    if [ "${TEST_POSTGRES:-}" != private ] && answers 5432 2>/dev/null; then
        say "PostgreSQL: the server on 127.0.0.1:5432"
        return
    fi
    if ! found=$(binaries); then
        install_postgresql && found=$(binaries) || {
            echo "no PostgreSQL for the shared store: install it (Debian: apt-get install postgresql), or" >&2
            echo "name a server in TEST_POSTGRES_URL=postgres://SUPERUSER@HOST:PORT/postgres" >&2
            exit 1
        }
    fi
    start_cluster "$found"
}
