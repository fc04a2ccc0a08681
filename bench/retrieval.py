#!/usr/bin/env python3
"""Measures retrieval on a running or started server: how good answers are, how fast texts come in and are found.

    bench/retrieval.py quality [--oui PROGRAM | --reference]     recall@5 over questions of the Perl FAQ
    bench/retrieval.py ingest  [--oui PROGRAM | --reference]     pages a second into one collection, all-MiniLM-L6-v2
    bench/retrieval.py bulk    [--oui PROGRAM | --reference]     the same pages as one text: how fast the model is
    bench/retrieval.py library                                   the same with sentence-transformers alone, 32 at once
    bench/retrieval.py query   [--oui PROGRAM | --reference]     100,000 chunks: hybrid queries, recall@10

The first three compute embeddings on the server with the model of scripts/test-engines.sh. Their texts come from the
Debian package perl-doc, which is downloaded: a passage is the answer to a question, without the question. `query` has
an embedding server of its own with vectors at random, the hardest case for what finds neighbours, and compares with
the true neighbours. Runs with the reference's Python, since it needs numpy.
"""

import argparse
import glob
import hashlib
import http.client
import http.server
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HOME = os.environ.get('OUI_REFERENCE_HOME', os.path.expanduser('~/.cache/oui-reference'))
PYTHON = f'{HOME}/venv-0.12.4/bin/python'
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.realpath(sys.prefix) != os.path.realpath(f'{HOME}/venv-0.12.4'):
    os.execv(PYTHON, [PYTHON, *sys.argv])

import numpy  # noqa: E402

WIDTH = 384


class Server:
    """A server that was started here, with an administrator."""

    def __init__(self, args, variables):
        self.port = args.port
        self.folder = tempfile.mkdtemp(prefix='oui-bench-')
        models = subprocess.run([f'{ROOT}/scripts/test-engines.sh', 'models'], capture_output=True, text=True, check=True)
        models = models.stdout.strip().rsplit('=', 1)[1]
        environment = {
            **os.environ, 'WEBUI_SECRET_KEY': 'bench', 'ENABLE_OLLAMA_API': 'false', 'ENABLE_OPENAI_API': 'false',
            'OFFLINE_MODE': 'true', 'HF_HUB_OFFLINE': '1', 'SENTENCE_TRANSFORMERS_HOME': models, 'HF_HUB_CACHE': models,
            'RAG_EMBEDDING_MODEL_AUTO_UPDATE': 'false', 'CHUNK_SIZE': '1000', 'CHUNK_OVERLAP': '100',
            'DATA_DIR': self.folder, **variables,
        }
        if args.reference:
            # It finds a model by name only in a folder that the hub's own client has filled.
            environment.setdefault('RAG_EMBEDDING_MODEL', glob.glob(f'{models}/models--*MiniLM*/snapshots/*')[0])
            command = [f'{ROOT}/conformance/reference.sh', 'serve', str(self.port), self.folder]
        else:
            command = [args.oui, 'serve', '--host', '127.0.0.1', '--port', str(self.port)]
        self.process = subprocess.Popen(command, env=environment, start_new_session=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1800):
            try:
                if self.call('GET', '/health', token=None)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        person = {'name': 'A', 'email': 'a@example.com', 'password': 'a-password'}
        self.token = self.call('POST', '/api/v1/auths/signup', person, token=None)[1]['token']
        base = self.good('/api/v1/knowledge/create', {'name': 'Bench', 'description': ''})
        self.collection = base['id']

    def call(self, method, path, body=None, token='own', kind='application/json'):
        headers = {'Content-Type': kind}
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        if token:
            headers['Authorization'] = f'Bearer {self.token}'
        try:
            if not getattr(self, 'connection', None):
                self.connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=600)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection = None
            raise OSError('no answer')
        return answer.status, json.loads(text or b'null')

    def good(self, path, body):
        status, answer = self.call('POST', path, body)
        if status != 200:
            self.stop()
            sys.exit(f'{path}: {status} {answer}')
        return answer

    def keep(self, name, text):
        """Puts a text into the knowledge base: an empty file whose text is given."""
        mark = 'a-mark-between-parts'
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}.txt"\r\n'
        body = f'{head}Content-Type: text/plain\r\n\r\n-\r\n--{mark}--\r\n'
        status, file = self.call('POST', '/api/v1/files/?process=false', body, kind=f'multipart/form-data; boundary={mark}')
        if status != 200:
            self.stop()
            sys.exit(f'upload: {status} {file}')
        self.good('/api/v1/retrieval/process/file', {
            'file_id': file['id'], 'content': text, 'collection_name': self.collection})

    def ask(self, question, k, hybrid):
        return self.good('/api/v1/retrieval/query/collection', {
            'collection_names': [self.collection], 'query': question, 'k': k, 'hybrid': hybrid})

    def memory(self):
        pids = subprocess.run(['pgrep', '-g', str(os.getpgid(self.process.pid))], capture_output=True, text=True).stdout
        total = 0
        for pid in pids.split():
            with open(f'/proc/{pid}/status') as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith('VmRSS'))
        return total // 1024

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


