import assert from 'node:assert/strict';
import { newAccount, publishModels } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import {
	chatId,
	chooseModel,
	converse,
	messages,
	notice,
	openApp,
	openChat,
	replies,
	replyContains,
	replyFinished,
	replyIs,
	replyText,
	send,
	stopButton
} from '../lib/chat.mjs';
import { FAILURE, FOLLOW_UPS, STOCK_TEXT, TITLE, fixedText } from '../lib/provider.mjs';
import { beginChat, branchOf } from '../lib/stored-chats.mjs';
import { listedAs, newChat, row, rows } from '../lib/sidebar.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

scenario('a reply streams in, is titled, and is there after a reload', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 15 chunks');
	await replyContains(tab, 'The quick');
	assert.ok((await replyText(tab)).length < fixedText(15).length, 'part of the text is shown while the rest is missing');
	assert.equal(await stopButton(tab).count(), 1);
	await stage.shot(tab, 'streaming');
	await replyIs(tab, fixedText(15));

	const id = await chatId(tab);
	await listedAs(tab, id, TITLE);
	await tab.page.getByRole('heading', { name: TITLE, level: 1 }).waitFor();
	for (const text of FOLLOW_UPS) await tab.page.getByRole('button', { name: `Follow up: ${text}` }).waitFor();

	await tab.page.reload();
	await messages(tab).filter({ hasText: 'Please use 15 chunks' }).waitFor();
	await replyIs(tab, fixedText(15));
	await listedAs(tab, id, TITLE);
	const [question, reply] = await branchOf(account, id);
	assert.equal(question.content, 'Please use 15 chunks');
	assert.equal(reply.content, fixedText(15));
	assert.equal(reply.done, true);
	assert.deepEqual(reply.followUps, FOLLOW_UPS);
});

scenario('a chat goes on over several turns', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'First question');
	await send(tab, 'Second **bold** question', 'Second bold question');
	await replyIs(tab, 'Second bold question');
	assert.equal(await replies(tab).last().locator('strong').innerText(), 'bold');
	await chooseModel(tab, 'usage');
	await converse(tab, 'Third question', STOCK_TEXT);
	const branch = await branchOf(account, await chatId(tab));
	assert.deepEqual(
		branch.map((message) => [message.role, message.content]),
		[
			['user', 'First question'],
			['assistant', 'First question'],
			['user', 'Second **bold** question'],
			['assistant', 'Second **bold** question'],
			['user', 'Third question'],
			['assistant', STOCK_TEXT]
		]
	);
});

scenario('a reload in mid-stream loses nothing', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 30 chunks');
	await replyContains(tab, 'The quick');
	await tab.page.reload();
	await messages(tab).filter({ hasText: 'Please use 30 chunks' }).waitFor();
	await replyContains(tab, 'The quick');
	await stage.shot(tab, 'after-reload');
	await replyIs(tab, fixedText(30));
	await tab.page.reload();
	await replyIs(tab, fixedText(30));
	const branch = await branchOf(account, await chatId(tab));
	assert.equal(branch.at(-1).content, fixedText(30));
	assert.equal(branch.at(-1).done, true);
});

scenario('a reply goes on while its window is closed', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 12 chunks');
	await replyContains(tab, 'The quick');
	const id = await chatId(tab);
	await tab.page.close();
	await eventually(async () => {
		const branch = await branchOf(account, id);
		assert.equal(branch.at(-1).content, fixedText(12));
	});
	const again = await stage.window(account);
	await openChat(again, id);
	await replyIs(again, fixedText(12));
});

scenario('a stopped reply keeps what it had', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 60 chunks');
	await replyContains(tab, 'The quick brown');
	await stopButton(tab).click();
	await replyFinished(tab);
	const partial = await replyText(tab);
	assert.ok(partial.startsWith('The quick brown'), partial);
	assert.ok(partial.length < fixedText(60).length, partial);

	await tab.page.reload();
	await replyFinished(tab);
	assert.equal(await replyText(tab), partial);
	const reply = (await branchOf(account, await chatId(tab))).at(-1);
	assert.equal(reply.content, partial);
	assert.equal(reply.done, true);
});

