import assert from 'node:assert/strict';
import { newAccount, theAdmin } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { converse, messages, notice, send } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';
import { beginChat } from '../lib/stored-chats.mjs';

scenario('quotas: a limit is set on its page, reached in the chat, and shown there', async (stage) => {
	const account = await newAccount();
	const page = await stage.window(account);
	await page.goto('/oui/quotas');
	await page.page.getByText('No limit applies to you.').waitFor();
	const form = page.page.locator('form#quota');
	await form.getByLabel('Name').fill('One message');
	await form.locator('[name=subject_type]').selectOption('user');
	await form.locator('[name=search]').fill(account.email);
	await form.locator('[name=subject_id] option', { hasText: account.email }).waitFor({ state: 'attached' });
	const { id } = await call('GET', '/api/v1/auths/', account);
	await form.locator('[name=subject_id]').selectOption(id);
	await form.locator('[name=limit]').fill('1');
	await form.getByRole('button', { name: 'Save' }).click();
	await page.page.getByText('Saved.').waitFor();
	await page.page.getByRole('row').filter({ hasText: 'One message' }).waitFor();
	await stage.shot(page, 'page');

	const { tab } = await beginChat(stage, 'echo', account);
	await converse(tab, 'The first is answered');
	tab.watch.expect({ call: 'POST /api/chat/completions', status: 429 });
	const reached = 'Quota "One message" reached: 1 messages per day.';
	await send(tab, 'The second is not');
	await notice(tab, reached).waitFor();
	await messages(tab).last().getByText(reached).waitFor();
	await stage.shot(tab, 'reached');

	await page.page.reload();
	await page.page.getByText('1 of 1 messages per day').waitFor();
	const admin = await theAdmin();
	for (const quota of await call('GET', '/api/v1/quotas', admin)) await call('DELETE', `/api/v1/quotas/id/${quota.id}`, admin);
	assert.deepEqual((await call('GET', '/api/v1/quotas/usage', account)).quotas, []);
});
