/**
 * Collects what goes wrong in a page while a test looks elsewhere: console errors, uncaught
 * exceptions, answers with an error status, requests that broke off, websocket errors.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { ALLOWED } from './allowed.mjs';
import { PATIENCE } from './settings.mjs';

/** The browser's own console line for a failed request; the request itself is collected already. */
const ECHO_OF_REQUEST = /^Failed to load resource:/;

/** The page gave the request up itself, by leaving or by an AbortController; no server's fault. */
const GIVEN_UP = 'net::ERR_ABORTED';

/** Milliseconds without a new request after which a page counts as settled. */
const QUIET = 250;

const callOf = (request) => `${request.method()} ${new URL(request.url()).pathname}`;

const matches = (pattern, text) => (pattern instanceof RegExp ? pattern.test(text) : pattern === text);

/**
 * @typedef {{ kind: 'status' | 'transport' | 'console' | 'exception' | 'socket', call?: string, status?: number, text: string }} Problem
 * @typedef {{ call?: string | RegExp, status?: number, message?: RegExp, reason: string }} Rule
 */

function covers(rule, problem) {
	if (rule.message) return ['console', 'exception'].includes(problem.kind) && rule.message.test(problem.text);
	return problem.kind === 'status' && matches(rule.call, problem.call) && rule.status === problem.status;
}

export class Watch {
	/** @type {Problem[]} */
	#problems = [];
	/** @type {(Rule & { seen: number })[]} */
	#expected = [];
	/** Requests without an answer. Bodies do not count: the frontend leaves some of them unread. */
	#waiting = new Set();
	#lastRequest = 0;

	/** @param {import('playwright-core').Page} page */
	constructor(page) {
		page.on('request', (request) => {
			this.#waiting.add(request);
			this.#lastRequest = Date.now();
		});
		page.on('response', (response) => {
			this.#waiting.delete(response.request());
			if (response.status() < 400) return;
			const call = callOf(response.request());
			this.#problems.push({ kind: 'status', call, status: response.status(), text: `${call} -> ${response.status()}` });
		});
		page.on('requestfailed', (request) => {
			this.#waiting.delete(request);
			const error = request.failure()?.errorText ?? 'unknown';
			if (error === GIVEN_UP) return;
			const call = callOf(request);
			this.#problems.push({ kind: 'transport', call, text: `${call} -> ${error}` });
		});
		page.on('console', (message) => {
			if (message.type() !== 'error' || ECHO_OF_REQUEST.test(message.text())) return;
			const { url, lineNumber } = message.location();
			this.#problems.push({ kind: 'console', text: `${message.text()} (${url}:${lineNumber})` });
		});
		page.on('pageerror', (error) => {
			this.#problems.push({ kind: 'exception', text: error.stack || error.message || String(error) });
		});
		page.on('websocket', (socket) => {
			socket.on('socketerror', (text) => this.#problems.push({ kind: 'socket', text: `${socket.url()}: ${text}` }));
		});
	}

	/**
	 * Declares a failure that belongs to the test: it must happen at least once, and does not
	 * count against the page.
	 *
	 * @param {Omit<Rule, 'reason'>} rule
	 */
	expect(rule) {
		this.#expected.push({ ...rule, reason: 'expected by the test', seen: 0 });
	}

	/**
	 * Declares a failure that may happen during the test, with the reason.
	 *
	 * @param {Rule} rule
	 */
	tolerate(rule) {
		this.#expected.push({ ...rule, seen: 1 });
	}

	/** Waits until every request has been answered and no more come; an unanswered one is a failure. */
	async settled() {
		const deadline = Date.now() + PATIENCE;
		while (this.#waiting.size > 0 || Date.now() - this.#lastRequest < QUIET) {
			if (Date.now() > deadline) {
				for (const request of this.#waiting) {
					this.#problems.push({ kind: 'transport', call: callOf(request), text: `${callOf(request)} -> no answer` });
				}
				return;
			}
			await pause(50);
		}
	}

	/** What went wrong unexpectedly, or was expected and did not happen; empty if all is well. */
	verdict() {
		const lines = [];
		for (const problem of this.#problems) {
			const own = this.#expected.find((rule) => covers(rule, problem));
			if (own) own.seen += 1;
			else if (!ALLOWED.some((rule) => covers(rule, problem))) lines.push(`${problem.kind}: ${problem.text}`);
		}
		for (const rule of this.#expected) {
			if (rule.seen === 0) lines.push(`expected but did not happen: ${rule.message ?? `${rule.call} -> ${rule.status}`}`);
		}
		return lines;
	}
}
