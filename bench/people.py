#!/usr/bin/env python3
"""Measures what administrators do with many people and messages, on a server that is started here.

    bench/people.py [--oui PROGRAM | --reference] [--database postgresql://...] [--people N] [--members N] [--messages N]

The database is filled with statements, not through the API: people, and messages of the last thirty days spread over
forty models and all people. Then the first page of the list of people, the saving of a group with its members and
every chart of the analytics are asked for, each some times; the medians are printed in milliseconds. A PostgreSQL
database must be empty; filling it takes `psql`. Needs nothing but Python.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = 40
CHATS = 20_000
DAYS = 30

arguments = argparse.ArgumentParser()
arguments.add_argument('--oui', default=f'{ROOT}/target/release/oui')
arguments.add_argument('--reference', action='store_true')
arguments.add_argument('--database')
arguments.add_argument('--port', type=int, default=8970)
arguments.add_argument('--people', type=int, default=50_000)
arguments.add_argument('--members', type=int, default=5_000)
arguments.add_argument('--messages', type=int, default=1_000_000)
arguments.add_argument('--times', type=int, default=9)
args = arguments.parse_args()

folder = tempfile.mkdtemp(prefix='oui-people-')


def start():
    environment = {
        **os.environ,
        'DATA_DIR': folder,
        'WEBUI_SECRET_KEY': 'bench-secret-of-at-least-32-bytes',
        'OFFLINE_MODE': 'true',
        'ENABLE_OLLAMA_API': 'false',
        'ENABLE_OPENAI_API': 'false',
        'OUI_LOG': 'warn',
    }
    if args.database:
        environment['DATABASE_URL'] = args.database
    if args.reference:
        command = [f'{ROOT}/conformance/reference.sh', 'serve', str(args.port), folder]
    else:
        command = [args.oui, 'serve', '--host', '127.0.0.1', '--port', str(args.port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(1200):
        try:
            if call('GET', '/health')[0] == 200:
                return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit('the server does not start')


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)


connection = None
token = None


def call(method, path, body=None):
    global connection
    if connection is None:
        connection = http.client.HTTPConnection('127.0.0.1', args.port, timeout=600)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {'Content-Type': 'application/json'}
    if token:
        headers['Authorization'] = f'Bearer {token}'
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        connection = None
        raise


def numbers(count):
    if args.database:
        return f'generate_series(0, {count - 1}) AS n(i)'
    return f'(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) SELECT i FROM n) AS n'


def statements():
    now = int(time.time())
    text = 'i::text' if args.database else 'CAST(i AS TEXT)'
    as_json = '::json' if args.database else ''

    def part(of):
        return f"CAST(({of}) AS TEXT)"

    yield (
        'INSERT INTO "user" (id, name, email, role, profile_image_url, last_active_at, updated_at, created_at) '
        f"SELECT 'u' || {text}, 'Person ' || {text}, 'person' || {text} || '@example.com', 'user', '/user.png', "
        f'{now} - i, {now} - i, {now} - i FROM {numbers(args.people)}'
    )
    yield (
        'INSERT INTO chat (id, user_id, title, created_at, updated_at, archived, chat, pinned, meta) '
        f"SELECT 'c' || {text}, 'u' || {part(f'i % {args.people}')}, 'Chat', {now}, {now}, false, '{{}}'{as_json}, false, "
        f"'{{}}'{as_json} FROM {numbers(CHATS)}"
    )
    # Questions and answers in turn; a multiplication stands for chance, so that all databases hold the same.
    yield (
        'INSERT INTO chat_message (id, chat_id, user_id, role, content, model_id, done, usage, created_at, updated_at) '
        f"SELECT 'm' || {text}, 'c' || {part(f'(i / 2) % {CHATS}')}, 'u' || {part(f'((i / 2) % {CHATS}) % {args.people}')}, "
        "CASE i % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, "
        f"'\"text\"'{as_json}, CASE i % 2 WHEN 0 THEN NULL ELSE 'model-' || {part(f'(i / 2) % {MODELS}')} END, true, "
        f"CASE i % 2 WHEN 0 THEN NULL ELSE '{{\"input_tokens\": 120, \"output_tokens\": 80}}'{as_json} END, "
        f'{now} - (CAST(i AS BIGINT) * 7919) % {DAYS * 86400}, {now} FROM {numbers(args.messages)}'
    )


def fill():
    if args.database:
        text = ';\n'.join(statements()) + ';\nANALYZE;\n'
        subprocess.run(['psql', '-q', '-v', 'ON_ERROR_STOP=1', args.database], input=text, text=True, check=True)
        return
    database = sqlite3.connect(f'{folder}/webui.db')
    for statement in statements():
        database.execute(statement)
    database.commit()
    database.close()


def measure(name, method, path, body=None):
    took = []
    for turn in range(args.times + 1):
        begin = time.perf_counter()
        status, answer = call(method, path, body(turn) if callable(body) else body)
        if status == 404:
            print(f'{name:44} {"not there":>10}')
            return
        if status != 200:
            raise SystemExit(f'{method} {path}: {status} {answer[:200]}')
        if turn:
            took.append((time.perf_counter() - begin) * 1000)
    print(f'{name:44} {statistics.median(took):10.1f} {max(took):10.1f}', flush=True)


server = start()
account = {'name': 'Admin', 'email': 'admin@example.com', 'password': 'admin-password'}
token = json.loads(call('POST', '/api/v1/auths/signup', account)[1])['token']
stop(server)
connection = None
begin = time.time()
fill()
print(f'filled in {time.time() - begin:.0f} s', flush=True)
server = start()
try:
    print(f'{"":44} {"median ms":>10} {"worst ms":>10}')
    measure('people, first page', 'GET', '/api/v1/users/?page=1')
    measure('people, first page by name', 'GET', '/api/v1/users/?page=1&order_by=name&direction=asc')
    measure('people, search', 'GET', '/api/v1/users/?page=1&query=person4242')
    group = json.loads(call('POST', '/api/v1/groups/create', {'name': 'Many', 'description': ''})[1])['id']
    members = [f'u{number}' for number in range(args.members)]
    begin = time.perf_counter()
    status, answer = call('POST', f'/api/v1/groups/id/{group}/users/add', {'user_ids': members})
    if status != 200:
        raise SystemExit(f'adding members: {status} {answer[:200]}')
    print(f'{f"{args.members} members put into a group, once":44} {(time.perf_counter() - begin) * 1000:10.1f}')
    permissions = {'workspace': {'models': True}}
    measure(
        f'a group of {args.members} members saved',
        'POST',
        f'/api/v1/groups/id/{group}/update',
        lambda turn: {'name': f'Many {turn}', 'description': '', 'permissions': permissions},
    )
    end = int(time.time())
    span = f'start_date={end - DAYS * 86400}&end_date={end}'
    for name, path in [
        ('summary', f'summary?{span}'),
        ('models', f'models?{span}'),
        ('users', f'users?{span}'),
        ('tokens', f'tokens?{span}'),
        ('daily', f'daily?{span}'),
        ('hourly', f'daily?{span}&granularity=hourly'),
        ('daily, tokens', f'daily?{span}&metric=tokens'),
        ('daily, compared', f'daily?{span}&compare=true'),
        ('models of one group', f'models?{span}&group_id={group}'),
        ('chats of one model', 'models/model-1/chats'),
    ]:
        measure(f'analytics: {name}', 'GET', f'/api/v1/analytics/{path}')
finally:
    stop(server)
