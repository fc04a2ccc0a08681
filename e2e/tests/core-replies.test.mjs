import assert from 'node:assert/strict';
import { theAdmin } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatId, converse, messages, replies, replyContains, replyFinished, replyIs, send } from '../lib/chat.mjs';
import { FOLLOW_UPS, TITLE } from '../lib/provider.mjs';
import { listedAs, rows } from '../lib/sidebar.mjs';
import { scenario } from '../lib/stage.mjs';
import { beginChat, branchOf } from '../lib/stored-chats.mjs';
import { eventually } from '../lib/wait.mjs';

const press = (tab, name) => messages(tab).last().getByRole('button', { name, exact: true }).click();

scenario('a reply is rated', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Rate this');
	const id = await chatId(tab);
	await press(tab, 'Good Response');
	await press(tab, 'Rate 9 out of 10');
	await press(tab, 'Attention to detail');
	await messages(tab).last().getByPlaceholder('Feel free to add specific details').fill('Very faithful');
	await stage.shot(tab, 'form');
	await press(tab, 'Save');
	await eventually(async () => {
		const { annotation } = (await branchOf(account, id)).at(-1);
		assert.equal(annotation.rating, 1);
		assert.equal(annotation.details.rating, 9);
		assert.equal(annotation.comment, 'Very faithful');
	});
	const { items } = await call('GET', '/api/v1/evaluations/feedbacks/list?page=1', await theAdmin());
	assert.ok(items.some((feedback) => feedback.user_id === account.id && feedback.data.rating === 1));
});

scenario('a chat is forked at a reply', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'The trunk');
	await converse(tab, 'The branch');
	const id = await chatId(tab);
	const first = messages(tab).nth(1);
	await first.hover();
	await first.getByRole('button', { name: 'Fork chat' }).click();
	await tab.page.waitForURL((url) => url.pathname.startsWith('/c/') && !url.pathname.endsWith(id));
	await replyIs(tab, 'The trunk');
	assert.equal(await messages(tab).count(), 2);
	await eventually(async () => assert.equal(await rows(tab).count(), 2));
	assert.equal((await branchOf(account, await chatId(tab))).length, 2);
	assert.equal((await branchOf(account, id)).length, 4);
});

scenario('a reply is continued', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'More ');
	await press(tab, 'Continue Response');
	await eventually(async () => assert.match((await branchOf(account, await chatId(tab))).at(-1).content, /^More\s*More/));
	await replyFinished(tab);
	await replyContains(tab, /More\s*More/);
	await tab.page.reload();
	await replyContains(tab, /More\s*More/);
});

scenario('a suggested message is sent by a click', async (stage) => {
	const { tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Any ideas?');
	await tab.page.getByRole('button', { name: `Follow up: ${FOLLOW_UPS[1]}` }).click();
	await messages(tab).nth(2).getByText(FOLLOW_UPS[1]).waitFor();
	await replyIs(tab, FOLLOW_UPS[1]);
});

scenario('a chat is tagged by the model and by hand', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Tag this');
	const id = await chatId(tab);
	await listedAs(tab, id, TITLE);
	const tags = async () => (await call('GET', `/api/v1/chats/${id}/tags`, account)).map((tag) => tag.name).sort();
	await eventually(async () => assert.deepEqual(await tags(), ['fixed', 'scripted']));
	await tab.page.getByRole('button', { name: 'Chat actions' }).click();
	const menu = tab.page.getByRole('menu');
	await menu.getByText('scripted').waitFor();
	await menu.getByPlaceholder('Add a tag...').fill('mine');
	await tab.page.keyboard.press('Enter');
	await stage.shot(tab, 'menu');
	await eventually(async () => assert.deepEqual(await tags(), ['fixed', 'mine', 'scripted']));
});

scenario('a file is attached to a message', async (stage) => {
	const admin = await theAdmin();
	const { BYPASS_EMBEDDING_AND_RETRIEVAL: before } = await call('GET', '/api/v1/retrieval/config', admin);
	const bypass = (value) =>
		call('POST', '/api/v1/retrieval/config/update', { ...admin, body: { BYPASS_EMBEDDING_AND_RETRIEVAL: value } });
	// Whole files go to the model: what they say does not depend on an embedding model.
	await bypass(true);
	try {
		const { account, tab } = await beginChat(stage, 'echo');
		const chooser = tab.page.waitForEvent('filechooser');
		await tab.page.locator('#input-menu-button').click();
		await tab.page.getByRole('menuitem', { name: 'Upload Files' }).click();
		const file = { name: 'word.txt', mimeType: 'text/plain', buffer: Buffer.from('The secret word is swordfish.') };
		await (await chooser).setFiles(file);
		await tab.page.getByRole('button', { name: /^word\.txt/ }).waitFor();
		await tab.watch.settled();
		await stage.shot(tab, 'attached');
		await send(tab, 'What is the word?');
		await replyFinished(tab);
		await replyContains(tab, 'The secret word is swordfish.');
		await messages(tab).last().getByRole('button', { name: '1 Source' }).waitFor();
		await messages(tab).first().getByRole('button', { name: /^word\.txt/ }).waitFor();
		const [question] = await branchOf(account, await chatId(tab));
		assert.equal(question.files[0].name, 'word.txt');
	} finally {
		await bypass(before);
	}
});

scenario('code and tables of a reply are shown as such', async (stage) => {
	const { tab } = await beginChat(stage, 'echo');
	const text = ['A list:', '', '- one', '- two', '', '| a | b |', '| --- | --- |', '| 1 | 2 |', '', '`inline code`'].join('\n');
	await tab.page.locator('#chat-input').click();
	for (const line of text.split('\n')) {
		await tab.page.keyboard.insertText(line);
		await tab.page.keyboard.press('Shift+Enter');
	}
	await tab.page.keyboard.press('Enter');
	await messages(tab).nth(1).waitFor();
	await replyFinished(tab);
	const reply = replies(tab).last();
	await reply.locator('table td').filter({ hasText: '2' }).first().waitFor();
	assert.equal(await reply.locator('li').count(), 2);
	assert.equal(await reply.locator('code, .codespan').filter({ hasText: 'inline code' }).count(), 1);
});
