"""What the scripts of this folder share: a running Tidegate on ports of its own, and signed requests to it."""
import datetime, hashlib, hmac, http.client, os, re, shutil, socket, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SIZES = {"4k": 4096, "64k": 65536, "1m": 1 << 20, "100m": 100 << 20}
BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "dist/tidegate")
ACCESS, SECRET = "BENCHACCESSKEY", "bench-secret-key"
# A command that runs the gateway, as `valgrind` does.
BEFORE = []


def sign(method, host, path, query="", body=b"", headers=None, digest=None):
    """SigV4 header form, enough for this script."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    date, region = now[:8], "us-east-1"
    digest = digest or hashlib.sha256(body).hexdigest()
    signed = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now, **(headers or {})}
    names = ";".join(sorted(signed))
    canonical = "\n".join([method, path, query] + [f"{k}:{signed[k]}" for k in sorted(signed)] + ["", names, digest])
    scope = f"{date}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for step in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"
    return signed


def request(address, method, path, query="", body=b""):
    connection = http.client.HTTPConnection(address, timeout=60)
    canonical_query = "&".join(p if "=" in p else p + "=" for p in query.split("&")) if query else ""
    connection.request(method, path + ("?" + query if query else ""), body=body, headers=sign(method, address, path, canonical_query, body))
    answer = connection.getresponse()
    data = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {data.decode(errors='replace')}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{folder}/default.key", "-out", f"{folder}/default.crt"],
                   check=True, capture_output=True)


def start_tidegate(folder, settings="", environment=None):
    """`settings` is added to the file, `environment` to the variables."""
    os.makedirs(f"{folder}/policies/tenants")
    shutil.copy(f"{ROOT}/policies/tenant-default.json", f"{folder}/policies/")
    os.makedirs(f"{folder}/certs")
    certificate(f"{folder}/certs")
    tls, edge_tls = free_port(), free_port()
    with open(f"{folder}/gateway.toml", "w") as f:
        f.write(f"""
[s3]
listen = "127.0.0.1:0"
tls_listen = "127.0.0.1:{tls}"
[edge]
listen = "127.0.0.1:0"
tls_listen = "127.0.0.1:{edge_tls}"
[admin]
listen = "127.0.0.1:0"
[tls]
certs = "certs"
[store]
data = "data"
[policies]
dir = "policies"
{settings}""")
    env = dict(os.environ, TIDEGATE_ROOT_ACCESS_KEY=ACCESS, TIDEGATE_ROOT_SECRET_KEY=SECRET, **(environment or {}))
    server = subprocess.Popen([*BEFORE, BINARY, "serve", "--config", f"{folder}/gateway.toml"], stdout=subprocess.PIPE, env=env, text=True)
    line = server.stdout.readline()
    doors = dict(re.findall(r"(\w+)=(\S+)", line))
    if "s3" not in doors:
        sys.exit(f"tidegate did not start: {line!r}")
    doors["s3 tls"], doors["edge tls"] = f"127.0.0.1:{tls}", f"127.0.0.1:{edge_tls}"
    return server, doors
