import assert from 'node:assert/strict';
import { newAccount, theAdmin } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatReady, notice, openApp } from '../lib/chat.mjs';
import { SETTINGS, chooseSettings, openSettings, turnTo } from '../lib/settings-dialog.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

async function begin(stage) {
	const tab = await stage.window(await newAccount());
	await openApp(tab);
	return tab;
}

const saveButton = (dialog) => dialog.getByRole('button', { name: 'Save', exact: true });

scenario('every administrative page of the settings opens', async (stage) => {
	const tab = await begin(stage);
	await openSettings(tab);
	for (const name of SETTINGS.Admin) {
		await turnTo(tab, 'Admin', name);
		await stage.shot(tab, name);
	}
});

scenario('the dialog opens from the admin panel', async (stage) => {
	const tab = await begin(stage);
	await tab.goto('/admin/settings');
	await tab.page.getByRole('dialog', { name: 'Settings' }).getByRole('heading', { name: 'General', level: 2 }).waitFor();
});

/** Pages whose unchanged values the server takes back, with what they send. */
const SAVED = {
	General: ['POST /api/v1/auths/admin/config', 'POST /api/v1/configs/banners'],
	Authentication: ['POST /api/v1/auths/admin/config/ldap', 'POST /api/v1/auths/admin/config'],
	Interface: ['POST /api/v1/tasks/config/update', 'POST /api/v1/chats/config', 'POST /api/v1/configs/interface/visibility'],
	Connections: ['POST /openai/config/update', 'POST /ollama/config/update'],
	'Sub-agents': ['POST /api/v1/configs/subagents'],
	Integrations: ['POST /api/v1/configs/tool_servers'],
	Documents: ['POST /api/v1/retrieval/config/update'],
	Audio: ['POST /api/v1/audio/config/update'],
	Images: ['POST /api/v1/images/config/update'],
	'Web Search': ['POST /api/v1/retrieval/config/update'],
	'Code Execution': ['POST /api/v1/configs/code_execution'],
	Evaluations: ['POST /api/v1/evaluations/config']
};

const callOf = (response) => `${response.request().method()} ${new URL(response.url()).pathname}`;

scenario('pages are saved unchanged', async (stage) => {
	const tab = await begin(stage);
	tab.watch.tolerate({
		call: SAVED.Audio[0],
		status: 500,
		reason: 'the default engine loads a speech model, which is not there without a network'
	});
	const dialog = await openSettings(tab);
	for (const [name, calls] of Object.entries(SAVED)) {
		await turnTo(tab, 'Admin', name);
		const answers = Promise.all(
			calls.map((expected) => tab.page.waitForResponse((response) => callOf(response) === expected))
		);
		await Promise.all([answers, saveButton(dialog).click()]);
		await tab.watch.settled();
	}
});

scenario('a switch of the general page is kept', async (stage) => {
	const tab = await begin(stage);
	const rating = (dialog) => dialog.getByRole('switch', { name: 'Message Rating' });
	let dialog = await chooseSettings(tab, 'Admin', 'General');
	assert.equal(await rating(dialog).getAttribute('aria-checked'), 'true');
	await rating(dialog).click();
	await saveButton(dialog).click();
	await notice(tab, 'Settings saved successfully!').waitFor();
	await tab.page.reload();
	await chatReady(tab);
	dialog = await chooseSettings(tab, 'Admin', 'General');
	await eventually(async () => assert.equal(await rating(dialog).getAttribute('aria-checked'), 'false'));
	assert.equal((await call('GET', '/api/config', await theAdmin())).features.enable_message_rating, false);
	await rating(dialog).click();
	await saveButton(dialog).click();
	await eventually(async () => {
		assert.equal((await call('GET', '/api/config', await theAdmin())).features.enable_message_rating, true);
	});
});

scenario('the connection to the provider is listed and verified', async (stage) => {
	const tab = await begin(stage);
	const dialog = await chooseSettings(tab, 'Admin', 'Connections');
	const address = dialog.getByRole('textbox', { name: 'API Base URL' }).first();
	await address.waitFor();
	const config = await call('GET', '/openai/config', await theAdmin());
	assert.equal(await address.inputValue(), config.OPENAI_API_BASE_URLS[0]);
	await dialog.getByRole('button', { name: 'Configure' }).first().click();
	const edit = tab.page.getByRole('dialog').filter({ hasText: 'Edit Connection' });
	await edit.getByRole('button', { name: 'Verify Connection' }).click();
	await notice(tab, 'Server connection verified').waitFor();
	await stage.shot(tab, 'verified');
});

scenario('the provider models are listed and one is switched off', async (stage) => {
	const tab = await begin(stage);
	const dialog = await chooseSettings(tab, 'Admin', 'Models');
	for (const id of ['echo', 'fake-model', 'slow', 'reasoner', 'error-500']) {
		await dialog.getByRole('button', { name: new RegExp(`modelfile profile ${id} `) }).waitFor();
	}
	await dialog.getByPlaceholder('Search Models').fill('reasoner');
	const toggle = dialog.getByRole('switch');
	await eventually(async () => assert.equal(await toggle.count(), 1));
	const offered = async () => (await call('GET', '/api/models', await theAdmin())).data.map((model) => model.id);
	await toggle.click();
	await eventually(async () => assert.equal((await offered()).includes('reasoner'), false));
	await stage.shot(tab, 'switched-off');
	await toggle.click();
	await eventually(async () => assert.equal((await offered()).includes('reasoner'), true));
});

scenario('a banner is shown to everyone', async (stage) => {
	const admin = await theAdmin();
	const tab = await begin(stage);
	const dialog = await chooseSettings(tab, 'Admin', 'General');
	try {
		await dialog.getByRole('button', { name: 'Add banner' }).click();
		await dialog.getByRole('combobox').last().selectOption('warning');
		await dialog.getByPlaceholder('Content').last().fill('Closed on Sunday');
		await saveButton(dialog).click();
		await notice(tab, 'Settings saved successfully!').waitFor();
		const other = await stage.window(await newAccount({ role: 'user' }));
		await openApp(other);
		await other.page.getByText('Closed on Sunday').waitFor();
	} finally {
		await call('POST', '/api/v1/configs/banners', { ...admin, body: { banners: [] } });
	}
});

scenario('the configuration is exported', async (stage) => {
	const tab = await begin(stage);
	const dialog = await chooseSettings(tab, 'Admin', 'Database');
	const download = tab.page.waitForEvent('download');
	await dialog.getByRole('button', { name: 'Export Config' }).click();
	const chunks = [];
	for await (const chunk of await (await download).createReadStream()) chunks.push(chunk);
	const exported = JSON.parse(Buffer.concat(chunks).toString());
	assert.equal(typeof exported, 'object');
	assert.ok(Object.keys(exported).length > 0);
});
