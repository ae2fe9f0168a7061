"""The player's own origin: its page and three.js, as `npm install` left it.

It is isolated (COOP, COEP), so that SharedArrayBuffer and WASM threads are there: whatever the page takes from elsewhere must allow it.
`localhost` is another site than 127.0.0.1, not only another origin.
"""

import http.server
import mimetypes
import threading
import urllib.parse
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "page"
HEADERS = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Resource-Policy": "same-origin"}
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}


def serve(modules):
    """Starts it in a thread that ends with the process; returns its origin."""
    roots = {"three": (modules / "node_modules/three").resolve(), "": PAGE}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/") or "index.html"
            first, _, rest = path.partition("/")
            root, name = (roots[first], rest) if first in roots else (roots[""], path)
            file = (root / name).resolve()
            found = file.is_relative_to(root) and file.is_file()
            body = file.read_bytes() if found else b""
            self.send_response(200 if found else 404)
            for header, value in HEADERS.items():
                self.send_header(header, value)
            self.send_header("Content-Type", TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://localhost:{server.server_address[1]}"
