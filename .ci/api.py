"""Starts the service with a few events in it, compares what sinks get with the schemas that it serves, and has Schemathesis
call the admin API by its own description, as viewer and as operator. Called by .ci/api, which has its tools installed.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import jsonschema_rs

BINARY = pathlib.Path("target/debug/suki-receiver").absolute()
SECRET = "a-secret-for-one-check"
# What it takes at most, for each role.
SECONDS = 50
# The same calls each time.
SEED = 20261126

CONFIGURATION = """
[server]
listen = "127.0.0.1:0"
drain_delay = "0s"

[store]
url = "sqlite:{folder}/receiver.db"

[log]
format = "json"

[reconcile]
enabled = true

[[sinks]]
name = "ehr"
type = "files"
dir = "{folder}/out"

[admin]
listen = "127.0.0.1:0"

[[admin.tokens]]
name = "desk"
role = "viewer"
value = "viewer-token-for-one-check"

[[admin.tokens]]
name = "ops"
role = "operator"
value = "operator-token-for-one-check"
"""

# A sink must be one of the configured ones, and a filter or a change hold more than nulls, which no description can say: these refuse
# some of what fits their schema. A wait for a session may last a minute: nobody waits here.
# What leads from one call to the next is said in the description; a guess takes the null of a session without event for an id.
RULES = """
[phases.stateful.inference]
algorithms = ["location-headers"]
[[operations]]
include-name = "GET /api/v1/sessions/{id}"
parameters = { "query.wait" = "0s" }
# Of a list, each invalid object has its error in its place, and the valid ones are registered.
[[operations]]
include-name = "POST /api/v1/sessions"
checks.negative_data_rejection.enabled = false
""" + "".join(
    f"""
[[operations]]
include-name = "{name}"
checks.positive_data_acceptance.enabled = false
"""
    for name in (
        "POST /api/v1/replay",
        "POST /api/v1/events/{id}/replay",
        "POST /api/v1/events/{id}/applied",
        "POST /api/v1/sinks/{name}/readdress",
        "PATCH /api/v1/sessions/{id}",
    )
)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "receiver.toml").write_text(CONFIGURATION.format(folder=folder))
        (folder / "secret").write_text(SECRET)
        (folder / "schemathesis.toml").write_text(RULES)
        with open(folder / "log", "w") as log:
            service = subprocess.Popen(
                [BINARY, "serve", "--config", folder / "receiver.toml"], cwd=folder, stderr=log,
                env={"SUKI_RECEIVER__SIGNATURE__SECRET": SECRET},
            )
        try:
            public, admin = (address(service, folder / "log", which) for which in ("server", "admin"))
            send(folder, public)
            deliveries_fit(folder, admin)
            for role in ("viewer", "operator"):
                conforms(folder, admin, role)
        finally:
            service.terminate()
            service.wait(timeout=60)
        panics_are_none(folder / "log")


def address(service, log, which):
    """The address that a listener got, from the log."""
    while service.poll() is None:
        said = re.search(rf'"{which}\.address":"([^"]+)"', log.read_text())
        if said:
            return said[1]
        time.sleep(0.1)
    sys.exit(f"the service did not start:\n{log.read_text()}")


def send(folder, public):
    """A few notifications of each kind that needs nothing of Suki's API, and some that wait for it."""
    subprocess.run(
        [
            BINARY, "send", "--url", f"http://{public}/webhooks/notification", "--secret-file", folder / "secret",
            "--count", "40", "--seed", "1", "--mix", "failure=4,cancelled=2,success=2,malformed=1",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def get(admin, path):
    request = urllib.request.Request(
        f"http://{admin}{path}", headers={"Authorization": "Bearer viewer-token-for-one-check"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def deliveries_fit(folder, admin):
    """What the sink has fits the schema, as a validator sees it that is not ours."""
    schema = jsonschema_rs.validator_for(get(admin, "/schemas/cloudevent.json"))
    jsonschema_rs.validator_for(get(admin, "/schemas/alert.json"))
    for _ in range(300):
        files = list((folder / "out").rglob("*.json"))
        if len(files) >= 5:
            break
        time.sleep(0.1)
    else:
        sys.exit("the sink got nothing")
    for file in files:
        schema.validate(json.loads(file.read_text()))
    print(f"-- {len(files)} deliveries fit /schemas/cloudevent.json", flush=True)


def conforms(folder, admin, role):
    """The API answers as its description says."""
    print(f"-- Schemathesis as {role}", flush=True)
    token = f"Authorization: Bearer {role}-token-for-one-check"
    # The stream never ends. What is purged or withdrawn leaves a receipt, so it is there when it was deleted.
    command = [
        pathlib.Path(sys.executable).absolute().parent / "st", "--config-file", folder / "schemathesis.toml", "run", f"http://{admin}/openapi.json",
        "--header", token, "--exclude-path", "/api/v1/stream",
        "--exclude-checks", "use_after_free", "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", "20", "--seed", str(SEED), "--generation-database", "none",
        "--max-time", str(SECONDS), "--request-timeout", "30", "--warnings", "off", "--no-color",
    ]
    if subprocess.run(command, cwd=folder).returncode != 0:
        sys.exit(f"the API does not answer as it describes itself, called as {role}")


def panics_are_none(log):
    """No handler failed in a way that only the log tells."""
    for line in log.read_text().splitlines():
        if "panicked" in line:
            sys.exit(line)


if __name__ == "__main__":
    main()
