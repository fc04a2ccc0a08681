/**
 * Using the chat page.
 */

import assert from 'node:assert/strict';
import { eventually } from './wait.mjs';

/** Waits until the start page or a chat is ready for typing. */
export async function chatReady(tab) {
	await tab.page.locator('#chat-input').waitFor();
}

/** Opens the start page. */
export async function openApp(tab) {
	await tab.start('/', () => chatReady(tab));
}

/** Opens a chat by its id and waits for its messages. */
export async function openChat(tab, id) {
	await tab.goto(`/c/${id}`);
	await messages(tab).first().waitFor();
}

/** Chooses the model for the next message. */
export async function chooseModel(tab, id) {
	await tab.page.locator('#model-selector-model-button').click();
	await tab.page.getByRole('option', { name: `Select ${id} model`, exact: true }).click();
	await tab.page.getByRole('button', { name: `Selected model: ${id}`, exact: true }).waitFor();
}

/** Types a message without sending it. */
export async function type(tab, text) {
	await tab.page.locator('#chat-input').click();
	await tab.page.keyboard.insertText(text);
}

/**
 * Types a message and sends it.
 *
 * @param {string} [shown]  how the message looks in the chat, where Markdown changes it
 */
export async function send(tab, text, shown = text) {
	await type(tab, text);
	await tab.page.keyboard.press('Enter');
	await messages(tab).filter({ hasText: shown }).first().waitFor();
}

/** The messages of the open chat, those of both sides. */
export function messages(tab) {
	// Not by role: the items of a list inside a message have the same one.
	return tab.page.locator('[role=log] [role=listitem]');
}

/** The replies of the open chat. */
export function replies(tab) {
	return tab.page.locator('#response-content-container');
}

/** The button that ends a running reply; it is there as long as one runs. */
export function stopButton(tab) {
	return tab.page.getByRole('button', { name: 'Stop', exact: true });
}

const flat = (text) => text.replace(/\s+/g, ' ').trim();

/** The text of the last reply. */
export async function replyText(tab) {
	return flat(await replies(tab).last().innerText());
}

/** Waits until the last reply holds a text. */
export async function replyContains(tab, text) {
	await replies(tab).last().filter({ hasText: text }).waitFor();
}

/** Waits until the last reply is complete and says exactly this. */
export async function replyIs(tab, text) {
	await replyFinished(tab);
	await eventually(async () => assert.equal(await replyText(tab), flat(text)));
}

/** Waits until no reply is running and the last message offers to regenerate it. */
export async function replyFinished(tab) {
	await messages(tab).last().getByRole('button', { name: 'Regenerate' }).waitFor();
	await stopButton(tab).waitFor({ state: 'detached' });
}

/** Sends a message and waits for the complete reply. */
export async function converse(tab, text, reply = text) {
	await send(tab, text);
	await replyIs(tab, reply);
}

/** Id of the open chat; waits for a new chat to get its address. */
export async function chatId(tab) {
	await tab.page.waitForURL(/\/c\/[^/?#]+/);
	return new URL(tab.page.url()).pathname.split('/')[2];
}

/** The pop-up notice with this text. */
export function notice(tab, text) {
	return tab.page.getByRole('region', { name: /Notifications/ }).getByText(text);
}

/** Waits for the button that confirms what a dialog asks, and presses it. */
export async function confirm(tab) {
	await tab.page.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
}
