#!/usr/bin/env node
/**
 * Runs the browser tests; `--help` tells how.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fill, freePort, start, waitHealthy } from './lib/processes.mjs';
import { ARTIFACTS, BASE_URL, PROVIDER_CMD, PROVIDER_URL, SERVER_CMD, START_PATIENCE } from './lib/settings.mjs';

const HELP = `Runs the browser tests of the Open WebUI frontend against a running server.

  node e2e/run.mjs [--group GROUP]... [--grep PATTERN] [--list]

  --group GROUP    core, workspace or admin; may be given several times (default: all)
  --grep PATTERN   only scenarios whose "group / area: title" matches the regular expression
  --list           names the test files by group and ends
  --help           this text

The server under test is either running, with an empty data folder and a scripted provider:

  BASE_URL         its address

or is started here, in a new data folder:

  SERVER_CMD       command; {port}, {data} and {provider} are filled in, and the environment holds
                   PORT, DATA_DIR, OPENAI_API_BASE_URL and OPENAI_API_KEY
  PROVIDER_URL     address of a running scripted provider (without /v1), or
  PROVIDER_CMD     command that starts one; {port} is filled in

Also: CHROMIUM (browser), E2E_PATIENCE (ms per expectation), E2E_START_PATIENCE (ms for a start).
Screenshots and the logs of started programs are in e2e/artifacts/.
`;

const { values: options } = parseArgs({
	options: {
		group: { type: 'string', multiple: true },
		grep: { type: 'string' },
		list: { type: 'boolean' },
		help: { type: 'boolean', short: 'h' }
	}
});

const started = [];
const scratch = [];

async function startProvider() {
	if (PROVIDER_URL || !PROVIDER_CMD) return PROVIDER_URL;
	const port = await freePort();
	const provider = start('provider', fill(PROVIDER_CMD, { port }), {}, ARTIFACTS);
	started.push(provider);
	const url = `http://127.0.0.1:${port}`;
	await waitHealthy(`${url}/v1/models`, START_PATIENCE, provider);
	return url;
}

async function startServer(provider) {
	if (!SERVER_CMD) return BASE_URL;
	const port = BASE_URL ? new URL(BASE_URL).port : String(await freePort());
	const data = mkdtempSync(join(tmpdir(), 'oui-e2e-'));
	scratch.push(data);
	const env = {
		PORT: port,
		DATA_DIR: data,
		...(provider && { OPENAI_API_BASE_URL: `${provider}/v1`, OPENAI_API_KEY: 'sk-scripted' })
	};
	const server = start('server', fill(SERVER_CMD, { port, data, provider }), env, ARTIFACTS);
	started.push(server);
	const url = `http://127.0.0.1:${port}`;
	await waitHealthy(`${url}/health`, START_PATIENCE, server);
	return url;
}

async function stopAll() {
	for (const program of started.splice(0).reverse()) await program.stop();
	for (const folder of scratch.splice(0)) rmSync(folder, { recursive: true, force: true });
}

function runSuite(baseUrl, provider) {
	const env = { ...process.env, BASE_URL: baseUrl };
	if (provider) env.PROVIDER_URL = provider;
	if (options.grep) env.E2E_GREP = options.grep;
	if (options.group) env.E2E_GROUPS = options.group.join(',');
	const suite = spawn(process.execPath, ['--test-reporter=spec', new URL('./suite.mjs', import.meta.url).pathname], {
		env,
		stdio: 'inherit'
	});
	return new Promise((resolve) => suite.once('exit', (code, signal) => resolve(signal ? 1 : code)));
}

function list() {
	const files = readdirSync(new URL('./tests/', import.meta.url)).filter((file) => file.endsWith('.test.mjs'));
	process.stdout.write(`${files.sort().join('\n')}\n`);
}

async function main() {
	if (options.help) return process.stdout.write(HELP) && 0;
	if (options.list) return list() ?? 0;
	if (!BASE_URL && !SERVER_CMD) {
		process.stderr.write(`BASE_URL or SERVER_CMD has to be set.\n\n${HELP}`);
		return 2;
	}
	rmSync(ARTIFACTS, { recursive: true, force: true });
	const provider = await startProvider();
	const baseUrl = await startServer(provider);
	await waitHealthy(`${baseUrl}/health`, START_PATIENCE);
	return runSuite(baseUrl, provider);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopAll().then(() => process.exit(130)));

let code = 1;
try {
	code = await main();
} catch (error) {
	process.stderr.write(`${error.message}\n`);
} finally {
	await stopAll();
}
process.exit(code);
