#!/usr/bin/env python3
"""Opens databases across the two servers, in both directions, with the live reference.

    conformance/both_ways.py OUI_BINARY PROVIDER_BINARY

1. Ours makes a database: two accounts, a chat with a reply, a folder, a changed setting. The reference opens it;
   every account signs in there and every chat is there.
2. The reference adds a chat. Ours opens the database again and has all of them, without a second backup.

Needs the reference as conformance/reference.sh installs it. Prints what it checked; exit code 1 on the first difference.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HOME = pathlib.Path(os.environ.get("OUI_REFERENCE_HOME", pathlib.Path.home() / ".cache/oui-reference"))
SECRET = "both-ways-secret-of-at-least-32-bytes"
ACCOUNTS = [("Ada", "ada@example.org", "ada-password-1"), ("Bob Ünal", "bob@example.org", "bob-password-1")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(base, method, path, body=None, token=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def ok(answer, what):
    status, body = answer
    if status != 200:
        sys.exit(f"FAILED {what}: {status} {body}")
    return body


def same(left, right, what):
    if left != right:
        sys.exit(f"FAILED {what}: {left!r} is not {right!r}")
    print(f"ok  {what}")


class Server:
    def __init__(self, command, data, provider, health="/health"):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        env = {
            **os.environ, "DATA_DIR": str(data), "WEBUI_SECRET_KEY": SECRET, "ENABLE_OLLAMA_API": "false",
            "OPENAI_API_BASE_URL": f"{provider}/v1", "OPENAI_API_KEY": "sk-x", "OFFLINE_MODE": "true",
            "HF_HUB_OFFLINE": "1", "RAG_EMBEDDING_MODEL_AUTO_UPDATE": "false", "CORS_ALLOW_ORIGIN": "*",
        }
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*command, "serve", "--host", "127.0.0.1", "--port", str(self.port)],
            env=env, cwd=data, stdout=self.log, stderr=subprocess.STDOUT,
        )
        deadline = time.time() + 240
        while time.time() < deadline:
            try:
                if call(self.base, "GET", health)[0] == 200:
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.log.seek(0)
        sys.exit(f"FAILED start of {command[0]}:\n{self.log.read().decode()[-3000:]}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def sign_in(base, email, password):
    return ok(call(base, "POST", "/api/v1/auths/signin", {"email": email, "password": password}), f"sign-in {email}")["token"]


def new_chat(base, token, text):
    now = int(time.time())
    chat = {"chat": {
        "title": text, "models": ["echo"], "timestamp": now * 1000, "tags": [],
        "history": {"currentId": "a1", "messages": {
            "u1": {"id": "u1", "parentId": None, "childrenIds": ["a1"], "role": "user", "content": text, "timestamp": now},
            "a1": {"id": "a1", "parentId": "u1", "childrenIds": [], "role": "assistant", "content": f"re: {text}",
                   "model": "echo", "done": True, "timestamp": now},
        }},
        "messages": [],
    }}
    return ok(call(base, "POST", "/api/v1/chats/new", chat, token), "new chat")["id"]


def completed_chat(base, token, text):
    """A chat through the completion pipeline, without a socket."""
    chat_id = new_chat(base, token, text)
    body = {
        "model": "echo", "stream": False, "chat_id": chat_id, "parent_id": "a1",
        "messages": [{"role": "user", "content": "and again"}],
        "user_message": {"id": "u2", "parentId": "a1", "childrenIds": ["a2"], "role": "user", "content": "and again",
                         "timestamp": int(time.time()), "models": ["echo"]},
        "message_ids": [{"model_id": "echo", "message_id": "a2"}],
    }
    ok(call(base, "POST", "/api/chat/completions", body, token), "completion")
    return chat_id


def chats_of(base, token):
    """Title and messages of every chat of the account, comparable across servers."""
    found = {}
    for entry in ok(call(base, "GET", "/api/v1/chats/?page=1", None, token), "chat list"):
        chat = ok(call(base, "GET", f"/api/v1/chats/{entry['id']}", None, token), "chat")
        messages = chat["chat"]["history"]["messages"]
        found[chat["title"]] = {
            key: (message["role"], message["content"], message.get("parentId"), sorted(message.get("childrenIds") or []))
            for key, message in messages.items()
        }
    return found


def main():
    oui, provider_binary = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    reference = HOME / "venv-0.12.4/bin/open-webui"
    if not reference.exists():
        sys.exit(f"{reference} is missing: run conformance/reference.sh once")
    provider_port = free_port()
    provider = subprocess.Popen([provider_binary, "--port", str(provider_port)], stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{provider_port}"
    data = pathlib.Path(tempfile.mkdtemp(prefix="both-ways-"))
    try:
        ours = Server([oui], data, address)
        name, email, password = ACCOUNTS[0]
        admin = ok(call(ours.base, "POST", "/api/v1/auths/signup",
                        {"name": name, "email": email, "password": password}), "sign-up")["token"]
        name, email, password = ACCOUNTS[1]
        ok(call(ours.base, "POST", "/api/v1/auths/add",
                {"name": name, "email": email, "password": password, "role": "user"}, admin), "add user")
        completed_chat(ours.base, admin, "made by ours ✓")
        bob = sign_in(ours.base, email, password)
        new_chat(ours.base, bob, "Bob's chat")
        expected = {mail: chats_of(ours.base, sign_in(ours.base, mail, word)) for _, mail, word in ACCOUNTS}
        ours.stop()

        theirs = Server([str(reference)], data, address)
        for _, mail, word in ACCOUNTS:
            same(chats_of(theirs.base, sign_in(theirs.base, mail, word)), expected[mail], f"the reference has the chats of {mail}")
        # A token made by ours is good there as well: same secret, same stamp.
        same(call(theirs.base, "GET", "/api/v1/auths/", None, admin)[0], 200, "the reference takes a token of ours")
        new_chat(theirs.base, sign_in(theirs.base, *ACCOUNTS[1][1:]), "made by the reference")
        expected = {mail: chats_of(theirs.base, sign_in(theirs.base, mail, word)) for _, mail, word in ACCOUNTS}
        theirs.stop()

        ours = Server([oui], data, address)
        for _, mail, word in ACCOUNTS:
            same(chats_of(ours.base, sign_in(ours.base, mail, word)), expected[mail], f"ours has the chats of {mail}")
        same(list(data.glob("*.backup-*")), [], "no backup of a database that ours made")
        ours.stop()
    finally:
        provider.kill()
    print("both ways: 2 passed, 0 failed")


main()
