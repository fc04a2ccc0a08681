/**
 * Declares the scenarios of the chosen groups in one process, so that they share a browser.
 * Started by `run.mjs`, which has made sure that the server under test is there.
 */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { unknownPending } from './lib/pending.mjs';
import { writeRecord } from './lib/recorder.mjs';
import { GREP, GROUPS } from './lib/settings.mjs';
import { closeBrowser, inFile } from './lib/stage.mjs';

/** The order of groups; onboarding is a scenario of the first. */
const ORDER = ['core', 'workspace', 'admin'];
/** Has to meet the server while it has no account. */
const FIRST = 'core-auth.test.mjs';

const folder = new URL('./tests/', import.meta.url);
const groupOf = (file) => file.split('-')[0];
const files = readdirSync(folder)
	.filter((file) => file.endsWith('.test.mjs') && (!GROUPS || GROUPS.includes(groupOf(file))))
	.sort((a, b) => ORDER.indexOf(groupOf(a)) - ORDER.indexOf(groupOf(b)) || (a === FIRST ? -1 : b === FIRST ? 1 : a.localeCompare(b)));

for (const file of files) {
	inFile(file);
	await import(new URL(file, folder));
}

if (!GROUPS && !GREP.source.replace('(?:)', '')) {
	test('the list of pending scenarios names existing ones', () => assert.deepEqual(unknownPending(), []));
}

after(async () => {
	writeRecord();
	await closeBrowser();
});
