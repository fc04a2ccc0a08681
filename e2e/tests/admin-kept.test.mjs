import assert from 'node:assert/strict';
import { newAccount, theAdmin } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { openApp } from '../lib/chat.mjs';
import { openSettings, turnTo } from '../lib/settings-dialog.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

/** A switch of a page, turned over. */
const turned = (name) => ({
	find: (dialog) => dialog.getByRole('switch', { name, exact: true }),
	change: (field) => field.click(),
	value: (field) => field.getAttribute('aria-checked')
});

/** A field that is found by its placeholder, with a new text. */
const filled = (placeholder, text) => ({
	find: (dialog) => dialog.getByPlaceholder(placeholder, { exact: true }),
	change: (field) => field.fill(text),
	value: (field) => field.inputValue()
});

/** A list of choices, with another one chosen. */
const chosen = (label, option) => ({
	find: (dialog) => dialog.getByLabel(label, { exact: true }),
	change: (field) => field.selectOption(option),
	value: (field) => field.inputValue()
});

/** One value of every page that keeps some. Pipelines, Analytics and Database have none of their own. */
const VALUES = {
	General: turned('Message Rating'),
	Authentication: turned('Admin Details'),
	Interface: turned('Tags Generation'),
	Connections: turned('Direct Connections'),
	'Sub-agents': turned('Enable sub-agents'),
	Integrations: turned('Direct Integrations'),
	Documents: filled('Enter Top K', '7'),
	Audio: chosen('Select how to split message text for TTS requests', 'paragraphs'),
	Images: {
		...turned('Image Generation'),
		change: async (field, dialog) => {
			await field.click();
			// Asked for once pictures are on.
			await dialog.getByPlaceholder('Select a model').first().fill('pictures');
			await dialog.getByPlaceholder('API Key', { exact: true }).first().fill('sk-pictures');
		}
	},
	'Web Search': filled('Concurrent Requests', '4'),
	'Code Execution': turned('Enable Code Interpreter'),
	Evaluations: turned('Arena Models')
};

scenario('one value of every page is changed, saved, and there after a reload', async (stage) => {
	const admin = await theAdmin();
	const before = await call('GET', '/api/v1/configs/export', admin);
	const tab = await stage.window(await newAccount());
	tab.watch.tolerate({
		call: 'POST /api/v1/audio/config/update',
		status: 500,
		reason: 'the default engine of the reference loads a speech model, which is not there without a network'
	});
	try {
		await openApp(tab);
		await openSettings(tab);
		const wanted = {};
		for (const [name, { find, change, value }] of Object.entries(VALUES)) {
			const dialog = await turnTo(tab, 'Admin', name);
			const field = find(dialog).first();
			const old = await value(field);
			await change(field, dialog);
			wanted[name] = await value(field);
			assert.notEqual(wanted[name], old, name);
			const answer = tab.page.waitForResponse((response) => response.request().method() === 'POST');
			await dialog.getByRole('button', { name: 'Save', exact: true }).click();
			await answer;
			await tab.watch.settled();
			await stage.shot(tab, name);
		}
		await openApp(tab);
		await openSettings(tab);
		for (const [name, { find, value }] of Object.entries(VALUES)) {
			const dialog = await turnTo(tab, 'Admin', name);
			await eventually(async () => assert.equal(await value(find(dialog).first()), wanted[name], name));
			await stage.shot(tab, `${name} again`);
		}
	} finally {
		await call('POST', '/api/v1/configs/import', { ...admin, body: { config: before } });
	}
});
