import assert from 'node:assert/strict';
import { newAccount } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { withChats } from '../lib/stored-chats.mjs';
import { chatId, chooseModel, confirm, converse, messages, notice, openApp, openChat, replyContains, replyIs, send } from '../lib/chat.mjs';
import { TITLE, fixedText } from '../lib/provider.mjs';
import { chooseInMenu, listedAs, newChat, openFromSidebar, row, rows, sidebar } from '../lib/sidebar.mjs';
import { chooseSettings } from '../lib/settings-dialog.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

async function begin(stage, ...titles) {
	const { account, ids } = await withChats(...titles);
	const tab = await stage.window(account);
	await openApp(tab);
	for (const [index, id] of ids.entries()) await listedAs(tab, id, titles[index]);
	return { account, ids, tab };
}

const pinnedRow = (tab, id) => sidebar(tab).locator('#sidebar-pinned-content, #sidebar-chats-content').locator(`[data-sidebar-chat-id="${id}"]`);

/** Opens a section of the sidebar unless it is open. */
async function expand(button) {
	if ((await button.getAttribute('aria-expanded')) !== 'true') await button.click();
}

scenario('a chat is renamed', async (stage) => {
	const { account, ids: [id], tab } = await begin(stage, 'Before');
	await openFromSidebar(tab, id);
	await chooseInMenu(tab, id, 'Rename');
	await tab.page.locator(`#chat-title-input-${id}`).fill('After');
	await tab.page.keyboard.press('Enter');
	await listedAs(tab, id, 'After');
	await tab.page.getByRole('heading', { name: 'After', level: 1 }).waitFor();
	await tab.page.reload();
	await listedAs(tab, id, 'After');
	assert.equal((await call('GET', `/api/v1/chats/${id}`, account)).title, 'After');
});

scenario('a chat is pinned and unpinned', async (stage) => {
	const { account, ids: [id, other], tab } = await begin(stage, 'To pin', 'Other');
	const pinned = async () => (await call('GET', '/api/v1/chats/pinned', account)).map((chat) => chat.id);
	await chooseInMenu(tab, id, 'Pin');
	await sidebar(tab).getByRole('button', { name: 'Pinned' }).waitFor();
	await eventually(async () => assert.deepEqual(await pinned(), [id]));
	await tab.page.reload();
	await sidebar(tab).getByRole('button', { name: 'Pinned' }).waitFor();
	await pinnedRow(tab, id).waitFor();
	await stage.shot(tab, 'pinned');
	await chooseInMenu(tab, id, 'Unpin');
	await sidebar(tab).getByRole('button', { name: 'Pinned' }).waitFor({ state: 'detached' });
	await row(tab, id).waitFor();
	await row(tab, other).waitFor();
	assert.deepEqual(await pinned(), []);
});

scenario('a chat is archived and comes back', async (stage) => {
	const { account, ids: [id, other], tab } = await begin(stage, 'To archive', 'Other');
	await chooseInMenu(tab, id, 'Archive');
	await notice(tab, 'Chat archived.').waitFor();
	await row(tab, id).waitFor({ state: 'detached' });
	await row(tab, other).waitFor();
	assert.equal((await call('GET', `/api/v1/chats/${id}`, account)).archived, true);

	const dialog = await chooseSettings(tab, 'Personal', 'Archived Chats');
	await dialog.getByText('To archive').waitFor();
	await stage.shot(tab, 'archive');
	await dialog.getByRole('button', { name: 'Unarchive Chat' }).first().click();
	await dialog.getByText('To archive').waitFor({ state: 'detached' });
	await tab.page.keyboard.press('Escape');
	await listedAs(tab, id, 'To archive');
	assert.equal((await call('GET', `/api/v1/chats/${id}`, account)).archived, false);
});

scenario('a chat is deleted', async (stage) => {
	const { account, ids: [id, other], tab } = await begin(stage, 'To delete', 'Other');
	await openFromSidebar(tab, id);
	tab.watch.tolerate({ call: `GET /api/v1/chats/${id}`, status: 401, reason: 'the page looks once more for the open chat' });
	await chooseInMenu(tab, id, 'Delete');
	await tab.page.getByRole('dialog').getByText('To delete').waitFor();
	await confirm(tab);
	await row(tab, id).waitFor({ state: 'detached' });
	await tab.page.getByRole('heading', { name: 'New Chat', level: 1 }).waitFor();
	await row(tab, other).waitFor();
	const list = await call('GET', '/api/v1/chats/list', account);
	assert.deepEqual(list.map((chat) => chat.id), [other]);
});

