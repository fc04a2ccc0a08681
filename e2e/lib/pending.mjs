/**
 * Scenarios that the server does not pass yet, from `pending.txt`. They are run all the same; one that passes
 * fails the run, so that the list can only shrink.
 */

import { readFileSync } from 'node:fs';

/** `group / area: title  # reason`, one a line. */
const LINE = /^(\S.*?)\s+#\s*(\S.*)$/;

const lines = readFileSync(new URL('../pending.txt', import.meta.url), 'utf8')
	.split('\n')
	.filter((line) => line.trim() && !line.startsWith('#'));

/** @type {Map<string, { reason: string, declared: boolean }>} */
const listed = new Map(
	lines.map((line) => {
		const [, name, reason] = LINE.exec(line) ?? [];
		if (!name) throw new Error(`e2e/pending.txt: a line without name or reason: ${line}`);
		return [name, { reason, declared: false }];
	})
);

/**
 * Why a scenario is pending; undefined for one that has to pass.
 *
 * @param {string} name  the full name
 */
export function pendingReason(name) {
	const entry = listed.get(name);
	if (entry) entry.declared = true;
	return entry?.reason;
}

/** Names in the list that no scenario has. */
export function unknownPending() {
	return [...listed].filter(([, { declared }]) => !declared).map(([name]) => name);
}
