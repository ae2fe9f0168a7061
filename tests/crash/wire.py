"""A small S3 client over a raw socket: quick enough that the server, not the test, is what gets killed in mid-work.

SigV4 header form with UNSIGNED-PAYLOAD; keys and queries must need no escaping. `Cut` means: no answer, so nothing is known.
"""

import hashlib
import hmac
import socket
import time


class Cut(Exception):
    """The connection ended before a whole answer was there."""


class Wire:
    def __init__(self, port, key, secret):
        self.host = f"127.0.0.1:{port}"
        self.port, self.key, self.secret = port, key, secret
        self.day = self.signing_key = None
        self.socket = None

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def request(self, method, path, query="", headers=None, body=b""):
        """Returns status, headers with lower-case names, body. Never repeats a request by itself."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.rest = b""
            self.socket.sendall(self._head(method, path, query, headers or {}, len(body)) + body)
            return self._answer(method)
        except OSError as fault:
            self.close()
            raise Cut(str(fault)) from None
        except Cut:
            self.close()
            raise

    def _head(self, method, path, query, headers, length):
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if now[:8] != self.day:
            self.day = now[:8]
            key = ("AWS4" + self.secret).encode()
            for word in (self.day, "us-east-1", "s3", "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self.signing_key = key
        all_headers = {"host": self.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now, **headers}
        names = sorted(all_headers)
        signed = ";".join(names)
        lines = "".join(f"{n}:{all_headers[n]}\n" for n in names)
        sorted_query = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&"))) if query else ""
        canonical = f"{method}\n{path}\n{sorted_query}\n{lines}\n{signed}\nUNSIGNED-PAYLOAD"
        scope = f"{self.day}/us-east-1/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self.signing_key, to_sign.encode(), "sha256").hexdigest()
        authorization = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        target = f"{path}?{query}" if query else path
        fields = "".join(f"{n}: {v}\r\n" for n, v in all_headers.items())
        return f"{method} {target} HTTP/1.1\r\n{fields}authorization: {authorization}\r\ncontent-length: {length}\r\n\r\n".encode()

    def _answer(self, method):
        while True:
            head, found, rest = self.rest.partition(b"\r\n\r\n")
            if found:
                break
            self._more()
        self.rest = rest
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunked()
        else:
            body = self._exactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return status, headers, body

    def _chunked(self):
        body = b""
        while True:
            while b"\r\n" not in self.rest:
                self._more()
            size, _, self.rest = self.rest.partition(b"\r\n")
            chunk = self._exactly(int(size.split(b";")[0], 16) + 2)[:-2]
            if not chunk:
                return body
            body += chunk

    def _exactly(self, length):
        if len(self.rest) < length:
            parts, have = [self.rest], len(self.rest)
            while have < length:
                got = self.socket.recv(min(1 << 20, length - have))
                if not got:
                    raise Cut("the body ended early")
                parts.append(got)
                have += len(got)
            self.rest = b"".join(parts)
        body, self.rest = self.rest[:length], self.rest[length:]
        return body

    def _more(self):
        got = self.socket.recv(1 << 16)
        if not got:
            raise Cut("closed before the answer")
        self.rest += got
