/**
 * What the suite is told from outside. The only module that reads the environment.
 */

const trimmed = (url) => url?.replace(/\/+$/, '');

/** Root address of the server under test, without a slash at the end. */
export const BASE_URL = trimmed(process.env.BASE_URL);

/** Root address of the scripted provider, without `/v1`; only needed when the suite starts the server. */
export const PROVIDER_URL = trimmed(process.env.PROVIDER_URL);

/** Shell command that starts the server under test; `{port}`, `{data}` and `{provider}` are filled in. */
export const SERVER_CMD = process.env.SERVER_CMD;

/** Shell command that starts the scripted provider; `{port}` is filled in. */
export const PROVIDER_CMD = process.env.PROVIDER_CMD;

/** The browser to drive. */
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Milliseconds that a single expectation may take to come true. */
export const PATIENCE = Number(process.env.E2E_PATIENCE ?? 30_000);

/** Milliseconds that a server may take from its start to its first healthy answer. */
export const START_PATIENCE = Number(process.env.E2E_START_PATIENCE ?? 180_000);

/** Groups to run, comma separated; all of them when absent. */
export const GROUPS = process.env.E2E_GROUPS?.split(',').filter(Boolean);

/** Only scenarios whose full name matches are run. */
export const GREP = new RegExp(process.env.E2E_GREP ?? '');

/** File for the list of API calls, see `recorder.mjs`; nothing is recorded when absent. */
export const RECORD_FILE = process.env.E2E_RECORD;

/** Folder for one sample of each recorded call. */
export const SAMPLES_DIR = process.env.E2E_SAMPLES;

/** Folder of the screenshots. */
export const ARTIFACTS = new URL('../artifacts/', import.meta.url).pathname;
