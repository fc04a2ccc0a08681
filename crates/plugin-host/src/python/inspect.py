"""Answers the server's questions about the source of tools and functions.

A question is one line of JSON on standard input, `{"id", "ask", ...}`; its answer is one line, `{"id", "answer"}` or
`{"id", "problem"}`.
"""

loaded = {}


def kept(question):
    """The plugin's object and the name of its class; the same one as long as the source stays the same."""
    kind, name, source = question["kind"], question["name"], question["source"]
    mark = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
    if (kind, name) not in loaded or loaded[kind, name][0] != mark:
        loaded[kind, name] = (mark, *load(kind, name, source))
    return loaded[kind, name][1:]


def described(text):
    """The part of a docstring before its fields, and what its `:param name:` fields say."""
    head, fields, name = [], {}, None
    for line in (text or "").strip().split("\n"):
        line = line.strip()
        field = re.match(r":param (\w+):\s*(.*)", line)
        if head is not None and re.match(r":param|:return", line):
            text, head = "\n".join(head), None
        if head is not None:
            head.append(line)
        if field:
            name = None if field[1].startswith("__") else field[1]
            if name:
                fields[name] = field[2]
        elif line.startswith(":"):
            name = None
        elif name and line:
            fields[name] = "\n".join(part for part in (fields[name], line) if part)
    return ("\n".join(head) if head is not None else text), fields


def resolved(value, definitions):
    """A schema with its references replaced by what they refer to."""
    if isinstance(value, list):
        return [resolved(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    target = value.get("$ref")
    if isinstance(target, str) and target.rsplit("/", 1)[-1] in definitions:
        name = target.rsplit("/", 1)[-1]
        rest = {key: item for key, item in definitions.items() if key != name}
        merged = {**definitions[name], **{key: item for key, item in value.items() if key != "$ref"}}
        return resolved(merged, rest)
    return {key: resolved(item, definitions) for key, item in value.items() if key != "$defs"}


def untitled(value, above=""):
    """A schema without titles; properties that are called `title` stay."""
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        if key == "title" and not (above == "properties" and isinstance(item, dict)):
            continue
        kept[key] = untitled(item, key)
    return kept


def simplify(schema):
    """What models read more easily: no null among types, no null for a default, a type everywhere."""
    if not isinstance(schema, dict):
        return
    if "anyOf" in schema:
        kept = [item for item in schema["anyOf"] if item.get("type") != "null"]
        if len(kept) == 1:
            schema.update(kept[0])
            del schema["anyOf"]
        else:
            schema["anyOf"] = kept
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if not any(key in schema for key in ("type", "anyOf", "properties")):
        schema["type"] = "string"
    for item in schema.get("properties", {}).values():
        simplify(item)
    simplify(schema.get("items"))


def spec(method):
    from pydantic import Field, create_model

    text, fields = described(method.__doc__)
    hints = typing.get_type_hints(method)
    members = {}
    for name, parameter in inspect.signature(method).parameters.items():
        default = ... if parameter.default is parameter.empty else parameter.default
        if fields.get(name):
            default = Field(default, description=fields[name])
        members[name] = (hints.get(name, typing.Any), default)
    model = create_model(method.__name__, **members)
    model.__doc__ = text
    schema = model.model_json_schema()
    schema = resolved(schema, schema.get("$defs", {}))
    title, about = schema.pop("title", ""), schema.pop("description", "")
    parameters = untitled(schema)
    simplify(parameters)
    return {"name": title, "description": about, "parameters": parameters}


def specs(plugin):
    found = []
    for name in dir(plugin):
        if name.startswith("_"):
            continue
        member = getattr(plugin, name)
        if callable(member) and not inspect.isclass(member):
            found.append(spec(member))
    return found


def problem_of(plugin, values):
    """What the plugin's settings say against values that are stored; missing ones are no problem."""
    if not hasattr(plugin, "Valves"):
        return None
    try:
        plugin.Valves(**{key: value for key, value in (values or {}).items() if value is not None})
    except Exception as error:
        errors = getattr(error, "errors", None)
        if not callable(errors):
            return str(error)
        listed = errors(include_input=False)
        if all(item["type"] == "missing" for item in listed):
            return None
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in listed)
    return None


def inspect_plugin(question):
    plugin, found = kept(question)
    return {
        "class": found,
        "specs": specs(plugin) if found == "Tools" else [],
        "has_user_valves": hasattr(plugin, "UserValves"),
        "toggle": found == "Filter" and bool(getattr(plugin, "toggle", False)),
        "valves_problem": problem_of(plugin, question.get("valves")),
    }


def options_of(settings, method, user):
    parameters = inspect.signature(method).parameters
    given = {name: user for name in ("__user__", "user") if name in parameters and user is not None}
    options = method(**given)
    if not isinstance(options, list):
        raise TypeError("the options are no list")
    return options


def schema(question):
    plugin, _ = kept(question)
    settings = getattr(plugin, question["which"], None)
    if settings is None:
        return {"schema": None}
    whole = settings.model_json_schema()
    for name, member in (whole.get("properties") or {}).items():
        field = settings.model_fields.get(name)
        extra = field.json_schema_extra if field is not None else None
        control = extra.get("input") if isinstance(extra, dict) else None
        options = control.get("options") if isinstance(control, dict) else None
        if isinstance(options, str) and options:
            try:
                options = options_of(settings, getattr(settings, options), question.get("user"))
            except Exception as error:
                print(f"options of {name}: {error}", file=sys.stderr)
                continue
        if isinstance(options, list):
            member["input"] = {**(member.get("input") or {"type": "select"}), "options": options}
    return {"schema": whole}


def check(question):
    plugin, _ = kept(question)
    settings = getattr(plugin, question["which"], None)
    if settings is None:
        return {"known": False}
    values = {key: value for key, value in question["values"].items() if value is not None}
    return {"known": True, "values": settings(**values).model_dump(mode="json", exclude_unset=True)}


def is_identifier(question):
    return {"is": question["text"].isidentifier()}


ASKS = {"inspect": inspect_plugin, "schema": schema, "check": check, "identifier": is_identifier}


def main():
    questions, answers = open_pipes()
    limit_memory(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    for line in questions:
        question = json.loads(line)
        reply = {"id": question["id"]}
        try:
            reply["answer"] = ASKS[question["ask"]](question)
            text = json.dumps(reply)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            text = json.dumps({"id": question["id"], "problem": str(error) or type(error).__name__})
        answers.write(text + "\n")
        answers.flush()


main()
