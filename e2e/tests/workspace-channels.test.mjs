import assert from 'node:assert/strict';
import { newAccount, theAdmin, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

/** Runs a test with channels switched on; they are off by default. */
async function withChannels(run) {
	const admin = await theAdmin();
	const config = await call('GET', '/api/v1/auths/admin/config', admin);
	await call('POST', '/api/v1/auths/admin/config', { ...admin, body: { ...config, ENABLE_CHANNELS: true } });
	try {
		await run();
	} finally {
		await call('POST', '/api/v1/auths/admin/config', { ...admin, body: config });
	}
}

/** Where a message is typed: below the channel, or below the open thread. */
const field = (tab, name = 'Type here...') => tab.page.getByRole('textbox', { name });

/** Opens a channel and waits until it can be written in. */
async function open(tab, id) {
	await tab.goto(`/channels/${id}`);
	await field(tab).waitFor();
	await tab.watch.settled();
}

/** Writes a message. */
async function write(tab, text, into) {
	await field(tab, into).click();
	await tab.page.keyboard.insertText(text);
	await tab.page.keyboard.press('Enter');
}

const shown = (tab, text) => tab.page.getByText(text, { exact: true }).filter({ visible: true }).first();

scenario('people write to each other in a channel', async (stage) => {
	await withChannels(async () => {
		const [writer, reader] = [await newAccount({ name: 'Wim Writer' }), await newAccount({ name: 'Rita Reader' })];
		const everybody = (permission) => ({ principal_type: 'user', principal_id: '*', permission });
		const { id } = await call('POST', '/api/v1/channels/create', {
			...writer,
			body: { name: unique('channel'), access_grants: [everybody('read'), everybody('write')] }
		});
		const first = await stage.window(writer);
		await open(first, id);
		const second = await stage.window(reader);
		await open(second, id);
		await write(first, 'Hello everybody');
		await shown(second, 'Hello everybody').waitFor();
		await write(second, 'Hello Wim');
		await shown(first, 'Hello Wim').waitFor();
		await stage.shot(first, 'channel');

		await shown(first, 'Hello everybody').hover();
		await first.page.getByRole('button', { name: 'Reply in Thread' }).filter({ visible: true }).first().click();
		await first.page.getByText('Thread', { exact: true }).waitFor();
		await first.watch.settled();
		await write(first, 'In the thread', 'Reply to thread...');
		await shown(first, 'In the thread').waitFor();
		await stage.shot(first, 'thread');
		await eventually(async () => {
			const messages = await call('GET', `/api/v1/channels/${id}/messages`, reader);
			assert.deepEqual(
				messages.map((message) => [message.content, message.user.name, message.reply_count]),
				[
					['Hello Wim', 'Rita Reader', 0],
					['Hello everybody', 'Wim Writer', 1]
				]
			);
		});
		await second.page.reload();
		await shown(second, 'Hello everybody').waitFor();
		await second.page.getByText('1 Replies').waitFor();
	});
});
