/**
 * Starting and stopping the server under test and the provider. Knows nothing about browsers.
 */

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** A TCP port of this machine that nobody listens on. */
export function freePort() {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.once('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

/** Replaces `{name}` in a command by the value of that name. */
export function fill(command, values) {
	return command.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/**
 * Starts a shell command as a process group of its own.
 *
 * @param {string} name   names the log file
 * @param {string} command
 * @param {Record<string, string>} env  added to the environment
 * @param {string} logs   folder for the log
 * @returns {{ name: string, exited: () => boolean, stop: () => Promise<void>, log: string }}
 */
export function start(name, command, env, logs) {
	mkdirSync(logs, { recursive: true });
	const log = join(logs, `${name}.log`);
	const output = createWriteStream(log);
	const child = spawn('/bin/sh', ['-c', `exec ${command}`], {
		env: { ...process.env, ...env },
		detached: true,
		stdio: ['ignore', 'pipe', 'pipe']
	});
	child.stdout.pipe(output, { end: false });
	child.stderr.pipe(output, { end: false });
	let exited = false;
	const end = new Promise((resolve) => {
		child.once('exit', () => {
			exited = true;
			resolve();
		});
	});
	const signal = (what) => {
		try {
			process.kill(-child.pid, what);
		} catch {
			// The group is gone already.
		}
	};
	return {
		name,
		log,
		exited: () => exited,
		async stop() {
			if (exited) return;
			signal('SIGTERM');
			await Promise.race([end, pause(10_000, undefined, { ref: false })]);
			if (!exited) signal('SIGKILL');
		}
	};
}

/**
 * Waits until an address answers with a 2xx status.
 *
 * @param {string} url
 * @param {number} patience  milliseconds
 * @param {{ name: string, exited: () => boolean, log: string }} [owner]  gives up early when it ends
 */
export async function waitHealthy(url, patience, owner) {
	const deadline = Date.now() + patience;
	let last = 'no answer';
	while (Date.now() < deadline) {
		if (owner?.exited()) throw new Error(`${owner.name} ended before it was ready, see ${owner.log}`);
		try {
			const answer = await fetch(url);
			if (answer.ok) return;
			last = `status ${answer.status}`;
		} catch (error) {
			last = error.cause?.code ?? error.message;
		}
		await pause(250);
	}
	throw new Error(`${url} was not ready within ${patience} ms (${last})`);
}
