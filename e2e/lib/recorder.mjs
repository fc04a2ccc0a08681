/**
 * Writes down which API calls and websocket events the frontend makes, for `api-calls.mjs`.
 * Does nothing unless a file is named in the settings.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_URL, RECORD_FILE, SAMPLES_DIR } from './settings.mjs';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
/** `{user}:{session}:{request}`, the answers of a connection of the browser's own. */
const DIRECT_ANSWER = /^[0-9a-f-]{36}:[^:]+:[^:]+$/;
/** Ids that the tests choose themselves begin so, see `unique` in `accounts.mjs`. */
const OWN_NAME = /e2e[-_]?\w*/gi;
const API_RESOURCES = new Set(['xhr', 'fetch', 'eventsource', 'image', 'document']);
const STATIC = /^\/(_app|static|assets|themes|favicon|manifest|opensearch|pyodide|wasm|user\.png)/;
const SAMPLE_SIZE = 2048;

/** @type {Map<string, { statuses: Set<number>, areas: Set<string> }>} */
const calls = new Map();
/** @type {Map<string, { areas: Set<string>, samples: string[] }>} */
const frames = new Map();

/** `METHOD /path?keys` with ids replaced and without query values; undefined for static files and pages. */
function callName(request) {
	const url = new URL(request.url());
	if (url.origin !== BASE_URL || STATIC.test(url.pathname)) return undefined;
	if (!API_RESOURCES.has(request.resourceType())) return undefined;
	if (request.resourceType() === 'document' && !url.pathname.startsWith('/api/')) return undefined;
	const path = decodeURIComponent(url.pathname)
		.replace(UUID, '{id}')
		.replace(/(temporary|local):[^/]+/, '$1:{id}')
		.replace(OWN_NAME, '{name}');
	const keys = [...new Set(url.searchParams.keys())].map((key) => `${key}=`).join('&');
	return `${request.method()} ${path}${keys && `?${keys}`}`;
}

/** Name of a Socket.IO event packet with the type that the project's envelopes carry; other packets by kind. */
function frameName(payload) {
	const text = String(payload);
	const event = /^42\d*(\[.*)$/s.exec(text);
	if (!event) return { 0: 'engine.io open', 2: 'engine.io ping', 3: 'engine.io pong', 40: 'connect', 43: 'ack' }[/^(40|43|\d)/.exec(text)?.[1]];
	let packet;
	try {
		packet = JSON.parse(event[1]);
	} catch {
		return undefined;
	}
	const [name, argument] = packet;
	if (DIRECT_ANSWER.test(name)) return '{user}:{session}:{request}';
	const type = name.startsWith('events') ? argument?.data?.type : undefined;
	return type ? `${name} / ${type}` : name;
}

function sample(name, lines) {
	if (!SAMPLES_DIR) return;
	mkdirSync(SAMPLES_DIR, { recursive: true });
	const file = name.replace(/[^A-Za-z0-9{}=&?.:-]+/g, '_').slice(0, 150);
	writeFileSync(join(SAMPLES_DIR, `${file}.txt`), `${lines.join('\n')}\n`);
}

const cut = (text) => (text ?? '').slice(0, SAMPLE_SIZE);

/** A call counts once it is made: the page may leave before the answer is there. */
function noteCall(request, area) {
	const name = callName(request);
	if (!name) return;
	const entry = calls.get(name) ?? { statuses: new Set(), areas: new Set() };
	calls.set(name, entry);
	entry.areas.add(area);
}

async function noteAnswer(response) {
	const request = response.request();
	const name = callName(request);
	if (!name) return;
	const { statuses } = calls.get(name);
	const first = statuses.size === 0;
	statuses.add(response.status());
	if (!first || !SAMPLES_DIR) return;
	const body = await response.text().catch((error) => `(${error.message})`);
	sample(name, [
		`${request.method()} ${request.url().slice(BASE_URL.length)}`,
		`status ${response.status()} ${response.headers()['content-type'] ?? ''}`,
		'--- request',
		cut(request.postData()),
		'--- response',
		cut(body)
	]);
}

function noteFrame(direction, payload, area) {
	const name = frameName(payload);
	if (!name) return;
	const key = `${direction} ${name}`;
	const entry = frames.get(key) ?? { areas: new Set(), samples: [] };
	frames.set(key, entry);
	entry.areas.add(area);
	if (entry.samples.length < 3) entry.samples.push(cut(String(payload)));
}

/**
 * Starts to record a page.
 *
 * @param {import('playwright-core').Page} page
 * @param {() => string} area  what the page is being used for at the moment
 */
export function record(page, area) {
	if (!RECORD_FILE) return;
	page.on('request', (request) => noteCall(request, area()));
	page.on('response', noteAnswer);
	page.on('websocket', (socket) => {
		socket.on('framesent', ({ payload }) => noteFrame('client->server', payload, area()));
		socket.on('framereceived', ({ payload }) => noteFrame('server->client', payload, area()));
	});
}

const listed = (set) => [...set].sort().join(',');

/** Areas of a call. What every start of the frontend asks for is only said to belong to the start. */
const areasOf = ({ areas }) => (areas.has('start') ? 'start' : listed(areas));

/** Writes the recorded calls, sorted by path. */
export function writeRecord() {
	if (!RECORD_FILE) return;
	const order = ([name]) => name.split(' ')[1] + name;
	const sorted = [...calls].sort((a, b) => (order(a) < order(b) ? -1 : 1));
	const lines = sorted.map(([name, entry]) => [name, listed(entry.statuses), areasOf(entry)].join('\t'));
	const events = [...frames].sort().map(([name, entry]) => [`WS ${name}`, '', areasOf(entry)].join('\t'));
	writeFileSync(RECORD_FILE, `${[...lines, ...events].join('\n')}\n`);
	for (const [name, entry] of frames) sample(`WS ${name}`, entry.samples);
}
