"""The Helm chart: rendered by Helm's own engine for what people do with it, each document by Kubernetes' schemas, the pods' variables by
`tidegate check`; and what can't be is refused.
"""

import logging
import re
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

import program

CHART = program.ROOT / "deploy/helm/tidegate"
KUBERNETES = ["1.29", "1.34"]
KEY = {"existingSecret": "operator"}
OVER = {"mode": "over-s3", "upstream": {"bucket": "media", "existingSecret": "aws"}, "operator": KEY}
ROUTE = {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["s3.example.com"]}

GOOD = {
    "alone": {"operator": {"accessKey": "operator", "secretKey": "operator-secret"}},
    "files": {
        "operator": KEY,
        "gatewayToml": '[log]\nformat = "json"\n',
        "tenants": {"acme.toml": 'id = "acme"\npolicies = ["tenant-default"]\n'},
        "settings": {"TIDEGATE_STORE_RESERVE": "1GiB", "TIDEGATE_JOBS_WORKERS": 4},
    },
    "over S3": {**OVER, "serviceMonitor": {"enabled": True}, "autoscaling": {"enabled": True}, "httpRoute": {"s3": ROUTE, "edge": ROUTE}},
    "another S3": {**OVER, "upstream": {"bucket": "media", "endpoint": "https://s3.example.com", "region": "eu", "pathStyle": "true"}},
    "peers": {**OVER, "peers": True, "replicas": 3, "settings": {"TIDEGATE_BACK_BUCKETS": "media"}},
}
# With a word of why.
BAD = [
    ({}, "operator"),
    ({"mode": "both", "operator": KEY}, "mode"),
    ({"mode": "over-s3", "operator": KEY}, "bucket"),
    ({"operator": KEY, "nonsense": 1}, "nonsense"),
    ({"operator": {"accessKey": "operator", "secretKey": "short"}}, "secretKey"),
    ({"operator": KEY, "peers": True}, "peers"),
    ({"operator": KEY, "autoscaling": {"enabled": True}}, "autoscaling"),
    ({**OVER, "peers": True, "autoscaling": {"enabled": True}}, "autoscaling"),
    ({**OVER, "settings": {"TIDEGATE_BACK_BUCKETS": "media"}}, "write-back"),
    ({**OVER, "httpRoute": {"s3": {"enabled": True}}}, "httpRoute"),
    ({**OVER, "terminationGracePeriodSeconds": 10}, "terminationGracePeriodSeconds"),
]


def render(values):
    """Every document, in the order of files."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name="gateway", namespace="media")
    return [d for name, text in sorted(texts.items()) if name.endswith(".yaml") for d in yaml.safe_load_all(text) if d]


def check():
    logging.disable(logging.INFO)
    helm.disable_logging()
    faults = [f"lint: {message}" for message in helm.lint(str(CHART))["errors"]]
    if (CHART / "files/tenant-default.json").read_bytes() != (program.ROOT / "policies/tenant-default.json").read_bytes():
        faults.append("files/tenant-default.json is not policies/tenant-default.json")
    version = re.search(r'^version = "(.*)"', (program.ROOT / "Cargo.toml").read_text(), re.M)[1]
    if yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] != version:
        faults.append(f"appVersion is not {version}, as Cargo.toml has it")
    documents = 0
    for name, values in GOOD.items():
        found = render(values)
        documents += len(found)
        faults += [f"{name}: {fault}" for d in found for fault in by_schema(d)]
        faults += [f"{name}: {fault}" for fault in together(found)]
        faults += [f"{name}: {fault}" for fault in variables(found)]
    for values, word in BAD:
        try:
            render(values)
            faults.append(f"not refused: {values}")
        except helm.HelmError as e:
            faults += [] if word in str(e) else [f"{values} is refused without {word!r}: {e}"]
    print(f"kit: chart: {documents} documents by the schemas of Kubernetes {' and '.join(KUBERNETES)}, {len(BAD)} mistakes refused")
    return faults


def by_schema(document):
    kind = document["kind"]
    if kind in ("HTTPRoute", "ServiceMonitor"):
        # Not Kubernetes' own: what they must have is looked at here.
        needed = {"HTTPRoute": ["parentRefs", "hostnames", "rules"], "ServiceMonitor": ["selector", "endpoints"]}[kind]
        return [f"{kind} without {name}" for name in needed if not document["spec"].get(name)]
    faults = []
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except Exception as e:
            faults.append(f"{kind} by {version}: {str(e)[:300]}")
    return faults


def together(documents):
    """What one names, another has."""
    faults = []
    of = lambda kind: [d for d in documents if d["kind"] == kind]
    workload = (of("StatefulSet") + of("Deployment"))[0]
    pod = workload["spec"]["template"]
    labels, container = pod["metadata"]["labels"], pod["spec"]["containers"][0]
    ports = {p["name"] for p in container["ports"]}
    selectors = [("its own", workload["spec"]["selector"]["matchLabels"])]
    selectors += [(s["metadata"]["name"], s["spec"]["selector"]) for s in of("Service")]
    selectors += [(d["kind"], d["spec"]["selector"]["matchLabels"]) for d in of("PodDisruptionBudget")]
    selectors += [(d["kind"], d["spec"]["podSelector"]["matchLabels"]) for d in of("NetworkPolicy")]
    faults += [f"{who} selects {s}, and the pods are {labels}" for who, s in selectors if not s.items() <= labels.items()]
    named = [p["targetPort"] for s in of("Service") for p in s["spec"]["ports"]]
    named += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    named += [p["port"] for policy in of("NetworkPolicy") for rule in policy["spec"]["ingress"] for p in rule["ports"]]
    faults += [f"there is no port {name}" for name in named if name not in ports]
    services = {s["metadata"]["name"]: {p["port"] for p in s["spec"]["ports"]} for s in of("Service")}
    for route in of("HTTPRoute"):
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            if backend["port"] not in services.get(backend["name"], ()):
                faults.append(f"{route['metadata']['name']} leads to {backend}, which is not there")
    volumes = {v["name"] for v in pod["spec"].get("volumes") or []}
    volumes |= {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
    faults += [f"{m['mountPath']} is of no volume" for m in container["volumeMounts"] if m["name"] not in volumes]
    if workload["kind"] == "StatefulSet" and workload["spec"]["serviceName"] not in services:
        faults.append("the StatefulSet's service is not there")
    for rule in of("NetworkPolicy")[0]["spec"]["ingress"]:
        if rule["ports"][0]["port"] == "admin" and not rule.get("from"):
            faults.append("the admin door is open to every pod")
    return faults


def variables(documents):
    """As the pod has them, by the program."""
    pod = next(d for d in documents if d["kind"] in ("StatefulSet", "Deployment"))["spec"]["template"]["spec"]
    given = {"POD_NAME": "gateway-tidegate-0"}
    for variable in pod["containers"][0]["env"]:
        given.setdefault(variable["name"], variable.get("value", "from-a-secret"))
    given = {k: re.sub(r"\$\((\w+)\)", lambda m: given[m[1]], v) for k, v in given.items()}
    with tempfile.TemporaryDirectory() as folder:
        faults = program.checked({**program.image_variables(), **given}, Path(folder))
        peers = given.get("TIDEGATE_CLUSTER_PEERS", "").split(",")
        if "TIDEGATE_CLUSTER_THIS" in given and given["TIDEGATE_CLUSTER_THIS"] not in peers:
            faults.append(f"{given['TIDEGATE_CLUSTER_THIS']} is not among the peers")
    return faults