scenario('a reply can be stopped after a reload', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 90 chunks');
	await replyContains(tab, 'The quick brown');
	const id = await chatId(tab);
	await tab.page.reload();
	await replyContains(tab, 'The quick brown');
	await stopButton(tab).click();
	await replyFinished(tab);
	const partial = await replyText(tab);
	assert.ok(partial.length < fixedText(90).length, partial);
	const reply = (await branchOf(account, id)).at(-1);
	assert.equal(reply.content, partial);
	assert.equal(reply.done, true);
	await tab.page.reload();
	await replyIs(tab, partial);
});

scenario('a reply is stopped from another tab', async (stage) => {
	const { account, tab } = await beginChat(stage, 'slow');
	await send(tab, 'Please use 90 chunks');
	await replyContains(tab, 'The quick brown');
	const id = await chatId(tab);
	const other = await stage.tabBeside(tab);
	await openChat(other, id);
	await replyContains(other, 'The quick brown');
	await stopButton(other).click();
	await replyFinished(other);
	await replyFinished(tab);
	const reply = (await branchOf(account, id)).at(-1);
	assert.ok(reply.content.length < fixedText(90).length, reply.content);
	assert.equal(reply.done, true);
	for (const each of [tab, other]) await eventually(async () => assert.equal(await replyText(each), reply.content));
});

scenario('a regenerated reply stands beside the first', async (stage) => {
	const { tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Say it twice');
	await messages(tab).last().getByRole('button', { name: 'Regenerate' }).click();
	await tab.page.getByRole('button', { name: 'Try Again' }).click();
	await messages(tab).last().getByText('2/2').waitFor();
	await replyIs(tab, 'Say it twice');
	await messages(tab).last().getByRole('button', { name: 'Previous message' }).click();
	await messages(tab).last().getByText('1/2').waitFor();
	// Leafing through replies is not stored: after a reload the newest is shown.
	await tab.page.reload();
	await messages(tab).last().getByText('2/2').waitFor();
	await replyIs(tab, 'Say it twice');
});

scenario('an edited message is answered anew and keeps the old branch', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Old words');
	const question = messages(tab).first();
	await question.hover();
	await question.getByRole('button', { name: 'Edit' }).click();
	await question.locator('textarea').fill('New words');
	await question.getByRole('button', { name: 'Send', exact: true }).click();
	await question.getByText('2/2').waitFor();
	await replyIs(tab, 'New words');

	await tab.page.reload();
	await replyIs(tab, 'New words');
	await question.hover();
	await question.getByRole('button', { name: 'Previous message' }).click();
	await question.getByText('1/2').waitFor();
	await replyIs(tab, 'Old words');
	const { chat } = await call('GET', `/api/v1/chats/${await chatId(tab)}`, account);
	assert.equal(Object.keys(chat.history.messages).length, 4);
});

scenario('an edited reply is saved', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Original');
	const reply = messages(tab).last();
	await reply.getByRole('button', { name: 'Edit' }).click();
	await reply.locator('textarea').fill('Corrected by hand');
	await reply.getByRole('button', { name: 'Save', exact: true }).click();
	await replyIs(tab, 'Corrected by hand');
	await tab.page.reload();
	await replyIs(tab, 'Corrected by hand');
	assert.equal((await branchOf(account, await chatId(tab))).at(-1).content, 'Corrected by hand');
});

scenario('a deleted pair of messages is gone', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Stays here');
	await converse(tab, 'Goes away');
	const question = messages(tab).filter({ hasText: 'Goes away' }).first();
	await question.hover();
	await question.getByRole('button', { name: 'Delete' }).click();
	await tab.page.getByRole('button', { name: 'Confirm' }).click();
	await eventually(async () => assert.equal(await messages(tab).filter({ hasText: 'Goes away' }).count(), 0));
	await tab.page.reload();
	await replyIs(tab, 'Stays here');
	assert.equal((await branchOf(account, await chatId(tab))).length, 2);
});

scenario('reasoning is folded away above the answer', async (stage) => {
	const { tab } = await beginChat(stage, 'reasoner');
	await send(tab, 'Think first');
	await replyFinished(tab);
	await replyContains(tab, 'The answer is 42.');
	await replies(tab).last().getByRole('button', { name: /^Thought/ }).click();
	await replyContains(tab, 'Considering the question.');
	await tab.page.reload();
	await replyContains(tab, 'The answer is 42.');
	await replies(tab).last().getByRole('button', { name: /^Thought/ }).waitFor();
});