scenario('a chat is cloned', async (stage) => {
	const { account, ids: [id], tab } = await begin(stage, 'Original');
	await chooseInMenu(tab, id, 'Clone');
	await rows(tab).filter({ hasText: 'Clone of Original' }).waitFor();
	await replyIs(tab, 'Words of Original');
	const copy = await chatId(tab);
	assert.notEqual(copy, id);
	assert.equal((await call('GET', `/api/v1/chats/${copy}`, account)).title, 'Clone of Original');
});

scenario('chats are found by title and by words', async (stage) => {
	const { ids: [apples, pears], tab } = await begin(stage, 'Apples', 'Pears');
	await sidebar(tab).locator('#sidebar-search-button').click();
	const dialog = tab.page.getByRole('dialog', { name: 'Search workspace' });
	const results = dialog.getByRole('option');
	await dialog.getByRole('combobox').fill('Pears');
	await results.filter({ hasText: 'Pears' }).waitFor();
	await eventually(async () => assert.equal(await results.count(), 1));
	await stage.shot(tab, 'by-title');
	await dialog.getByRole('combobox').fill('Words of Apples');
	await results.filter({ hasText: 'Apples' }).waitFor();
	await results.filter({ hasText: 'Pears' }).waitFor({ state: 'detached' });
	await tab.page.keyboard.press('Enter');
	await tab.page.waitForURL(new RegExp(`/c/${apples}`));
	await replyIs(tab, 'Words of Apples');
	await row(tab, pears).waitFor();
});

scenario('chats are gathered in a folder', async (stage) => {
	const { account, ids: [id], tab } = await begin(stage, 'For the folder');
	await sidebar(tab).getByRole('button', { name: 'New Folder' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByPlaceholder('Enter folder name').fill('Collection');
	await dialog.getByRole('button', { name: 'Save' }).click();
	await sidebar(tab).getByText('Collection').waitFor();
	const [folder] = await call('GET', '/api/v1/folders/', account);
	assert.equal(folder.name, 'Collection');

	await row(tab, id).hover();
	await row(tab, id).getByRole('button', { name: 'Chat Menu' }).click();
	await tab.page.getByRole('menuitem', { name: 'Move' }).hover();
	await tab.page.getByRole('menuitem', { name: 'Collection' }).click();
	await eventually(async () => assert.equal((await call('GET', `/api/v1/chats/${id}`, account)).folder_id, folder.id));
	await tab.page.reload();
	await expand(sidebar(tab).getByRole('button', { name: 'Folders', exact: true }));
	await expand(sidebar(tab).getByRole('button', { name: 'Expand Collection' }));
	await sidebar(tab).locator('#sidebar-folders-content').getByText('For the folder').click();
	await replyIs(tab, 'Words of For the folder');
});

scenario('a message sent in one tab shows up in another', async (stage) => {
	const account = await newAccount();
	const writer = await stage.window(account);
	await openApp(writer);
	const reader = await stage.tabBeside(writer);
	await openApp(reader);
	await chooseModel(writer, 'slow');
	await send(writer, 'Please use 25 chunks');
	const id = await chatId(writer);
	await row(reader, id).waitFor();
	await stage.shot(reader, 'listed');
	await openFromSidebar(reader, id);
	await replyContains(reader, 'The quick');
	await stage.shot(reader, 'streaming');
	await replyIs(reader, fixedText(25));
	await replyIs(writer, fixedText(25));
	await listedAs(reader, id, TITLE);
});

scenario('an open chat follows what another tab sends', async (stage) => {
	const { account, ids: [id] } = await withChats('Shared by two tabs');
	const writer = await stage.window(account);
	await openChat(writer, id);
	const reader = await stage.tabBeside(writer);
	await openChat(reader, id);
	await chooseModel(writer, 'slow');
	await send(writer, 'Please use 20 chunks');
	await messages(reader).filter({ hasText: 'Please use 20 chunks' }).waitFor();
	await replyContains(reader, 'The quick');
	await stage.shot(reader, 'live');
	await replyIs(reader, fixedText(20));
	assert.equal(await messages(reader).count(), 4);
});

scenario('a rename in one tab reaches another after a reload', async (stage) => {
	const { account, ids: [id] } = await withChats('Old name');
	const first = await stage.window(account);
	await openApp(first);
	await chooseInMenu(first, id, 'Rename');
	await first.page.locator(`#chat-title-input-${id}`).fill('New name');
	await first.page.keyboard.press('Enter');
	await listedAs(first, id, 'New name');
	const second = await stage.window(account);
	await openApp(second);
	await listedAs(second, id, 'New name');
	await newChat(second);
	await chooseModel(second, 'echo');
	await converse(second, 'From the second window');
	await row(first, await chatId(second)).waitFor();
});
