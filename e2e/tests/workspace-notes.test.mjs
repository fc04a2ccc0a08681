import assert from 'node:assert/strict';
import { newAccount, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { confirm } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

const title = (tab) => tab.page.getByRole('textbox', { name: 'Title' });

/** The text of an open note. */
const text = (tab) => tab.page.locator('.ProseMirror[contenteditable=true]').last();

/** Does what opens a note, and waits until its text has come: what is typed before that is lost. */
async function opening(tab, open) {
	const before = tab.heard('ydoc:document:state');
	await open();
	await tab.page.waitForURL(/\/notes\/[0-9a-f-]{36}/);
	await text(tab).waitFor();
	await eventually(() => assert.ok(tab.heard('ydoc:document:state') > before, 'the state of the note has come'));
	await tab.watch.settled();
}

/** Makes a note and gives its id. */
async function createNote(tab, name) {
	await tab.goto('/notes');
	await opening(tab, () => tab.page.getByRole('button', { name: 'Create', exact: true }).click());
	await title(tab).fill(name);
	return new URL(tab.page.url()).pathname.split('/').at(-1);
}

/** Types at the end of an open note. */
async function write(tab, words) {
	await text(tab).click();
	await tab.page.keyboard.press('Control+End');
	await tab.page.keyboard.type(words);
	await text(tab).getByText(words.trim()).waitFor();
}

scenario('a note is written, found again and deleted', async (stage) => {
	const account = await newAccount();
	const tab = await stage.window(account);
	const name = unique('note');
	const id = await createNote(tab, name);
	await write(tab, 'Milk, eggs, bread');
	const stored = () => call('GET', `/api/v1/notes/${id}`, account);
	await eventually(async () => {
		const note = await stored();
		assert.equal(note.title, name);
		assert.match(note.data.content.md, /Milk, eggs, bread/);
	});

	await tab.page.reload();
	await text(tab).getByText('Milk, eggs, bread').waitFor();
	await stage.shot(tab, 'reloaded');
	await tab.goto('/notes');
	await tab.page.getByPlaceholder('Search Notes').fill(name);
	await tab.page.getByText(name, { exact: true }).first().click();
	await text(tab).getByText('Milk, eggs, bread').waitFor();
	await tab.page.getByRole('button', { name: 'Note Menu' }).click();
	await tab.page.getByRole('menu').getByText('Delete').click();
	await confirm(tab);
	await tab.page.waitForURL(/\/notes$/);
	await assert.rejects(stored());
});

scenario('a note is written by two windows at once', async (stage) => {
	const account = await newAccount();
	const first = await stage.window(account);
	const id = await createNote(first, unique('note'));
	await write(first, 'From the first.');
	const second = await stage.tabBeside(first);
	await opening(second, () => second.goto(`/notes/${id}`));
	await text(second).getByText('From the first.').waitFor();
	await write(second, ' From the second.');
	await text(first).getByText('From the first. From the second.').waitFor();
	await write(first, ' From both.');
	await text(second).getByText('From the second. From both.').waitFor();
	await eventually(async () => {
		const note = await call('GET', `/api/v1/notes/${id}`, account);
		assert.match(note.data.content.md, /From the first\. From the second\. From both\./);
	});
});