scenario('a failing provider is reported in the chat', async (stage) => {
	const { account, tab } = await beginChat(stage, 'error-500');
	await send(tab, 'This goes wrong');
	await notice(tab, FAILURE).waitFor();
	await messages(tab).last().getByText(FAILURE).waitFor();
	await replyFinished(tab);
	await tab.page.reload();
	await messages(tab).last().getByText(FAILURE).waitFor();
	const reply = (await branchOf(account, await chatId(tab))).at(-1);
	assert.equal(reply.error.content, FAILURE);
});

scenario('a temporary chat leaves nothing', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await tab.page.getByRole('button', { name: 'Temporary Chat' }).click();
	await converse(tab, 'Not to be kept');
	await tab.watch.settled();
	assert.equal(await rows(tab).count(), 0);
	assert.deepEqual(await call('GET', '/api/v1/chats/list', account), []);
	assert.doesNotMatch(tab.page.url(), /\/c\//);
	await openApp(tab);
	assert.equal(await messages(tab).count(), 0);
});

scenario('a temporary chat can be saved', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await tab.page.getByRole('button', { name: 'Temporary Chat' }).click();
	await converse(tab, 'Keep it after all');
	await tab.page.getByRole('button', { name: 'Save Chat' }).click();
	const id = await chatId(tab);
	await row(tab, id).waitFor();
	await tab.page.reload();
	await replyIs(tab, 'Keep it after all');
	assert.equal((await branchOf(account, id)).length, 2);
});

scenario('two models answer side by side', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await tab.page.locator('#model-selector-model-button').click();
	await tab.page.getByRole('button', { name: 'Compare' }).click();
	await tab.page.getByRole('option', { name: 'Select usage model' }).click();
	await tab.page.keyboard.press('Escape');
	await send(tab, 'To both of you');
	await replies(tab).filter({ hasText: STOCK_TEXT }).waitFor();
	await replies(tab).filter({ hasText: 'To both of you' }).waitFor();
	await stopButton(tab).waitFor({ state: 'detached' });
	const { chat } = await call('GET', `/api/v1/chats/${await chatId(tab)}`, account);
	const answers = Object.values(chat.history.messages).filter((message) => message.role === 'assistant');
	assert.deepEqual(answers.map((message) => [message.model, message.content]).sort(), [
		['echo', 'To both of you'],
		['usage', STOCK_TEXT]
	]);
});

scenario('a person of role user chats with a published model', async (stage) => {
	await publishModels(['echo']);
	const { account, tab } = await beginChat(stage, 'echo', await newAccount({ role: 'user', name: 'Uwe User' }));
	await converse(tab, 'Hello from a user');
	const id = await chatId(tab);
	await listedAs(tab, id, TITLE);
	assert.equal((await branchOf(account, id)).length, 2);
});

scenario('chats of another person are out of reach', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Nobody else reads this');
	const id = await chatId(tab);
	const stranger = await stage.window(await newAccount({ role: 'user', name: 'Stan Stranger' }));
	stranger.watch.expect({ call: `GET /api/v1/chats/${id}`, status: 401 });
	await stranger.goto(`/c/${id}`);
	await stranger.page.waitForURL(/\/$/);
	await stranger.page.getByRole('heading', { name: 'New Chat' }).waitFor();
	assert.equal(await rows(stranger).count(), 0);
	assert.equal((await branchOf(account, id)).length, 2);
});

scenario('several chats are kept apart', async (stage) => {
	const { account, tab } = await beginChat(stage, 'echo');
	await converse(tab, 'Chat number one');
	const first = await chatId(tab);
	await newChat(tab);
	await converse(tab, 'Chat number two');
	const second = await chatId(tab);
	assert.notEqual(first, second);
	await row(tab, first).locator('a').click();
	await messages(tab).filter({ hasText: 'Chat number one' }).first().waitFor();
	await replyIs(tab, 'Chat number one');
	assert.equal(await messages(tab).count(), 2);
	const list = await call('GET', '/api/v1/chats/list', account);
	assert.deepEqual(new Set(list.map((chat) => chat.id)), new Set([first, second]));
});
