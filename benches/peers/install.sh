#!/usr/bin/env bash
# Installs what benches/run.sh --peers compares with into one folder: benches/peers/install.sh DIR
# Needs node with npm, and Python with venv; `webhook` comes by apt-get where it is missing, as root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
cd "$1"

cp "$here"/express.js "$here"/fastapi_app.py "$here"/hooks.json .
if [ ! -d node_modules/express ]; then
    npm install --no-save --no-audit --no-fund express@5
fi
if [ ! -x venv/bin/uvicorn ]; then
    python3 -m venv venv
    venv/bin/pip install --quiet fastapi 'uvicorn[standard]'
fi
if ! command -v webhook >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "webhook is missing: install it (Debian: apt-get install webhook)" >&2
        exit 1
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends webhook
fi
