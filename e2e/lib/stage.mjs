/**
 * A test's own browser windows: opened signed in, watched for failures, photographed at the end.
 */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { pendingReason } from './pending.mjs';
import { record } from './recorder.mjs';
import { ARTIFACTS, BASE_URL, CHROMIUM, GREP, PATIENCE, RECORD_FILE } from './settings.mjs';
import { Watch } from './watch.mjs';

const FLAGS = [
	'--headless',
	'--no-sandbox',
	'--disable-gpu',
	'--disable-quic',
	'--no-first-run',
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-sync'
];

/** Milliseconds that one test may take. */
const TEST_PATIENCE = 8 * PATIENCE;

let browser;

/** The browser of all tests, started by the first that needs it. */
export function theBrowser() {
	browser ??= chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
	return browser;
}

/** Ends the shared browser. */
export async function closeBrowser() {
	await (await browser)?.close();
}

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');

/** Windows of ended tests, for the next ones: they keep the browser's cache of the frontend's files. */
const idle = [];

/** What the browser keeps of a signed-in account; everyone has the sidebar open. */
function storageOf(account) {
	const localStorage = [{ name: 'sidebar', value: 'true' }];
	const cookies = [];
	if (account) {
		localStorage.push({ name: 'token', value: account.token });
		cookies.push({
			name: 'token',
			value: account.token,
			domain: new URL(BASE_URL).hostname,
			path: '/',
			expires: -1,
			httpOnly: true,
			secure: false,
			sameSite: 'Lax'
		});
	}
	return { cookies, origins: [{ origin: BASE_URL, localStorage }] };
}

async function newContext() {
	const context = await (await theBrowser()).newContext({
		viewport: { width: 1280, height: 800 },
		locale: 'en-US',
		timezoneId: 'UTC',
		colorScheme: 'light'
	});
	context.setDefaultTimeout(PATIENCE);
	return context;
}

/**
 * One browser tab. `page` is Playwright's; `watch` collects its failures.
 */
export class Tab {
	/** What the tab is being used for, for the recording. */
	area;
	#heard = new Map();

	constructor(page, name, area) {
		this.page = page;
		this.name = name;
		this.area = area;
		this.watch = new Watch(page);
		record(page, () => this.area);
		page.on('websocket', (socket) => {
			socket.on('framereceived', ({ payload }) => {
				const name = /^42\d*\["([^"]+)"/.exec(String(payload))?.[1];
				if (name) this.#heard.set(name, this.heard(name) + 1);
			});
		});
	}

	/** How often the server has sent a Socket.IO event of this name. */
	heard(name) {
		return this.#heard.get(name) ?? 0;
	}

	/** Opens a path of the server under test. */
	async goto(path) {
		await this.page.goto(BASE_URL + path);
	}

	/**
	 * Opens the frontend afresh; what it asks the server meanwhile is recorded as its start.
	 *
	 * @param {string} path
	 * @param {() => Promise<void>} ready  waits until the page can be used
	 */
	async start(path, ready) {
		const { area } = this;
		this.area = 'start';
		await this.goto(path);
		await ready();
		if (RECORD_FILE) await this.watch.settled();
		this.area = area;
	}
}

/** The windows of one test. */
export class Stage {
	#contexts = [];
	#tabs = [];
	#title;
	#area;
	#shots = 0;

	constructor(title, area) {
		this.#title = title;
		this.#area = area;
	}

	/**
	 * A window with storage of its own.
	 *
	 * @param {import('./accounts.mjs').Account} [account]  signed in as, nobody when absent
	 * @returns {Promise<Tab>}
	 */
	async window(account) {
		const context = idle.pop() ?? (await newContext());
		await context.setStorageState(storageOf(account));
		this.#contexts.push(context);
		return this.#open(context);
	}

	/** A second tab in the window of another. */
	async tabBeside(tab) {
		return this.#open(tab.page.context());
	}

	async #open(context) {
		const tab = new Tab(await context.newPage(), `tab${this.#tabs.length + 1}`, this.#area);
		this.#tabs.push(tab);
		return tab;
	}

	/** Photographs the state of a tab under a name of one's own. */
	async shot(tab, name) {
		this.#shots += 1;
		const folder = join(ARTIFACTS, this.#area);
		mkdirSync(folder, { recursive: true });
		await tab.page.screenshot({ path: join(folder, `${slug(this.#title)}.${this.#shots}-${slug(name)}.png`) });
	}

	/**
	 * Waits until the tabs have their answers, photographs and closes them.
	 *
	 * @param {'end' | 'failed'} outcome
	 * @returns {Promise<string[]>} the failures that the tabs have collected
	 */
	async end(outcome) {
		const open = this.#tabs.filter((tab) => !tab.page.isClosed());
		for (const tab of open) {
			if (outcome === 'end') await tab.watch.settled();
			await this.shot(tab, `${outcome}-${tab.name}`).catch(() => {});
		}
		const verdict = this.#tabs.flatMap((tab) => tab.watch.verdict().map((line) => `${tab.name}: ${line}`));
		for (const tab of open) await tab.page.close();
		if (outcome === 'end') idle.push(...this.#contexts);
		else for (const context of this.#contexts) await context.close();
		return verdict;
	}
}

let group;
let area;

/** Names the group and area of the scenarios declared next; called by the runner per test file. */
export function inFile(name) {
	[, group, area] = /^(\w+)-(.+)\.test\.mjs$/.exec(name);
	if (group !== 'core') area = `${group}-${area}`;
}

/** Runs a scenario to its verdict. */
async function play(title, own, body, t) {
	const stage = new Stage(title, own);
	let outcome = 'failed';
	let verdict = [];
	try {
		await body(stage, t);
		outcome = 'end';
	} finally {
		verdict = await stage.end(outcome);
		if (outcome === 'failed') for (const line of verdict) t.diagnostic(line);
	}
	assert.deepEqual(verdict, [], 'the pages ran without console errors and failed calls');
}

/** Runs a scenario that is listed as pending: it has to fail. */
async function playPending(reason, run, t) {
	let failure;
	try {
		await run();
	} catch (error) {
		failure = error;
	}
	assert.ok(failure, 'this scenario passes now: take it out of e2e/pending.txt');
	t.diagnostic(String(failure.message ?? failure).split('\n')[0]);
	t.todo(`pending: ${reason}`);
}

/**
 * Declares a test.
 *
 * @param {string} title
 * @param {(stage: Stage, t: import('node:test').TestContext) => Promise<void>} body
 */
export function scenario(title, body) {
	const own = area;
	const name = `${group} / ${own}: ${title}`;
	if (!GREP.test(name)) return;
	const reason = pendingReason(name);
	test(name, { timeout: TEST_PATIENCE }, (t) => {
		const run = () => play(title, own, body, t);
		return reason ? playPending(reason, run, t) : run();
	});
}
