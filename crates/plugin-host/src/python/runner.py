"""Runs one plugin: loads its source, then answers calls to its methods until standard input ends.

The server says `{"call", "method", "given", "extra", "valves", "user_valves"}` to call a method, `{"cancel"}` to stop a
call, `{"reply", "value"}` to answer what a call asked, and `{"more", "count"}` when it has taken so many messages of a
call. This process says `{"id", "event"}`, `{"id", "ask", ...}`, `{"id", "piece"}` in the course of a call and
`{"id", "answer"}` or `{"id", "problem"}` at its end.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import threading

# Characters of one message; a result that is longer fails its call.
LONGEST = 32 * 1024 * 1024
# Messages of a call that may be on their way at the same time.
AHEAD = 64

asked = {}
numbers = itertools.count(1)
calls = {}
writing = threading.Lock()


def plain(value):
    """What JSON has for a value: models as their fields, bytes as text, everything unknown as its text."""
    for name in ("model_dump", "to_dict"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return method()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)


def written(value):
    return json.dumps(value, default=plain, ensure_ascii=False)


def say(message):
    text = written(message)
    if len(text) > LONGEST:
        raise ValueError(f"The result has more than {LONGEST} characters.")
    with writing:
        answers.write(text + "\n")
        answers.flush()


class Call:
    """One call: what it says on its way, as far as the server has room for it."""

    def __init__(self, number):
        self.number, self.ahead, self.task, self.over = number, AHEAD, None, False
        self.threads = 0
        self.room = threading.Condition()

    def take(self):
        with self.room:
            if self.over:
                raise asyncio.CancelledError
            if self.ahead > 0:
                self.ahead -= 1
                return True
            return False

    def more(self, count):
        with self.room:
            self.ahead += count
            self.room.notify_all()

    def end(self):
        with self.room:
            self.over = True
            self.room.notify_all()

    def say(self, message):
        """Waits for room in this thread."""
        while not self.take():
            with self.room:
                self.room.wait(1)
        say({"id": self.number, **message})

    async def tell(self, message):
        """Waits for room in whatever loop runs here."""
        while not self.take():
            await asyncio.sleep(0.005)
        say({"id": self.number, **message})

    async def ask(self, message):
        number = next(numbers)
        asked[number] = answer = concurrent.futures.Future()
        try:
            await self.tell({"ask": number, **message})
            return await asyncio.wrap_future(answer)
        finally:
            asked.pop(number, None)


def tool_of(call, name, about):
    async def tool(**arguments):
        return await call.ask({"tool": name, "arguments": arguments})

    tool.__name__ = name
    return {**about, "callable": tool}


def extras(call, question, names):
    """Values of the parameters that the server fills in."""
    given = dict(question.get("extra") or {})
    if "__event_emitter__" in names:
        emits = question.get("emits")
        given["__event_emitter__"] = (lambda event: call.tell({"event": event})) if emits else None
    if "__event_call__" in names:
        given["__event_call__"] = (lambda event: call.ask({"event": event})) if question.get("asks") else None
    if "__request__" in names:
        given["__request__"] = Request(question.get("request"))
    if "__tools__" in names:
        known = (question.get("tools") or {}).items()
        given["__tools__"] = {name: tool_of(call, name, about) for name, about in known}
    if "__user__" in names and hasattr(plugin, "UserValves"):
        given["__user__"] = {**(given.get("__user__") or {})}
        try:
            given["__user__"]["valves"] = plugin.UserValves(**(question.get("user_valves") or {}))
        except Exception as error:
            print(f"user valves: {error}", file=sys.stderr)
            with contextlib.suppress(Exception):
                given["__user__"]["valves"] = plugin.UserValves()
    return {name: value for name, value in given.items() if name in names}


def fitted(method, given):
    """Arguments in the type that a parameter asks for, where models confuse numbers and texts."""
    try:
        hints = typing.get_type_hints(method)
    except Exception:
        hints = {}
    parameters = inspect.signature(method).parameters
    for name, value in given.items():
        if name not in parameters or value is None:
            continue
        wanted = hints.get(name, parameters[name].annotation)
        kinds = set(typing.get_args(wanted)) - {type(None)} or {wanted}
        if kinds == {int} and isinstance(value, str):
            given[name] = int(value)
        elif kinds == {str} and isinstance(value, (int, float)) and not isinstance(value, bool):
            given[name] = str(value)
    return given


def in_thread(call, work):
    """Runs something that may block in a thread of its own; one that hangs must not hold up others."""
    done = concurrent.futures.Future()
    call.threads += 1

    def run():
        try:
            result = work()
        except BaseException as error:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                done.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                done.set_result(result)
        finally:
            call.threads -= 1

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(done)


def is_web(value, name):
    """Whether a value is such a response of the web framework, ours or a real one."""
    return any(kind.__name__ == name for kind in type(value).__mro__)


def web(value):
    body = getattr(value, "body", b"")
    text = body.decode("utf-8", "replace") if isinstance(body, (bytes, bytearray)) else str(body)
    headers = {str(name).lower(): str(content) for name, content in dict(value.headers).items()}
    return {"body": text, "headers": headers, "status": value.status_code}


async def outcome(call, value):
    """The answer for a result: streams go out in pieces first."""
    if is_web(value, "StreamingResponse"):
        value, raw = value.body_iterator, True
    else:
        raw = False
    if inspect.isasyncgen(value) or hasattr(value, "__aiter__"):
        async for piece in value:
            await call.tell({"piece": piece_of(piece)})
        return {"kind": "stream", "raw": raw}
    if inspect.isgenerator(value) or hasattr(value, "__next__"):
        def pieces():
            for piece in value:
                call.say({"piece": piece_of(piece)})

        await in_thread(call, pieces)
        return {"kind": "stream", "raw": raw}
    if isinstance(value, tuple):
        parts = [item for item in value]
        if len(parts) == 2 and is_web(parts[0], "HTMLResponse"):
            return {"kind": "html", **web(parts[0]), "context": parts[1]}
        return {"kind": "tuple", "value": parts}
    if is_web(value, "HTMLResponse"):
        return {"kind": "html", **web(value)}
    if is_web(value, "Response"):
        return {"kind": "response", **web(value)}
    if isinstance(value, (str, dict, list, int, float, bool)) or value is None:
        return {"kind": "value", "value": value}
    if callable(getattr(value, "model_dump", None)):
        return {"kind": "value", "value": value.model_dump()}
    return {"kind": "value", "value": str(value)}


def piece_of(piece):
    """Models as JSON of their fields, as they stand in a stream."""
    if callable(getattr(piece, "model_dump_json", None)):
        return {"data": json.loads(piece.model_dump_json())}
    if isinstance(piece, dict):
        return {"data": piece}
    if isinstance(piece, (bytes, bytearray)):
        return bytes(piece).decode("utf-8", "replace")
    return str(piece)


def take_valves(question):
    if not (hasattr(plugin, "valves") and hasattr(plugin, "Valves")) or "valves" not in question:
        return
    values = question["valves"] or {}
    plugin.valves = plugin.Valves(**{name: value for name, value in values.items() if value is not None})


async def perform(call, question):
    try:
        take_valves(question)
        method = getattr(plugin, question["method"])
        if not callable(method):
            result = method
        else:
            parameters = inspect.signature(method).parameters
            given = fitted(method, dict(question.get("given") or {}))
            given.update(extras(call, question, parameters))
            if inspect.iscoroutinefunction(method):
                result = await method(**given)
            else:
                result = await in_thread(call, lambda: method(**given))
                if inspect.isawaitable(result):
                    result = await result
        answer = {"answer": await outcome(call, result)}
        text = written(answer)
        if len(text) > LONGEST:
            answer = {"problem": f"The result has more than {LONGEST} characters."}
    except asyncio.CancelledError:
        # A thread cannot be stopped: the server then gives this process no more to do.
        answer = {"problem": "The call was stopped.", "stuck": call.threads > 0}
    except BaseException as error:
        import traceback

        traceback.print_exc(file=sys.stderr)
        answer = {"problem": str(error) or type(error).__name__}
    calls.pop(call.number, None)
    call.end()
    try:
        say({"id": call.number, **answer})
    except Exception as error:
        say({"id": call.number, "problem": str(error)})


def hear(loop, questions):
    """Reads what the server says, in a thread of its own: plugins may hold up the loop."""
    for line in questions:
        message = json.loads(line)
        if "reply" in message:
            answer = asked.get(message["reply"])
            if answer is not None:
                with contextlib.suppress(concurrent.futures.InvalidStateError):
                    answer.set_result(message.get("value"))
        elif "more" in message:
            call = calls.get(message["more"])
            if call is not None:
                call.more(message["count"])
        elif "cancel" in message:
            call = calls.get(message["cancel"])
            if call is not None:
                call.end()
                loop.call_soon_threadsafe(lambda call=call: call.task and call.task.cancel())
        else:
            call = calls[message["call"]] = Call(message["call"])
            loop.call_soon_threadsafe(begin, loop, call, message)
    os._exit(0)


def begin(loop, call, message):
    call.task = loop.create_task(perform(call, message))


def attribute(name):
    value = getattr(plugin, name, None)
    return value if isinstance(value, (str, int, float, bool, list, dict)) else None


def parameters_of(method):
    try:
        return list(inspect.signature(method).parameters)
    except (TypeError, ValueError):
        return []


def facts():
    """What the server has to know of the plugin to call it."""
    methods = {}
    for name in dir(plugin):
        member = None if name.startswith("__") else getattr(plugin, name, None)
        if callable(member) and not inspect.isclass(member):
            methods[name] = {"parameters": parameters_of(member), "doc": member.__doc__}
    priority = 0
    with contextlib.suppress(Exception):
        priority = plugin.Valves().priority
    return {
        "class": found,
        "methods": methods,
        "has_valves": hasattr(plugin, "Valves"),
        "has_user_valves": hasattr(plugin, "UserValves"),
        "has_pipes": hasattr(plugin, "pipes"),
        "priority": priority if isinstance(priority, (int, float)) else 0,
        "toggle": bool(getattr(plugin, "toggle", None)),
        "file_handler": bool(getattr(plugin, "file_handler", False)),
        "name": attribute("name"),
        "icon": attribute("icon_url") or attribute("icon"),
        "actions": attribute("actions"),
    }


def run():
    global answers, plugin, found
    questions, answers = open_pipes()
    limit_memory(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    first = json.loads(questions.readline())
    try:
        plugin, found = load(first["kind"], first["name"], first["source"])
        known = {"facts": facts()}
    except BaseException as error:
        say({"problem": str(error) or type(error).__name__})
        os._exit(1)
    say(known)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    threading.Thread(target=hear, args=(loop, questions), daemon=True).start()
    loop.run_forever()


run()
