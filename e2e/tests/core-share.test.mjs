import assert from 'node:assert/strict';
import { newAccount } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatId, messages, notice, openChat, replyContains } from '../lib/chat.mjs';
import { row } from '../lib/sidebar.mjs';
import { scenario } from '../lib/stage.mjs';
import { withChats } from '../lib/stored-chats.mjs';

scenario('a shared chat is read and cloned by another person', async (stage) => {
	const { account, ids: [id] } = await withChats('For all eyes');
	const owner = await stage.window(account);
	await owner.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
	await openChat(owner, id);
	await owner.page.getByRole('button', { name: 'Chat actions' }).click();
	await owner.page.getByRole('menu').getByRole('button', { name: 'Share' }).click();
	const dialog = owner.page.getByRole('dialog').filter({ hasText: 'Share Chat' });
	await dialog.getByRole('button', { name: 'Visibility Private' }).click();
	await owner.page.getByRole('menuitemradio', { name: 'Public' }).click();
	await dialog.getByRole('button', { name: 'Visibility Public' }).waitFor();
	await dialog.getByRole('button', { name: 'Copy Link' }).click();
	await notice(owner, 'Copied shared chat URL to clipboard!').waitFor();
	await stage.shot(owner, 'shared');
	const link = new URL(await owner.page.evaluate(() => navigator.clipboard.readText()));
	assert.match(link.pathname, /^\/s\//);

	const other = await newAccount({ role: 'user', name: 'Rita Reader' });
	const reader = await stage.window(other);
	await reader.goto(link.pathname);
	await replyContains(reader, 'Words of For all eyes');
	await stage.shot(reader, 'read');
	await reader.page.getByRole('button', { name: 'Clone Chat' }).click();
	const copy = await chatId(reader);
	assert.notEqual(copy, id);
	await messages(reader).filter({ hasText: 'Words of For all eyes' }).first().waitFor();
	await row(reader, copy).waitFor();
	assert.equal((await call('GET', `/api/v1/chats/${copy}`, other)).user_id, other.id);
});