def pods():
    folder = f'{os.environ.get("OUI_TEST_HOME", os.path.expanduser("~/.cache/oui-test"))}/perl-doc'
    if not os.path.isdir(folder):
        os.makedirs(folder)
        subprocess.run(['apt-get', 'download', 'perl-doc'], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['dpkg', '-x', *glob.glob(f'{folder}/*.deb'), folder], check=True)
    return sorted(glob.glob(f'{folder}/usr/share/**/*.pod', recursive=True))


def plain(pod):
    text = re.sub(r'^=\w+.*$', '', pod, flags=re.M)
    text = re.sub(r'[A-Z]<+\s*([^<>]*?)\s*>+', r'\1', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip()


def faq():
    """Pairs of question and answer."""
    found = []
    for path in pods():
        if not re.search(r'perlfaq\d', path):
            continue
        parts = re.split(r'^=head2 (.+)$', open(path, errors='replace').read(), flags=re.M)
        for question, answer in zip(parts[1::2], parts[2::2]):
            answer = plain(re.split(r'^=head1', answer, flags=re.M)[0])
            if question.strip().endswith('?') and len(answer) > 200:
                found.append((plain(question), answer))
    return found


def quality(args):
    pairs = faq()
    server = Server(args, {})
    for number, (_, answer) in enumerate(pairs):
        server.keep(f'answer {number}', answer)
    step = len(pairs) // args.questions
    asked = list(range(0, len(pairs), step))[: args.questions]
    hits = {False: 0, True: 0}
    for number in asked:
        for hybrid in hits:
            about = server.ask(pairs[number][0], 5, hybrid)['metadatas'][0]
            hits[hybrid] += any(one.get('name') == f'answer {number}.txt' for one in about)
    print(f'{len(pairs)} passages, {len(asked)} questions: recall@5 {hits[False] / len(asked):.3f} by vectors, '
          f'{hits[True] / len(asked):.3f} hybrid')
    server.stop()


def ingest(args):
    text = '\n\n'.join(plain(open(path, errors='replace').read()) for path in pods())
    pages = [text[start:start + 2500] for start in range(0, len(text), 2500)][: args.pages]
    server = Server(args, {})
    server.keep('warm-up', 'The model is loaded now.')
    begun = time.monotonic()
    for number, page in enumerate(pages):
        server.keep(f'page {number}', page)
    took = time.monotonic() - begun
    print(f'{len(pages)} pages in {took:.1f} s: {len(pages) / took:.1f} a second; memory {server.memory()} MB')
    server.stop()


def bulk(args):
    text = '\n\n'.join(plain(open(path, errors='replace').read()) for path in pods())[: args.pages * 2500]
    server = Server(args, {})
    server.keep('warm-up', 'The model is loaded now.')
    begun = time.monotonic()
    server.keep('whole', text)
    took = time.monotonic() - begun
    print(f'{args.pages} pages as one text in {took:.1f} s: {args.pages / took:.1f} a second; memory {server.memory()} MB')
    server.stop()


def library(args):
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from sentence_transformers import SentenceTransformer
    text = '\n\n'.join(plain(open(path, errors='replace').read()) for path in pods())[: args.pages * 2500]
    models = subprocess.run([f'{ROOT}/scripts/test-engines.sh', 'models'], capture_output=True, text=True, check=True)
    models = models.stdout.strip().rsplit('=', 1)[1]
    model = SentenceTransformer(glob.glob(f'{models}/models--*MiniLM*/snapshots/*')[0], device='cpu')
    model.encode(['The model is loaded now.'])
    begun = time.monotonic()
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100, add_start_index=True)
    chunks = splitter.split_text(text)
    model.encode(chunks, batch_size=32, normalize_embeddings=True)
    took = time.monotonic() - begun
    print(f'{args.pages} pages as {len(chunks)} chunks in {took:.1f} s: {args.pages / took:.1f} a second')


