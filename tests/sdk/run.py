"""The official clients of OpenAI, Anthropic and Ollama against a running server.

    run.py BASE_URL TOKEN

The server's providers are the scripted ones: an OpenAI-compatible server and an Ollama server with the models `echo`,
`usage`, `reasoner`, `tools`, `error-429`, `embed` and others. Prints one line per check and fails at the first that
does not hold. Run by tests/it/sdk.rs.
"""

import json
import sys

import anthropic
import ollama
import openai

BASE, TOKEN = sys.argv[1], sys.argv[2]
HELLO = [{"role": "user", "content": "Hello there"}]
CITY = [{"role": "user", "content": '{"city": "Rome"}'}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def openai_client(path="/api"):
    return openai.OpenAI(base_url=BASE + path, api_key=TOKEN, max_retries=0)


def openai_chats(path, model, tools, refused, kind):
    client = openai_client(path)
    whole = client.chat.completions.create(model=model, messages=HELLO)
    equal(whole.choices[0].message.content, "Hello there")
    equal(whole.choices[0].finish_reason, "stop")
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    chunks = list(stream)
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), "Hello there")
    equal(chunks[-1].choices[0].finish_reason, "stop")
    offered = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    called = client.chat.completions.create(model=tools, messages=CITY, tools=offered).choices[0]
    equal(called.finish_reason, "tool_calls")
    call = called.message.tool_calls[0]
    equal((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Rome"}))
    with client.chat.completions.stream(model=tools, messages=CITY, tools=offered) as events:
        streamed = events.get_final_completion().choices[0].message.tool_calls[0]
    equal(json.loads(streamed.function.arguments), {"city": "Rome"})
    answered = CITY + [called.message, {"role": "tool", "tool_call_id": call.id, "content": "It is sunny."}]
    last = client.chat.completions.create(model=tools, messages=answered, tools=offered)
    equal(last.choices[0].message.content, "It is sunny.")
    try:
        client.chat.completions.create(model=refused, messages=HELLO)
        raise AssertionError("no error")
    except kind as error:
        assert "rate limit" in error.response.text, error.response.text


@check
def openai_chat_completions():
    openai_chats("/api", "echo", "tools", "error-429", openai.RateLimitError)
    openai_chats("/api/v1", "echo", "tools", "error-429", openai.RateLimitError)


@check
def openai_chat_completions_without_the_pipeline():
    openai_chats("/openai", "echo", "tools", "error-429", openai.RateLimitError)


@check
def openai_chat_completions_of_ollama_models():
    openai_chats("/api", "echo:latest", "tools:latest", "error-429:latest", openai.RateLimitError)
    openai_chats("/ollama/v1", "echo:latest", "tools:latest", "error-429:latest", openai.RateLimitError)


@check
def openai_usage_and_reasoning():
    client = openai_client()
    usage = client.chat.completions.create(model="usage", messages=HELLO).usage
    equal((usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens), (11, 7, 3))
    stream = client.chat.completions.create(
        model="usage", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    equal(list(stream)[-1].usage.total_tokens, 18)
    for model in ("reasoner", "reasoner:latest"):
        message = client.chat.completions.create(model=model, messages=HELLO).choices[0].message
        equal(message.reasoning_content, "Considering the question.")


@check
def openai_models_list():
    ids = [model.id for model in openai_client().models.list()]
    assert {"echo", "echo:latest"} <= set(ids), ids
    assert "echo" in [model.id for model in openai_client("/openai").models.list()]
    assert "echo:latest" in [model.id for model in openai_client("/ollama/v1").models.list()]


@check
def openai_embeddings():
    for path, model in (("/api", "embed"), ("/api/v1", "embed:latest"), ("/ollama/v1", "embed:latest")):
        found = openai_client(path).embeddings.create(model=model, input=["Hello", "there"])
        equal([entry.index for entry in found.data], [0, 1])
        equal(len(found.data[0].embedding), 256)
        equal(found.usage.total_tokens, 2)
    plain = openai_client().embeddings.create(model="embed", input="Hello", encoding_format="float")
    equal(len(plain.data[0].embedding), 256)


@check
def openai_responses():
    for path, model, tools in (("/openai", "echo", "tools"), ("/ollama/v1", "echo:latest", "tools:latest")):
        client = openai_client(path)
        equal(client.responses.create(model=model, input="Hello there").output_text, "Hello there")
        stream = client.responses.create(model=model, input="Hello there", stream=True)
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        equal("".join(texts), "Hello there")
        offered = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
        found = client.responses.create(model=tools, input=CITY[0]["content"], tools=offered)
        calls = [item for item in found.output if item.type == "function_call"]
        equal(json.loads(calls[0].arguments), {"city": "Rome"})


@check
def openai_says_who_is_not_let_in():
    try:
        openai.OpenAI(base_url=BASE + "/api", api_key="nonsense", max_retries=0).models.list()
        raise AssertionError("no error")
    except openai.AuthenticationError:
        pass


def anthropic_client():
    return anthropic.Anthropic(base_url=BASE + "/api", auth_token=TOKEN, api_key=None, max_retries=0)


@check
def anthropic_messages():
    client = anthropic_client()
    for model in ("echo", "echo:latest", "ant.echo"):
        whole = client.messages.create(model=model, max_tokens=100, system="Be brief.", messages=HELLO)
        equal((whole.content[0].text, whole.stop_reason, whole.type), ("Hello there", "end_turn", "message"))
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            equal("".join(stream.text_stream), "Hello there")
            equal(stream.get_final_message().stop_reason, "end_turn")


@check
def anthropic_tools():
    client = anthropic_client()
    offered = [{"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}]
    for model in ("tools", "tools:latest", "ant.tools"):
        called = client.messages.create(model=model, max_tokens=100, messages=CITY, tools=offered)
        equal(called.stop_reason, "tool_use")
        use = [block for block in called.content if block.type == "tool_use"][0]
        equal((use.name, use.input), ("weather", {"city": "Rome"}))
        with client.messages.stream(model=model, max_tokens=100, messages=CITY, tools=offered) as stream:
            streamed = stream.get_final_message()
        equal([block.input for block in streamed.content if block.type == "tool_use"], [{"city": "Rome"}])
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "It is sunny."}
        answered = CITY + [
            {"role": "assistant", "content": [use.model_dump(exclude_none=True)]},
            {"role": "user", "content": [result]},
        ]
        last = client.messages.create(model=model, max_tokens=100, messages=answered, tools=offered)
        equal(last.content[0].text, "It is sunny.")


@check
def anthropic_parallel_tools():
    offered = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "time")]
    with anthropic_client().messages.stream(
        model="tools-parallel", max_tokens=100, messages=CITY, tools=offered
    ) as stream:
        content = stream.get_final_message().content
    equal([block.name for block in content if block.type == "tool_use"], ["weather", "time"])


@check
def anthropic_thinking_and_usage():
    client = anthropic_client()
    for model in ("reasoner", "ant.reasoner"):
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            blocks = stream.get_final_message().content
        equal([block.type for block in blocks], ["thinking", "text"])
        equal((blocks[0].thinking, blocks[1].text), ("Considering the question.", "The answer is 42."))
    usage = client.messages.create(model="usage", max_tokens=100, messages=HELLO).usage
    equal((usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens), (8, 7, 3))


@check
def anthropic_errors_and_counts():
    client = anthropic_client()
    for model in ("error-429", "ant.error-429"):
        for stream in (False, True):
            try:
                client.messages.create(model=model, max_tokens=100, messages=HELLO, stream=stream)
                raise AssertionError("no error")
            except anthropic.RateLimitError as error:
                equal(error.response.headers.get("retry-after"), "3")
    equal(client.messages.count_tokens(model="ant.echo", messages=HELLO).input_tokens, 2)


def ollama_client():
    return ollama.Client(host=BASE + "/ollama", headers={"Authorization": f"Bearer {TOKEN}"})


@check
def ollama_chat_and_generate():
    client = ollama_client()
    equal(client.chat(model="echo:latest", messages=HELLO).message.content, "Hello there")
    pieces = list(client.chat(model="echo:latest", messages=HELLO, stream=True))
    equal("".join(piece.message.content for piece in pieces), "Hello there")
    equal(pieces[-1].done_reason, "stop")
    equal(client.generate(model="echo:latest", prompt="Hello there").response, "Hello there")
    pieces = client.generate(model="echo:latest", prompt="Hello there", stream=True)
    equal("".join(piece.response for piece in pieces), "Hello there")
    offered = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    calls = client.chat(model="tools:latest", messages=CITY, tools=offered).message.tool_calls
    equal((calls[0].function.name, dict(calls[0].function.arguments)), ("weather", {"city": "Rome"}))
    thought = client.chat(model="reasoner:latest", messages=HELLO, think=True).message
    equal(thought.thinking, "Considering the question.")


@check
def ollama_models():
    client = ollama_client()
    assert "echo:latest" in [model.model for model in client.list().models]
    equal(client.show("echo:latest").capabilities, ["completion"])
    steps = [step.status for step in client.pull("fresh:1b", stream=True)]
    equal((steps[0], steps[-1]), ("pulling manifest", "success"))
    equal(client.create("made", from_="echo:latest").status, "success")
    equal(client.copy("echo:latest", "copied:latest").status, "success")
    equal(client.delete("copied:latest").status, "success")
    assert any(model.model == "echo:latest" for model in client.ps().models)


@check
def ollama_embeddings_and_errors():
    client = ollama_client()
    equal(len(client.embed(model="embed:latest", input=["Hello", "there"]).embeddings), 2)
    equal(len(client.embeddings(model="embed:latest", prompt="Hello").embedding), 256)
    for model, status in (("unheard-of", 400), ("error-429:latest", 429)):
        try:
            client.chat(model=model, messages=HELLO)
            raise AssertionError("no error")
        except ollama.ResponseError as error:
            equal(error.status_code, status)


for run in CHECKS:
    run()
    print("ok", run.__name__, flush=True)
