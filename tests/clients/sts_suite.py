"""Temporary credentials by the SDKs' own providers: boto3, aws-cli, the JavaScript and the Rust SDK find a token file and a role in their environment, as
in a CI job or a pod, and get their sessions from a gateway of its own; boto3's sts client asks for the others. The Rust SDK is the one that
`tidegate import` and `tidegate export` are made with. Called by tests/run:

    python sts_suite.py [--binary PATH]

An identity provider on this machine signs the tokens, by openssl. Ends with status 1 where a check failed.
"""

import argparse
import base64
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3
import botocore.exceptions
import gateway
from checks import Checks, same

ROLE = "arn:aws:iam::alice:role/ci"
READ_AND_WRITE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::alice-media", "arn:aws:s3:::alice-media/ci/*"]}]}
JS = """
const { createRequire } = require("node:module");
const { S3Client, PutObjectCommand, GetObjectCommand } = createRequire(process.env.JS_MODULES + "/package.json")("@aws-sdk/client-s3");
const s3 = new S3Client({ forcePathStyle: true });
(async () => {
  await s3.send(new PutObjectCommand({ Bucket: "alice-media", Key: "ci/js", Body: "by js" }));
  const object = await s3.send(new GetObjectCommand({ Bucket: "alice-media", Key: "ci/js" }));
  console.log(await object.Body.transformToString());
  const refused = await s3.send(new PutObjectCommand({ Bucket: "alice-media", Key: "other", Body: "x" })).catch((fault) => fault.name);
  console.log(refused);
})();
"""


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Signs tokens with a key of its own, and shows the public half."""

    def __init__(self, folder):
        self.key = folder / "provider.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        modulus = subprocess.run(["openssl", "rsa", "-in", self.key, "-modulus", "-noout"], check=True, capture_output=True, text=True).stdout
        key = {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": encoded(bytes.fromhex(modulus.strip().split("=")[1])), "e": "AQAB"}
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                said = {"/keys": {"keys": [key]}, "/.well-known/openid-configuration": {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"}}
                body = json.dumps(said.get(self.path, {})).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(self, **more):
        claims = {"iss": self.issuer, "sub": "repo:alice/site", "aud": "sts.amazonaws.com", "iat": int(time.time()), "exp": int(time.time()) + 600, **more}
        signed = f'{encoded(json.dumps({"alg": "RS256", "kid": "k1"}).encode())}.{encoded(json.dumps(claims).encode())}'
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{encoded(signature)}"


checks = Checks("sts")


def check(name, body):
    checks(name)(body)


def refused(code, call, *given, **named):
    try:
        call(*given, **named)
    except botocore.exceptions.ClientError as fault:
        assert fault.response["Error"]["Code"] == code, fault
        return
    raise AssertionError(f"not refused with {code}")


def main():
    parser = argparse.ArgumentParser(description="Temporary credentials by the SDKs' own providers.")
    parser.add_argument("--binary")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-sts-"))
    provider = Provider(folder)
    settings = gateway.write_settings(folder)
    policies = folder / "policies"
    (policies / "ci.json").write_text(json.dumps(READ_AND_WRITE))
    for name in ("roles", "identity-providers"):
        (policies / name).mkdir(exist_ok=True)
    (policies / "roles/ci.toml").write_text(f'name = "ci"\ntenant = "alice"\npolicies = ["ci"]\ntenants = ["alice"]\n[[web_identity]]\nissuer = "{provider.issuer}"\nclaims = {{ sub = "repo:alice/*" }}\n')
    (policies / "identity-providers/here.toml").write_text(f'issuer = "{provider.issuer}"\naudiences = ["sts.amazonaws.com"]\nlocal = true\n')
    server = None
    try:
        server = gateway.Gateway(asked.binary or gateway.find_binary(), settings, folder / "gateway.log").wait_until_open()
        run(provider, folder, f"http://127.0.0.1:{server.ports['s3']}", asked.binary or gateway.find_binary())
        if server.stop() != 0:
            raise SystemExit("the gateway did not end well")
        log = (folder / "gateway.log").read_text(errors="replace")
        check("no secret and no token stands in the log", lambda: same([word for word in (SECRETS or ["?"]) if word in log], []))
    finally:
        if server and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


SECRETS = []


def run(provider, folder, endpoint, binary):
    lasting = dict(region_name="us-east-1", aws_access_key_id=gateway.TENANTS["alice"][0], aws_secret_access_key=gateway.TENANTS["alice"][1])
    s3 = boto3.client("s3", endpoint_url=endpoint, **lasting)
    sts = boto3.client("sts", endpoint_url=endpoint, **lasting)
    s3.create_bucket(Bucket="alice-media")

    def by(credentials, service="s3"):
        SECRETS.extend([credentials["SecretAccessKey"], credentials["SessionToken"]])
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=credentials["SessionToken"])

    def of_its_own():
        client = by(sts.get_session_token(DurationSeconds=900)["Credentials"])
        client.put_object(Bucket="alice-media", Key="own", Body=b"x")
        same(client.get_object(Bucket="alice-media", Key="own")["Body"].read(), b"x")
        same(by(sts.get_session_token()["Credentials"], "sts").get_caller_identity()["Account"], "alice")

    def by_role():
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::alice-media/ci/*"}]}
        answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="run-7", Policy=json.dumps(policy))
        same(answer["AssumedRoleUser"]["Arn"], "arn:aws:sts::alice:assumed-role/ci/run-7")
        client = by(answer["Credentials"])
        client.put_object(Bucket="alice-media", Key="ci/a", Body=b"a")
        refused("AccessDenied", client.get_object, Bucket="alice-media", Key="ci/a")
        refused("AccessDenied", client.put_object, Bucket="alice-media", Key="other", Body=b"a")
        refused("AccessDenied", by(answer["Credentials"], "sts").assume_role, RoleArn=ROLE, RoleSessionName="next")

    def forms_and_urls():
        import urllib.request
        client = by(sts.get_session_token()["Credentials"])
        client.put_object(Bucket="alice-media", Key="url", Body=b"by url")
        url = client.generate_presigned_url("get_object", Params={"Bucket": "alice-media", "Key": "url"})
        same(urllib.request.urlopen(url).read(), b"by url")
        form = client.generate_presigned_post("alice-media", "posted")
        edge = "xyz"
        fields = "".join(f'--{edge}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in {**form["fields"], "file": "by form"}.items())
        request = urllib.request.Request(form["url"], (fields + f"--{edge}--\r\n").encode(), {"Content-Type": f"multipart/form-data; boundary={edge}"})
        same(urllib.request.urlopen(request).status, 204)

    check("boto3: GetSessionToken", of_its_own)
    check("boto3: AssumeRole with a policy of the session", by_role)
    check("boto3: a presigned URL and a form of a session", forms_and_urls)
    check("boto3: a wrong audience", lambda: refused("InvalidIdentityToken", sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=provider.token(aud="other")))
    check("boto3: an expired token", lambda: refused("ExpiredTokenException", sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=provider.token(exp=1000)))

    token = folder / "token"
    token.write_text(provider.token())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") or name == "AWS_PROGRAM"}
    env = {
        **kept, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "job", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_STS": endpoint, "AWS_ENDPOINT_URL_S3": endpoint, "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "HOME": str(folder), "NODE_NO_WARNINGS": "1",
    }

    def told(*command):
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python = "import boto3\ns3 = boto3.client('s3')\ns3.put_object(Bucket='alice-media', Key='ci/py', Body=b'by boto3')\nprint(s3.get_object(Bucket='alice-media', Key='ci/py')['Body'].read().decode())\nprint(boto3.client('sts').get_caller_identity()['Arn'])"
    check("boto3 finds its token file and role", lambda: same(told(sys.executable, "-c", python).split(), ["by", "boto3", "arn:aws:sts::alice:assumed-role/ci/job"]))
    if os.environ.get("AWS_PROGRAM"):
        aws = os.environ["AWS_PROGRAM"]
        check("aws-cli finds its token file and role", lambda: same(json.loads(told(aws, "sts", "get-caller-identity", "--output", "json"))["UserId"], "ci:job"))
        (folder / "file").write_text("by aws-cli")
        check("aws-cli copies with it", lambda: told(aws, "s3", "cp", str(folder / "file"), "s3://alice-media/ci/cli"))
    if os.environ.get("JS_MODULES"):
        check("the JavaScript SDK finds its token file and role", lambda: same(told("node", "-e", JS).split("\n")[:2], ["by js", "AccessDenied"]))

    def by_rust():
        (folder / "there").mkdir()
        (folder / "there/note").write_text("by aws-sdk-rust")
        told(binary, "import", str(folder / "there"), "s3://alice-media/ci/rust", "--endpoint", endpoint)
        same(s3.get_object(Bucket="alice-media", Key="ci/rust/note")["Body"].read(), b"by aws-sdk-rust")
        told(binary, "export", "s3://alice-media/ci/rust", str(folder / "back"), "--endpoint", endpoint)
        same((folder / "back/note").read_text(), "by aws-sdk-rust")
        other = subprocess.run([binary, "import", str(folder / "there"), "s3://alice-media/other", "--endpoint", endpoint], env=env, cwd=folder / "there", capture_output=True, text=True, timeout=120)
        assert other.returncode != 0 and "AccessDenied" in other.stdout + other.stderr, other

    check("the Rust SDK finds its token file and role", by_rust)


main()
