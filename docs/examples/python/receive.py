"""Takes what suki-receiver's `http` sink delivers, and keeps each event once, as a file. The standard library only.

    mkdir -m 0700 events && printf 'a secret of your own' > sink-secret
    python3 receive.py sink-secret events 9000

The sink has the same secret: url = "http://127.0.0.1:9000/", secret = { file = "sink-secret" }. An event is taken with
204 once it is on disk; another process works on the files. Notes are patient data: where the receiver is on another
machine, put something in front that ends TLS.
"""

import base64
import hashlib
import hmac
import os
import re
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 5 * 60  # How far a delivery's timestamp may be from now.
MAX_BODY_BYTES = 64 * 1024 * 1024  # A 413 is final for the receiver, so leave room for the longest note.


def signing_key(text):
    """The key of a secret: after `whsec_` base64, else the text as it is."""
    text = text.strip()
    return base64.b64decode(text[6:]) if text.startswith("whsec_") else text.encode()


def is_authentic(key, event_id, timestamp, signatures, body):
    """Standard Webhooks: HMAC-SHA256 of id.timestamp.body. During a rotation there are several signatures."""
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    digest = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = b"v1," + base64.b64encode(digest)
    # In constant time, so that no signature can be guessed byte by byte.
    return any(hmac.compare_digest(expected, one.encode()) for one in signatures.split())


def keep(folder, event_id, body):
    """Keeps an event on disk, whole or not at all; false where it was kept before."""
    path = os.path.join(folder, f"{event_id}.json")
    is_new = not os.path.exists(path)
    if is_new:
        descriptor, partial = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError:
            os.unlink(partial)  # A full disk must not get fuller with every attempt.
            raise
    # Also for a repetition: the first time may have been cut short between the renaming and this.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return is_new


class Receive(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            return self.answer(411)
        if int(length) > MAX_BODY_BYTES:
            return self.answer(413)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self.answer(400)
        event_id = self.headers.get("webhook-id", "")
        timestamp = self.headers.get("webhook-timestamp", "")
        signatures = self.headers.get("webhook-signature", "")
        if not is_authentic(self.server.key, event_id, timestamp, signatures, body):
            return self.answer(401)
        # It becomes the name of a file.
        if not re.fullmatch(r"[0-9a-f-]{36}", event_id):
            return self.answer(400)
        try:
            is_new = keep(self.server.folder, event_id, body)
        except OSError as error:
            print(f"not kept: {event_id}: {error.strerror}", flush=True)
            return self.answer(503)  # The receiver tries again.
        print(f"{'kept' if is_new else 'kept before'}: {event_id}", flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            # What is left of the body is not read.
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        """Nothing of a request is logged but the event's id."""


def main():
    secret_file, folder, port = sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Receive)
    with open(secret_file, encoding="utf-8") as file:
        server.key = signing_key(file.read())
    server.folder = folder
    if not server.key:
        sys.exit("The secret is empty.")
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
