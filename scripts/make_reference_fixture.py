"""Helper of make-reference-fixture.sh: a scripted provider, the API calls that fill the original, the packing.

Standard library only. Accounts, secret and contents are described in crates/migrations/fixtures/README.md.
"""

import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "fixture-model"
ANSWER = ["Grüße", " aus dem", " Fixture-Modell."]


class Provider(BaseHTTPRequestHandler):
    """Lists one model and answers every completion with the same sentence."""

    def do_GET(self):
        self.reply({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "fixture"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        if not body.get("stream"):
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(ANSWER)},
                "finish_reason": "stop",
            }
            self.reply(self.envelope("chat.completion", [choice]) | {"usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for part in ANSWER:
            self.event(self.envelope("chat.completion.chunk", [{"index": 0, "delta": {"content": part}}]))
        last = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        self.event(self.envelope("chat.completion.chunk", last) | {"usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def envelope(self, kind, choices):
        return {"id": "fixture", "object": kind, "created": 1, "model": MODEL, "choices": choices}

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def reply(self, value):
        payload = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


class Client:
    """One account of the original, over plain HTTP."""

    def __init__(self, base, token=None):
        self.base, self.token = base, token

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error

    def post(self, path, body):
        return self.call("POST", path, body)

    def get(self, path):
        return self.call("GET", path)

    def sign_up(self, name, email, password):
        session = self.post("/api/v1/auths/signup", {"name": name, "email": email, "password": password})
        return Client(self.base, session["token"])

    def run_chat(self, text):
        """A whole turn through the completion pipeline; returns the chat once its answer is stored."""
        question, answer = str(uuid.uuid4()), str(uuid.uuid4())
        started = self.post(
            "/api/chat/completions",
            {
                "model": MODEL,
                "stream": True,
                "messages": [{"role": "user", "content": text}],
                "parent_id": None,
                "id": answer,
                "session_id": "fixture-session",
                "user_message": {
                    "id": question,
                    "parentId": None,
                    "childrenIds": [answer],
                    "role": "user",
                    "content": text,
                    "timestamp": int(time.time()),
                    "models": [MODEL],
                },
                "background_tasks": {},
            },
        )
        for _ in range(120):
            chat = self.get(f"/api/v1/chats/{started['chat_id']}")
            if chat["chat"]["history"]["messages"].get(answer, {}).get("done"):
                return chat
            time.sleep(0.5)
        raise SystemExit(f"the answer did not finish: {json.dumps(chat)[:800]}")


def wait_for(base):
    for _ in range(360):
        try:
            with urllib.request.urlopen(base + "/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the original did not answer within three minutes")


def everybody(permission):
    return [{"principal_type": "user", "principal_id": "*", "permission": permission}]


def fill(base):
    wait_for(base)
    admin = Client(base).sign_up("Ada Admin", "admin@example.com", "fixture-admin-1")
    config = admin.get("/api/v1/auths/admin/config")
    config |= {
        "ENABLE_SIGNUP": True,
        "DEFAULT_USER_ROLE": "user",
        "ENABLE_CHANNELS": True,
        "RESPONSE_WATERMARK": "written by the fixture",
    }
    admin.post("/api/v1/auths/admin/config", config)
    banner = {"id": "fixture", "type": "info", "title": "", "content": "Fixture", "dismissible": True, "timestamp": 1}
    admin.post("/api/v1/configs/banners", {"banners": [banner]})
    admin.get("/api/models")
    admin.post(
        "/api/v1/models/create",
        {
            "id": "fixture-assistant",
            "base_model_id": MODEL,
            "name": "Fixture assistant",
            "meta": {"description": "A workspace model"},
            "params": {"temperature": 0.25},
            "access_grants": everybody("read"),
        },
    )
    admin.post(
        "/api/v1/models/create",
        {
            "id": MODEL,
            "base_model_id": None,
            "name": MODEL,
            "meta": {},
            "params": {},
            "access_grants": everybody("read"),
        },
    )
    admin.post(
        "/api/v1/prompts/create",
        {"command": "greet", "name": "Greet", "content": "Greet {{name}} kindly.", "access_grants": everybody("read")},
    )
    channel = admin.post(
        "/api/v1/channels/create",
        {"name": "general", "description": "For all", "is_private": False, "access_grants": everybody("write")},
    )
    admin.post(f"/api/v1/channels/{channel['id']}/messages/post", {"content": "Willkommen"})
    admin.run_chat("Hello from the administrator")

    user = Client(base).sign_up("Ursula Ünal", "user@example.com", "fixture-user-1")
    folder = user.post("/api/v1/folders/", {"name": "Reisen"})
    chat = user.run_chat("Schöne Grüße nach ÖSTERREICH")
    user.post(f"/api/v1/chats/{chat['id']}/folder", {"folder_id": folder["id"]})
    user.post(f"/api/v1/chats/{chat['id']}/tags", {"name": "urlaub"})
    user.post(f"/api/v1/chats/{chat['id']}/pin", {})
    user.post("/api/v1/chats/new", {"chat": {"title": "Empty chat", "models": [MODEL], "messages": [], "history": {"messages": {}, "currentId": None}}})


def pack(source, target):
    """Takes what the write-ahead log holds into the file and copies it, compacted."""
    database = sqlite3.connect(source)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if os.path.exists(target):
        os.remove(target)
    database.execute("VACUUM INTO ?", (target,))
    database.close()
    # The copy is in rollback mode; the original's files are in WAL mode, and so is this one.
    copy = sqlite3.connect(target)
    copy.execute("PRAGMA journal_mode=WAL")
    copy.close()


if __name__ == "__main__":
    command, argument = sys.argv[1], sys.argv[2]
    if command == "provider":
        ThreadingHTTPServer(("127.0.0.1", int(argument)), Provider).serve_forever()
    elif command == "fill":
        fill(argument)
    elif command == "pack":
        pack(argument, sys.argv[3])
    else:
        raise SystemExit(f"unknown command {command}")
