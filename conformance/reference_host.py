"""Starts reference servers quickly: loads every library once, then forks one process per server.

A cold start takes most of a minute, nearly all of it spent on importing libraries and on creating
the tables. A fork that has the libraries and starts with a copy of an empty database needs four
seconds, so every scenario can have a fresh server.

Reads JSON lines from stdin and answers each with one JSON line on stdout:
  {"start": {"port": 1234, "data": "/dir", "env": {"NAME": "value"}}}   -> {"pid": 99}
  {"stop": 99}                                                          -> {"stopped": 99}
The end of stdin stops everything.
"""

import importlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

PACKAGE = "open_webui"


def prepare(modules, database):
    """Writes the names of all modules that the reference loads, its own ones left out, and the
    database that loading leaves behind: all tables, no rows."""
    code = (
        "import sys, " + PACKAGE + ".main\n"
        "names = [n for n, m in sys.modules.items()"
        " if n.split('.')[0] != '" + PACKAGE + "' and getattr(getattr(m, '__spec__', None), 'name', None) == n]\n"
        "open(sys.argv[1], 'w').write('\\n'.join(names))\n"
    )
    with tempfile.TemporaryDirectory() as data:
        env = dict(os.environ, DATA_DIR=data, WEBUI_SECRET_KEY="list", FROM_INIT_PY="true")
        subprocess.run([sys.executable, "-c", code, modules], check=True, env=env, stdout=sys.stderr)
        with sqlite3.connect(os.path.join(data, "webui.db")) as created:
            if created.execute("select count(*) from config").fetchone() != (0,):
                raise SystemExit("loading the reference has stored settings; they would leak into recordings")
            created.execute("vacuum into ?", (database,))


def preload(modules):
    with open(modules) as names:
        for name in names.read().split():
            try:
                importlib.import_module(name)
            except BaseException as error:  # an optional part that only loads in its own order
                print(f"not preloaded: {name}: {error!r:.80}", file=sys.stderr)


def serve(database, port, data, env):
    """Becomes a server; never returns."""
    os.makedirs(data, exist_ok=True)
    shutil.copyfile(database, os.path.join(data, "webui.db"))
    os.chdir(data)
    log = os.open(os.path.join(data, "server.log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(env, DATA_DIR=data, FROM_INIT_PY="true")
    uvicorn = importlib.import_module("uvicorn")
    importlib.import_module(PACKAGE + ".main")
    settings = importlib.import_module(PACKAGE + ".env")
    uvicorn.run(
        PACKAGE + ".main:app",
        host="127.0.0.1",
        port=port,
        forwarded_allow_ips="*",
        ws_per_message_deflate=settings.UVICORN_WS_PER_MESSAGE_DEFLATE,
    )
    os._exit(0)


def stop(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main():
    modules, database = sys.argv[1:]
    if not (os.path.exists(modules) and os.path.exists(database)):
        prepare(modules, database)
    preload(modules)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    children = set()
    answers.write('{"ready": true}\n')
    answers.flush()
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            pid = os.fork()
            if pid == 0:
                serve(database, **order["start"])
            children.add(pid)
            answer = {"pid": pid}
        else:
            pid = order["stop"]
            if pid in children:
                children.remove(pid)
                stop(pid)
            answer = {"stopped": pid}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for pid in children:
        stop(pid)


if __name__ == "__main__":
    main()
