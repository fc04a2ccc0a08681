import assert from 'node:assert/strict';
import { newAccount, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { STOCK_TEXT } from '../lib/provider.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

scenario('an event is put into the calendar', async (stage) => {
	const account = await newAccount();
	const tab = await stage.window(account);
	const name = unique('event');
	await tab.goto('/calendar');
	await tab.page.getByText('Scheduled Tasks').waitFor();
	await tab.page.getByRole('button', { name: 'Create', exact: true }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByPlaceholder('Event title').fill(name);
	await stage.shot(tab, 'form');
	await dialog.getByRole('button', { name: 'Create' }).click();
	await dialog.waitFor({ state: 'detached' });
	await tab.page.getByText(name).filter({ visible: true }).first().waitFor();
	const day = 24 * 3600 * 1000;
	const range = `start=${new Date(Date.now() - 3 * day).toISOString()}&end=${new Date(Date.now() + 3 * day).toISOString()}`;
	const events = await call('GET', `/api/v1/calendars/events?${range}`, account);
	assert.ok(events.some((event) => event.title === name));
});

scenario('an automation is made', async (stage) => {
	const account = await newAccount();
	const tab = await stage.window(account);
	const name = unique('automation');
	await tab.goto('/automations');
	await tab.page.getByRole('button', { name: 'Create', exact: true }).click();
	const dialog = tab.page.getByRole('dialog');
	// The dialog empties its fields once it has asked for what it offers.
	await tab.watch.settled();
	await dialog.getByPlaceholder('Enter prompt here.').fill('Good morning');
	await dialog.getByRole('button', { name: 'Select model' }).click();
	await tab.page.getByText('echo', { exact: true }).filter({ visible: true }).first().click();
	await dialog.getByPlaceholder('Automation title').fill(name);
	await stage.shot(tab, 'form');
	await dialog.getByRole('button', { name: 'Create' }).click();
	await tab.page.getByText(name).filter({ visible: true }).first().waitFor();
	const { items } = await call('GET', '/api/v1/automations/list?page=1', account);
	assert.ok(items.some((automation) => automation.name === name));
});

scenario('the playground chats with a model', async (stage) => {
	const tab = await stage.window(await newAccount());
	await tab.goto('/playground');
	await tab.page.getByRole('combobox', { name: 'Model' }).selectOption('usage');
	await tab.page.getByPlaceholder('Enter a user message here').fill('Anything');
	await tab.page.getByRole('button', { name: 'Run', exact: true }).click();
	await eventually(async () => {
		const texts = await tab.page.locator('textarea').evaluateAll((areas) => areas.map((area) => area.value));
		assert.ok(texts.includes(STOCK_TEXT), JSON.stringify(texts));
	});
});

scenario('the completions playground continues a text', async (stage) => {
	const tab = await stage.window(await newAccount());
	await tab.goto('/playground/completions');
	await tab.page.getByRole('combobox').first().selectOption('usage');
	await tab.page.locator('#text-completion-textarea, textarea').first().fill('Once upon a time');
	await tab.page.getByRole('button', { name: 'Run', exact: true }).click();
	await eventually(async () => {
		assert.match(await tab.page.locator('textarea').first().inputValue(), /Once upon a time.*These are seven tokens/s);
	});
});
