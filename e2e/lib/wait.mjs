/**
 * Waiting for what no single locator can express.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { PATIENCE } from './settings.mjs';

/**
 * Repeats a check until it stops throwing, and gives its value.
 *
 * @template T
 * @param {() => Promise<T> | T} check  throws (an assertion, for instance) while things are not yet so
 * @param {number} [patience]  milliseconds
 * @returns {Promise<T>}
 */
export async function eventually(check, patience = PATIENCE) {
	const deadline = Date.now() + patience;
	for (;;) {
		try {
			return await check();
		} catch (error) {
			if (Date.now() >= deadline) throw error;
		}
		await pause(50);
	}
}
