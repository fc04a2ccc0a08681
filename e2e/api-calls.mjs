#!/usr/bin/env node
/**
 * Writes down which API calls and websocket events the frontend makes while the suite runs.
 *
 *   node e2e/api-calls.mjs [FILE] [--samples DIR] [options of run.mjs]
 *
 * FILE (default: api-calls.txt beside this program) gets one line for each distinct call: method
 * and path with ids replaced and query keys without values, the statuses seen, and the areas of
 * the suite that made it; then the websocket events by direction. Calls that every start of the
 * frontend makes only name the area `start`. With --samples one request and answer of each call is
 * written into DIR, cut to 2 kB. The environment is that of `run.mjs`.
 */

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

const [...rest] = process.argv.slice(2);
const samplesAt = rest.indexOf('--samples');
const samples = samplesAt < 0 ? undefined : rest.splice(samplesAt, 2)[1];
const here = (name) => new URL(name, import.meta.url).pathname;
const file = rest[0] && !rest[0].startsWith('--') ? resolve(rest.shift()) : here('./api-calls.txt');

const env = { ...process.env, E2E_RECORD: file };
if (samples) env.E2E_SAMPLES = resolve(samples);
const run = spawn(process.execPath, [here('./run.mjs'), ...rest], { env, stdio: 'inherit' });
run.once('exit', (code, signal) => process.exit(signal ? 1 : code));
