import assert from 'node:assert/strict';
import { newAccount, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatReady, openApp } from '../lib/chat.mjs';
import { chooseSettings } from '../lib/settings-dialog.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

/** Makes a group with one person in it, by the pages of the admin panel. */
async function fillGroup(tab, name, member) {
	await tab.goto('/admin/users/groups');
	await tab.page.getByRole('button', { name: 'New Group' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('textbox', { name: 'Group Name' }).fill(name);
	await dialog.getByRole('button', { name: 'Save' }).click();
	await dialog.waitFor({ state: 'detached' });
	await tab.page.getByRole('group', { name }).getByRole('button').first().click();
	await dialog.getByRole('button', { name: 'Users', exact: true }).click();
	await dialog.getByPlaceholder('Search').fill(member.email);
	await dialog.getByRole('checkbox', { name: member.name }).click();
	await dialog.getByRole('button', { name: 'Close' }).click();
	await dialog.waitFor({ state: 'detached' });
}

scenario('a model is opened to a group, and its members see it', async (stage) => {
	const admin = await newAccount();
	const member = await newAccount({ role: 'user', name: 'Gita Group' });
	const offered = async () => (await call('GET', '/api/models', member)).data.map((model) => model.id);
	const group = unique('readers');
	assert.equal((await offered()).includes('slow'), false);

	const tab = await stage.window(admin);
	await fillGroup(tab, group, member);
	await openApp(tab);
	const settings = await chooseSettings(tab, 'Admin', 'Models');
	await settings.getByPlaceholder('Search Models').fill('slow');
	await settings.getByRole('button', { name: /modelfile profile slow / }).click();
	await settings.getByRole('button', { name: 'Access', exact: true }).click();
	await tab.page.getByRole('button', { name: 'Add Access' }).click();
	const choice = tab.page.getByRole('dialog').filter({ hasText: 'Add Access' }).last();
	await choice.getByPlaceholder('Search').fill(group);
	await choice.getByRole('button', { name: group }).click();
	await choice.getByRole('button', { name: 'Add', exact: true }).click();
	const list = tab.page.getByRole('dialog').filter({ hasText: 'Access Control' }).last();
	await list.getByText(group).waitFor();
	await stage.shot(tab, 'granted');
	await list.getByRole('button', { name: 'Close' }).click();
	await settings.getByRole('button', { name: 'Save & Update' }).click();
	await eventually(async () => assert.equal((await offered()).includes('slow'), true));

	const theirs = await stage.window(member);
	// By address: other scenarios open models to everybody, so the list may be long and another one chosen.
	await theirs.start('/?models=slow', () => chatReady(theirs));
	await theirs.page.getByRole('button', { name: 'Selected model: slow', exact: true }).waitFor();
	await stage.shot(theirs, 'seen');

	// A stranger still does not see it.
	const stranger = await newAccount({ role: 'user' });
	const others = (await call('GET', '/api/models', stranger)).data.map((model) => model.id);
	assert.equal(others.includes('slow'), false);
});
