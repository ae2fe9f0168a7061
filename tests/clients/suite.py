"""Runs every client suite against one gateway, over http and over https, and counts their lines.

    python suite.py [--client boto3 ...] [--scheme http|https] [--binary PATH] [--keep]
    python suite.py --endpoint URL --key K --secret S --other-key K --other-secret S    against another server

Which programs it runs comes from the environment that setup.sh prints (AWS_PROGRAM, RCLONE_PROGRAM, S3CMD_PROGRAM, JS_MODULES);
a client that is missing is a failure. run.sh does both. With TIDEGATE_TEST_OVER=s3 the gateway stands over the bucket of a
second one instead of its embedded store, with TIDEGATE_TEST_OVER=own besides each of its buckets is one of its own there. Ends with `clients: N passed, N failed` and that as its exit status.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import gateway

HERE = Path(__file__).resolve().parent
SUITES = {
    "boto3": [sys.executable, "boto3_suite.py"],
    "history": [sys.executable, "history_suite.py"],
    "state": [sys.executable, "state_suite.py"],
    "awscli": [sys.executable, "awscli_suite.py"],
    "js": ["node", "js_suite.mjs"],
    "rclone": [sys.executable, "rclone_suite.py"],
    "s3cmd": [sys.executable, "s3cmd_suite.py"],
    "curl": [sys.executable, "curl_suite.py"],
}
# Nothing of the caller's own cloud settings may take part.
FOREIGN = ("AWS_", "RCLONE_", "S3CMD_", "TIDEGATE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "NODE_OPTIONS", "BOTO")
OURS = ("AWS_PROGRAM", "RCLONE_PROGRAM", "S3CMD_PROGRAM", "JS_MODULES")
SUITE_SECONDS = 600  # the slowest takes about a minute on two busy cores; a hang must not eat the CI's time


def main():
    asked = arguments()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-clients-"))
    server = below = None
    try:
        if asked.endpoint:
            places = {asked.endpoint.split(":")[0]: asked.endpoint}
            keys, ca, domain, edge = (asked.key, asked.secret, asked.other_key, asked.other_secret), "", "", ""
            url_key = ""
        else:
            settings = gateway.write_settings(folder, tls=True)
            url_key = str(gateway.make_url_key(folder))
            binary = asked.binary or gateway.find_binary()
            below, over = start_upstream(binary, folder / "upstream")
            server = gateway.Gateway(binary, settings, folder / "gateway.log", over).wait_until_open()
            places = {"http": f"http://127.0.0.1:{server.ports['s3']}", "https": f"https://127.0.0.1:{server.ports['s3_tls']}"}
            keys, ca, domain = (*gateway.TENANTS["alice"], *gateway.TENANTS["bob"]), str(folder / "ca.pem"), gateway.DOMAIN
            edge = f"http://127.0.0.1:{server.ports['edge']}"
        passed = failed = 0
        for name in asked.client or SUITES:
            for scheme in [asked.scheme] if asked.scheme else places:
                work = folder / f"{name}-{scheme}"
                work.mkdir()
                env = environment(f"{name}/{scheme}", places[scheme], domain, keys, ca if scheme == "https" else "", work)
                env["TEST_EDGE"] = edge
                env["TEST_OVER"] = os.environ.get("TIDEGATE_TEST_OVER", "") if below else ""
                env["TEST_URL_KEY"] = url_key
                good, bad = run(f"{name}/{scheme}", SUITES[name], env)
                passed, failed = passed + good, failed + bad
                shutil.rmtree(work, ignore_errors=True)
        if server and server.process.poll() is not None:
            print(f"FAIL gateway: it ended with status {server.process.returncode} while the clients ran", flush=True)
            failed += 1
        elif server:
            status = server.stop()
            if status != 0:
                print(f"FAIL gateway: exit status {status} after SIGTERM", flush=True)
                failed += 1
            server = None
        if failed and not asked.endpoint:
            tail = (folder / "gateway.log").read_text(errors="replace").splitlines()[-40:]
            print("the gateway's last lines:", *tail, sep="\n    ", flush=True)
        print(f"clients: {passed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed else 0)
    finally:
        if server and server.process.poll() is None:
            server.kill()
        if below and below.process.poll() is None:
            below.kill()
        if asked.keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def start_upstream(binary, folder):
    """A gateway with a bucket, and the environment that makes another one stand over it, where TIDEGATE_TEST_OVER asks for it."""
    buckets = {"s3": "folders", "own": "own"}.get(os.environ.get("TIDEGATE_TEST_OVER"))
    if not buckets:
        return None, {}
    import boto3

    folder.mkdir()
    below = gateway.Gateway(binary, gateway.write_settings(folder), folder / "gateway.log", {"TIDEGATE_S3_GATEWAYS_ABOVE": "true"}).wait_until_open()
    endpoint, (key, secret) = f"http://127.0.0.1:{below.ports['s3']}", gateway.ROOT_KEY
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret).create_bucket(Bucket="home")
    names = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    return below, {"S3_BUCKET": "home", "S3_ENDPOINT": endpoint, "TIDEGATE_UPSTREAM_BUCKETS": buckets, "TIDEGATE_UPSTREAM_BUCKET_PREFIX": "up-" if buckets == "own" else "", **names}


def arguments():
    parser = argparse.ArgumentParser(description="Real S3 clients with their default settings against one gateway.")
    parser.add_argument("--client", action="append", choices=SUITES)
    parser.add_argument("--scheme", choices=("http", "https"))
    parser.add_argument("--binary")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    parser.add_argument("--endpoint", help="another server instead of a gateway of our own")
    for name in ("key", "secret", "other-key", "other-secret"):
        parser.add_argument(f"--{name}", default="test")
    return parser.parse_args()


def environment(run, endpoint, domain, keys, ca, work):
    env = {k: v for k, v in os.environ.items() if k in OURS or not k.startswith(FOREIGN)}
    env.update(
        TEST_RUN=run, TEST_ENDPOINT=endpoint, TEST_DOMAIN=domain, TEST_CA=ca, TEST_WORK=str(work),
        TEST_KEY=keys[0], TEST_SECRET=keys[1], TEST_OTHER_KEY=keys[2], TEST_OTHER_SECRET=keys[3],
        AWS_EC2_METADATA_DISABLED="true",  # outside a cloud its timeouts would be all that is measured
        NODE_NO_WARNINGS="1",  # the SDK announces the Node versions of its future on each start
    )
    if ca:
        env.update(AWS_CA_BUNDLE=ca, NODE_EXTRA_CA_CERTS=ca)
    return env


def run(name, arguments, env):
    """One suite: shows its lines as they come and counts them. What ends without a result is a failure."""
    process = subprocess.Popen(arguments, cwd=HERE, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    alarm = threading.Timer(SUITE_SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
    alarm.start()
    good = bad = 0
    try:
        for line in process.stdout:
            good += line.startswith("ok ")
            bad += line.startswith("FAIL ")
            print(line, end="", flush=True)
    finally:
        process.wait()
        alarm.cancel()
    if process.returncode != 0 and not bad or good + bad == 0:
        print(f"FAIL {name}: the suite ended with status {process.returncode} and no failed check", flush=True)
        bad += 1
    return good, bad


if __name__ == "__main__":
    main()
