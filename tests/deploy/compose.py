"""The compose files: by the schema of the compose specification, each service's variables by `tidegate check`, and the services of the
gateway started as processes. A container's name is a loopback address here: what the image would listen on is on that address, and
the names in variables are replaced by it. What other images would do (a bucket made by the aws command line) is done by boto3.
"""

import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import boto3
import yaml
from botocore.config import Config

import program

FOLDER = program.ROOT / "deploy/compose"
GIVEN = {
    "TIDEGATE_ROOT_ACCESS_KEY": "operator",
    "TIDEGATE_ROOT_SECRET_KEY": "operator-secret",
    "STORE_ACCESS_KEY": "store",
    "STORE_SECRET_KEY": "store-secret",
    "GRAFANA_PASSWORD": "grafana",
}
STARTED = ["alone", "over-s3", "three-nodes", "watched", "local-dev"]


def check():
    faults = []
    for file in sorted(FOLDER.glob("*.yaml")):
        done = subprocess.run(
            [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        faults += [] if done.returncode == 0 else [f"{file.name}: {done.stdout.strip()}"]
        faults += [f"{file.name}: {fault}" for fault in judge(file)]
    if not faults:
        for number, name in enumerate(STARTED):
            faults += [f"{name}: {fault}" for fault in start(FOLDER / f"{name}.yaml", number)]
    return faults


def services(file):
    """Those of the gateway, with all their variables, in the order of the file."""
    document = yaml.safe_load(file.read_text())

    def filled(text):
        return re.sub(r"\$\{([A-Z_]+)(?::[?-][^}]*)?\}", lambda m: GIVEN[m[1]], str(text))

    found = {}
    for name, service in document["services"].items():
        if "tidegate:latest" in service["image"]:
            own = {key: filled(value) for key, value in service.get("environment", {}).items()}
            found[name] = {**program.image_variables(), **own}
    return document, found


def judge(file):
    document, ours = services(file)
    faults = []
    for name, service in document["services"].items():
        mounts = [v.split(":")[0] for v in service.get("volumes", [])]
        faults += [f"{name} mounts {m}, which is not there" for m in mounts if m.startswith(".") and not (FOLDER / m).exists()]
        faults += [f"{name} has a volume {m} that is not declared" for m in mounts if not m.startswith(".") and m not in document["volumes"]]
        for port in service.get("ports", []):
            # Metrics, dashboards and the operator's door are for this machine.
            if port.rsplit(":", 1)[1] in ("9001", "9090", "3000") and not port.startswith("127.0.0.1:"):
                faults.append(f"{name} shows {port} to everybody")
    for name, variables in ours.items():
        with tempfile.TemporaryDirectory() as folder:
            faults += [f"{name}: {fault}" for fault in program.checked(variables, Path(folder))]
    return faults


def start(file, number):
    _, ours = services(file)
    addresses = {name: f"127.7.{number}.{n + 1}" for n, name in enumerate(ours)}
    faults = []
    with ExitStack() as ends, tempfile.TemporaryDirectory() as temp:
        for name, variables in ours.items():
            folder = Path(temp) / name
            folder.mkdir()
            here = {key: at_home(value, addresses) for key, value in program.local(variables, folder).items()}
            here = {k: v.replace("0.0.0.0:", f"{addresses[name]}:") for k, v in here.items()}
            # Names by which it is asked stay names.
            here.update({k: v for k, v in variables.items() if k == "TIDEGATE_ADMIN_HOSTS"})
            ends.enter_context(process(name, here, folder))
            if name == "store":
                bucket(s3(addresses[name], variables))
        gateways = {name: s3(addresses[name], variables) for name, variables in ours.items() if name != "store"}
        first = next(iter(gateways.values()))
        bucket(first)
        first.put_object(Bucket="media", Key="a/b.txt", Body=b"what was put")
        for name, client in gateways.items():
            got = client.get_object(Bucket="media", Key="a/b.txt")["Body"].read()
            faults += [] if got == b"what was put" else [f"{name} shows {got!r}"]
            hosts = ours[name].get("TIDEGATE_ADMIN_HOSTS", addresses[name]).split(",")
            faults += [f"{name}: metrics for {host}: {s}" for host in hosts if (s := metrics(addresses[name], host)) != 200]
    return faults


def at_home(value, addresses):
    for name, address in addresses.items():
        value = re.sub(rf"(?<![\w.-]){name}(?=:\d)", address, value)
    return value


class process:
    """Runs until the block ends, and no longer than two minutes."""

    def __init__(self, name, variables, folder):
        self.name, self.log = name, folder / "log"
        self.child = subprocess.Popen(
            ["timeout", "120", program.PROGRAM, "serve"], cwd=folder, env=program.environment(variables),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True,
        )

    def __enter__(self):
        line = self.child.stdout.readline()
        if not line.startswith("listening"):
            raise SystemExit(f"kit: {self.name} does not start: {self.log.read_text()[-2000:]}")
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()


def s3(address, variables):
    return boto3.client(
        "s3", endpoint_url=f"http://{address}:9000", region_name="us-east-1", aws_access_key_id=variables["TIDEGATE_ROOT_ACCESS_KEY"],
        aws_secret_access_key=variables["TIDEGATE_ROOT_SECRET_KEY"], config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def bucket(client):
    names = [b["Name"] for b in client.list_buckets()["Buckets"]]
    if "media" not in names:
        client.create_bucket(Bucket="media")


def metrics(address, host):
    request = urllib.request.Request(f"http://{address}:9001/metrics", headers={"Host": f"{host}:9001"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status if b"tidegate_requests" in answer.read() else "not metrics"
    except urllib.error.HTTPError as e:
        return e.code
