"""A server of prices on loopback that takes 0.4 s for each; the price is not a real one."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Prices(BaseHTTPRequestHandler):
    """Answers every request with the same number."""

    def do_GET(self) -> None:
        """Wait, and answer."""
        time.sleep(0.4)
        body = b"100.0"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Prices)
threading.Thread(target=server.serve_forever, daemon=True).start()
SOURCE = f"http://127.0.0.1:{server.server_port}"
