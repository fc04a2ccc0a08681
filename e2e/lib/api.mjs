/**
 * Plain HTTP requests to the server under test, for setting a scene quickly and for looking at
 * what the browser has stored.
 */

import { BASE_URL } from './settings.mjs';

/**
 * Sends a request and gives the JSON answer; throws on an error status.
 *
 * @param {string} method
 * @param {string} path  with its leading slash
 * @param {{ token?: string, body?: unknown }} [options]
 */
export async function call(method, path, { token, body } = {}) {
	const answer = await fetch(BASE_URL + path, {
		method,
		headers: {
			...(token && { authorization: `Bearer ${token}` }),
			...(body !== undefined && { 'content-type': 'application/json' })
		},
		body: body === undefined ? undefined : JSON.stringify(body)
	});
	const text = await answer.text();
	if (!answer.ok) {
		throw Object.assign(new Error(`${method} ${path} -> ${answer.status} ${text.slice(0, 300)}`), { status: answer.status });
	}
	return text ? JSON.parse(text) : null;
}