VECTORS = {}


def vector_of(text):
    known = VECTORS.get(text)
    if known is None:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], 'little')
        known = numpy.random.default_rng(seed).standard_normal(WIDTH).astype('float32')
        known /= numpy.linalg.norm(known)
        VECTORS[text] = known
    return known


class Embedding(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        texts = body['input'] if isinstance(body['input'], list) else [body['input']]
        data = [{'index': i, 'embedding': [round(float(x), 5) for x in vector_of(text)]} for i, text in enumerate(texts)]
        answer = json.dumps({'data': data}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def query(args):
    embedding = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Embedding)
    threading.Thread(target=embedding.serve_forever, daemon=True).start()
    server = Server(args, {
        'RAG_EMBEDDING_ENGINE': 'openai', 'RAG_EMBEDDING_MODEL': 'random', 'RAG_OPENAI_API_KEY': 'k',
        'RAG_OPENAI_API_BASE_URL': f'http://127.0.0.1:{embedding.server_port}/v1', 'RAG_EMBEDDING_BATCH_SIZE': '250',
        'CHUNK_SIZE': '200', 'CHUNK_OVERLAP': '0', 'ENABLE_RAG_HYBRID_SEARCH': 'true', 'RAG_RERANKING_MODEL': '',
    })
    chance = random.Random(7)
    words = [''.join(chance.choices('abcdefghijklmnoprstuvw', k=chance.randint(3, 9))) for _ in range(30_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    chunks = []
    begun = time.monotonic()
    while len(chunks) < args.chunks:
        # Between 110 and 190 characters: each is a chunk of its own.
        part = [' '.join(chance.choices(words, weights, k=40))[:chance.randint(120, 190)].strip() for _ in range(1000)]
        server.keep(f'text {len(chunks)}', '\n\n'.join(part))
        chunks += part
    took = time.monotonic() - begun
    print(f'{len(chunks)} chunks kept in {took:.1f} s, embeddings from a server at hand; memory {server.memory()} MB')
    matrix = numpy.stack([vector_of(text) for text in chunks])
    times, recalls = {False: [], True: []}, []
    for number in range(args.questions + 5):
        near = chance.randrange(len(chunks))
        question = ' '.join(chance.sample(chunks[near].split(), 6)) + f' {number}'
        VECTORS[question] = vector_of(chunks[near]) * 0.6 + vector_of(question) * 0.8
        truth = {chunks[place] for place in numpy.argsort(-(matrix @ VECTORS[question]))[:10]}
        for hybrid in times:
            begun = time.monotonic()
            found = server.ask(question, 10, hybrid)['documents'][0]
            if number >= 5:  # the first ones fill the caches
                times[hybrid].append((time.monotonic() - begun) * 1000)
                if not hybrid:
                    recalls.append(len(truth & set(found[:10])) / 10)
    for hybrid, name in ((False, 'vector'), (True, 'hybrid')):
        ordered = sorted(times[hybrid])
        print(f'{name} queries: p50 {statistics.median(ordered):.1f} ms, p95 {ordered[int(len(ordered) * 0.95)]:.1f} ms')
    print(f'recall@10 {statistics.mean(recalls):.4f}; memory {server.memory()} MB')
    server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['quality', 'ingest', 'bulk', 'library', 'query'])
    parser.add_argument('--oui', default='target/release/oui')
    parser.add_argument('--reference', action='store_true')
    parser.add_argument('--port', type=int, default=18_110)
    parser.add_argument('--questions', type=int, default=100)
    parser.add_argument('--pages', type=int, default=1000)
    parser.add_argument('--chunks', type=int, default=100_000)
    args = parser.parse_args()
    {'quality': quality, 'ingest': ingest, 'bulk': bulk, 'library': library, 'query': query}[args.what](args)


if __name__ == '__main__':
    main()
