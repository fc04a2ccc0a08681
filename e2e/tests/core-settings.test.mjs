import assert from 'node:assert/strict';
import { newAccount, signIn } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatReady, chooseModel, confirm, converse, notice, openApp } from '../lib/chat.mjs';
import { signInByForm } from '../lib/auth-page.mjs';
import { SETTINGS, chooseSettings, openSettings, turnTo } from '../lib/settings-dialog.mjs';
import { rows, sidebar } from '../lib/sidebar.mjs';
import { scenario } from '../lib/stage.mjs';
import { withChats } from '../lib/stored-chats.mjs';
import { eventually } from '../lib/wait.mjs';

async function begin(stage, options) {
	const account = await newAccount(options);
	const tab = await stage.window(account);
	await openApp(tab);
	return { account, tab };
}

const save = (dialog) => dialog.getByRole('button', { name: 'Save', exact: true }).click();

const storedSettings = async (account) => (await call('GET', '/api/v1/users/user/settings', account))?.ui ?? {};

async function reloaded(tab) {
	await tab.page.reload();
	await chatReady(tab);
}

scenario('every personal page of the settings opens', async (stage) => {
	const { tab } = await begin(stage, { role: 'user' });
	const dialog = await openSettings(tab);
	assert.equal(await dialog.getByRole('tablist', { name: 'Admin' }).count(), 0);
	for (const name of SETTINGS.Personal) {
		await turnTo(tab, 'Personal', name);
		await stage.shot(tab, name);
	}
});

scenario('the system prompt is kept and used', async (stage) => {
	const { account, tab } = await begin(stage);
	let dialog = await chooseSettings(tab, 'Personal', 'General');
	await dialog.getByPlaceholder('Enter system prompt here').fill('Answer in verse.');
	await save(dialog);
	await notice(tab, 'Settings saved successfully!').waitFor();
	assert.equal((await storedSettings(account)).system, 'Answer in verse.');

	await reloaded(tab);
	dialog = await chooseSettings(tab, 'Personal', 'General');
	assert.equal(await dialog.getByPlaceholder('Enter system prompt here').inputValue(), 'Answer in verse.');
	await tab.page.keyboard.press('Escape');
	await chooseModel(tab, 'echo');
	const sent = tab.page.waitForRequest((request) => request.url().endsWith('/api/chat/completions'));
	await converse(tab, 'Roses are red');
	assert.match((await sent).postData(), /Answer in verse\./);
});

scenario('the dark theme stays after a reload', async (stage) => {
	const { tab } = await begin(stage);
	const isDark = () => tab.page.locator('html').evaluate((html) => html.classList.contains('dark'));
	assert.equal(await isDark(), false);
	const dialog = await chooseSettings(tab, 'Personal', 'General');
	await dialog.getByRole('combobox', { name: 'Theme' }).selectOption('dark');
	await eventually(async () => assert.equal(await isDark(), true));
	await reloaded(tab);
	assert.equal(await isDark(), true);
});

scenario('the language stays after a reload', async (stage) => {
	const { tab } = await begin(stage);
	const dialog = await chooseSettings(tab, 'Personal', 'General');
	await dialog.getByRole('combobox', { name: 'Language' }).selectOption('de-DE');
	await tab.page.getByRole('heading', { name: 'Allgemein', exact: true }).waitFor();
	await reloaded(tab);
	await sidebar(tab).getByText('Neuer Chat').first().waitFor();
});

scenario('a switch of the interface page follows the account', async (stage) => {
	const { account, tab } = await begin(stage);
	let dialog = await chooseSettings(tab, 'Personal', 'Interface');
	const widescreen = (page) => page.getByRole('switch', { name: 'Widescreen Mode' });
	assert.equal(await widescreen(dialog).getAttribute('aria-checked'), 'false');
	await widescreen(dialog).click();
	await eventually(async () => assert.equal((await storedSettings(account)).widescreenMode, true));

	const elsewhere = await stage.window(account);
	await openApp(elsewhere);
	dialog = await chooseSettings(elsewhere, 'Personal', 'Interface');
	await eventually(async () => assert.equal(await widescreen(dialog).getAttribute('aria-checked'), 'true'));
});

scenario('name and bio are changed in the account', async (stage) => {
	const { account, tab } = await begin(stage, { role: 'user', name: 'Nora Before' });
	const dialog = await chooseSettings(tab, 'Personal', 'Account');
	await dialog.getByRole('textbox', { name: 'Name' }).fill('Nora After');
	await dialog.getByRole('textbox', { name: 'Bio' }).fill('Likes tests');
	await save(dialog);
	await notice(tab, 'Settings saved successfully!').waitFor();
	await reloaded(tab);
	await sidebar(tab).getByText('Nora After').waitFor();
	const me = await call('GET', '/api/v1/auths/', account);
	assert.equal(me.name, 'Nora After');
	assert.equal(me.bio, 'Likes tests');
});

scenario('a new password replaces the old one', async (stage) => {
	const { account, tab } = await begin(stage, { role: 'user' });
	const changed = { ...account, password: 'Another-e2e-2' };
	const dialog = await chooseSettings(tab, 'Personal', 'Account');
	await dialog.getByRole('button', { name: 'Change Password' }).click();
	await dialog.getByPlaceholder('Enter your current password').fill(account.password);
	await dialog.getByPlaceholder('Enter your new password').fill(changed.password);
	await dialog.getByPlaceholder('Confirm your new password').fill(changed.password);
	// The session ends with the old password, and the page notices it while it is still in use.
	const reason = 'the session has ended';
	tab.watch.tolerate({ call: /^(GET|POST) \/api\//, status: 401, reason });
	tab.watch.tolerate({ message: /^/, reason });
	await dialog.getByRole('button', { name: 'Update password' }).click();
	await tab.page.waitForURL(/\/auth/);
	await signInByForm(tab, changed);
	await chatReady(tab);
	await assert.rejects(signIn(account), { status: 400 });
	assert.equal((await signIn(changed)).id, account.id);
});

scenario('all chats are archived at once', async (stage) => {
	const { account } = await withChats('One', 'Two', 'Three');
	const tab = await stage.window(account);
	await openApp(tab);
	await eventually(async () => assert.equal(await rows(tab).count(), 3));
	const dialog = await chooseSettings(tab, 'Personal', 'Data Controls');
	await dialog.getByRole('button', { name: 'Archive All Chats' }).click();
	await confirm(tab);
	await eventually(async () => assert.equal((await call('GET', '/api/v1/chats/list', account)).length, 0));
	await turnTo(tab, 'Personal', 'Archived Chats');
	for (const title of ['One', 'Two', 'Three']) await dialog.getByText(title, { exact: true }).waitFor();
	await tab.page.keyboard.press('Escape');
	await eventually(async () => assert.equal(await rows(tab).count(), 0));
});

scenario('all chats are exported to a file', async (stage) => {
	const { account } = await withChats('First', 'Second');
	const tab = await stage.window(account);
	await openApp(tab);
	const dialog = await chooseSettings(tab, 'Personal', 'Data Controls');
	const download = tab.page.waitForEvent('download');
	await dialog.getByRole('button', { name: 'Export Chats' }).click();
	const chunks = [];
	for await (const chunk of await (await download).createReadStream()) chunks.push(chunk);
	const exported = JSON.parse(Buffer.concat(chunks).toString());
	assert.deepEqual(exported.map((chat) => chat.title).sort(), ['First', 'Second']);
});
