#!/usr/bin/env python3
"""Uploads through a gateway over S3, beside the same uploads made directly, and beside storing first and forwarding then.

    cargo build --profile dist && bench/upload.py [--size 500] [--rounds 5] [--rates 0 125] [--data FOLDER]

The upstream is a second Tidegate. What stores first is the same gateway with a threshold that no body reaches: it takes the whole
body in, then sends it. Sizes and rates are in MB of a million bytes; a rate is what the client sends in a second, 0: all it can.
In each round all take turns with bodies that nobody saw before. Prints medians of the ratios, and the highest RssAnon of the gateway."""
import argparse, os, shutil, signal, statistics, tempfile, time

from gateway import ACCESS, SECRET, request, start_tidegate
from memory import BLOCK, Client, Watch

BUCKET = "bench"


class Paced(Client):
    """Sends no more than so many blocks a second."""

    def put(self, key, stamp, blocks, rate):
        pause = BLOCK / 1e6 / rate if rate else 0
        began = time.perf_counter()
        self.due = began

        def wait():
            self.due += pause
            time.sleep(max(0.0, self.due - time.perf_counter()))

        self.send("PUT", f"/{BUCKET}/{key}", stamp=stamp, blocks=blocks, between=wait if rate else None)
        return time.perf_counter() - began


def start(folder, upstream, settings):
    text = f'[upstream]\nbucket = "{BUCKET}"\nendpoint = "http://{upstream}"\nregion = "us-east-1"\npath_style = true\n{settings}'
    return start_tidegate(folder, text, {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET})


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--size", type=int, default=500, help="MB")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--rates", type=int, nargs="*", default=[0, 125], help="MB/s of the client; 0: unbounded")
    arguments.add_argument("--data", help="where the data goes (default: a temporary folder)")
    a = arguments.parse_args()
    folder, noise, servers = tempfile.mkdtemp(prefix="tidegate-upload-", dir=a.data), os.urandom(BLOCK), []
    try:
        upstream, doors = start_tidegate(f"{folder}/u", environment={"TIDEGATE_S3_GATEWAYS_ABOVE": "true"})
        servers.append(upstream)
        direct = doors["s3"]
        request(direct, "PUT", f"/{BUCKET}")
        through, doors = start(f"{folder}/t", direct, "")
        servers.append(through)
        first, first_doors = start(f"{folder}/f", direct, 'multipart_threshold = "5GiB"\n')
        servers.append(first)
        addresses = {"direct": direct, "through": doors["s3"], "first": first_doors["s3"]}
        watch = Watch(through.pid)
        for rate in a.rates:
            seconds = {who: [] for who in addresses}
            for turn in range(a.rounds + 1):
                for who, address in addresses.items():
                    took = Paced(address, noise).put(f"{who}-{turn}", f"{who}{rate}-{turn}", a.size, rate)
                    if turn:  # the first warms all up
                        seconds[who].append(took)
                    request(direct, "DELETE", f"/{BUCKET}/{who}-{turn}")
            ratio = lambda who: statistics.median(s / t for s, t in zip(seconds[who], seconds["through"]))
            median = {who: statistics.median(s) for who, s in seconds.items()}
            print(f"{a.size} MB, client " + (f"at {rate} MB/s" if rate else "unbounded") + f": x{ratio('direct'):.2f} of direct, x{ratio('first'):.2f} of storing first"
                  f"   [direct {median['direct']:.2f} s, through {median['through']:.2f} s, storing first {median['first']:.2f} s]", flush=True)
        print(f"RssAnon of the gateway: at most {watch.highest:.0f} MiB")
        watch.stopping = True
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
        for server in servers:
            server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
