"""Loads the Python source of tools and functions.

This part is common to the two processes: the one that answers questions about sources, and those that run plugins.
What they say to the server is JSON, a line each, on what was standard output. Whatever plugins print goes to standard
error.
"""

import hashlib
import importlib.abc
import importlib.machinery
import inspect
import json
import os
import re
import sys
import tempfile
import types
import typing

KINDS = ("Pipe", "Filter", "Action", "Event")


def open_pipes():
    """Takes both pipes away from plugins, which print and read what they like."""
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return questions, answers


def limit_memory(megabytes):
    if not megabytes:
        return
    try:
        import resource
    except ImportError:
        return
    size = megabytes * 1024 * 1024
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))


def load(kind, name, source):
    """The plugin's object and the name of its class."""
    module = types.ModuleType(f"{kind}_{name}")
    handle, path = tempfile.mkstemp(suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        module.__file__ = path
        sys.modules[module.__name__] = module
        exec(compile(source, path, "exec"), module.__dict__)
    finally:
        os.unlink(path)
    if kind == "tool":
        if not hasattr(module, "Tools"):
            raise Exception("No Tools class found in the module")
        found = "Tools"
    else:
        found = next((kind for kind in KINDS if hasattr(module, kind)), None)
        if found is None:
            raise Exception("No Function class found in the module")
    return getattr(module, found)(), found


class Response:
    """What plugins make of the web framework's responses, where the framework is not installed."""

    media_type = None

    def __init__(self, content=None, status_code=200, headers=None, media_type=None, background=None):
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        self.body = self.render(content)
        self.headers = Headers(headers or {})
        if self.media_type:
            self.headers.setdefault("content-type", self.media_type)

    def render(self, content):
        if content is None:
            return b""
        return content if isinstance(content, bytes) else str(content).encode("utf-8")


class Headers(dict):
    """Headers whose names are found in any case."""

    def __init__(self, items):
        super().__init__({str(name).lower(): value for name, value in dict(items).items()})

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().__contains__(name.lower())


class HTMLResponse(Response):
    media_type = "text/html"


class PlainTextResponse(Response):
    media_type = "text/plain"


class JSONResponse(Response):
    media_type = "application/json"

    def render(self, content):
        return json.dumps(content, ensure_ascii=False).encode("utf-8")


class RedirectResponse(Response):
    def __init__(self, url, status_code=307, headers=None, background=None):
        super().__init__(None, status_code, {**(headers or {}), "location": str(url)})


class StreamingResponse(Response):
    def __init__(self, content, status_code=200, headers=None, media_type=None, background=None):
        super().__init__(None, status_code, headers, media_type, background)
        self.body_iterator = content


class HTTPException(Exception):
    def __init__(self, status_code=500, detail=None, headers=None):
        super().__init__(detail)
        self.status_code, self.detail, self.headers = status_code, detail, headers

    def __str__(self):
        return f"{self.status_code}: {self.detail}"


class Request:
    """The request that a run belongs to, as far as another process can know it."""

    def __init__(self, known=None):
        known = known or {}
        self.method = known.get("method", "POST")
        self.base_url = known.get("base_url", "")
        self.url = known.get("url", self.base_url)
        self.headers = Headers(known.get("headers") or {})
        self.cookies = dict(known.get("cookies") or {})
        self.query_params, self.path_params = {}, {}
        self.client = None
        self.state = types.SimpleNamespace(**(known.get("state") or {}))
        self.app = types.SimpleNamespace(state=types.SimpleNamespace(config=types.SimpleNamespace()))


STAND_INS = {
    "fastapi": {"Request": Request, "Response": Response, "HTTPException": HTTPException},
    "fastapi.requests": {"Request": Request},
    "fastapi.exceptions": {"HTTPException": HTTPException},
    "fastapi.responses": {},
    "starlette": {},
    "starlette.requests": {"Request": Request},
    "starlette.exceptions": {"HTTPException": HTTPException},
    "starlette.responses": {},
}
for kind in (Response, HTMLResponse, PlainTextResponse, JSONResponse, RedirectResponse, StreamingResponse):
    STAND_INS["fastapi.responses"][kind.__name__] = kind
    STAND_INS["starlette.responses"][kind.__name__] = kind


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for the web framework, whose responses plugins answer with. Asked last, so that a real one comes first."""

    def find_spec(self, name, path=None, target=None):
        if name not in STAND_INS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package="." not in name)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__dict__.update(STAND_INS[module.__name__])


sys.meta_path.append(StandIns())


