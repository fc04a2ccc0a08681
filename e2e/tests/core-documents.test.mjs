import assert from 'node:assert/strict';
import { newAccount, publishModels, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatReady, messages, notice, replyContains, replyFinished, send } from '../lib/chat.mjs';
import { printed } from '../lib/documents.mjs';
import { BASE_URL } from '../lib/settings.mjs';
import { scenario } from '../lib/stage.mjs';
import { beginChat } from '../lib/stored-chats.mjs';
import { eventually } from '../lib/wait.mjs';

/** Opens the list of sources under the last reply, and in it the source of that name. */
async function openSource(tab, sources, name) {
	const reply = messages(tab).last();
	await reply.getByRole('button', { name: sources }).click();
	await reply.getByRole('button', { name }).first().click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByText('Content').first().waitFor();
	return dialog;
}

scenario('a PDF is asked about and its citation opened', async (stage) => {
	const pdf = await printed('<h1>Expenses</h1><p>Trips are refunded within <b>nineteen days</b> of the receipt.</p>');
	const { tab } = await beginChat(stage, 'echo');
	const chooser = tab.page.waitForEvent('filechooser');
	await tab.page.locator('#input-menu-button').click();
	await tab.page.getByRole('menuitem', { name: 'Upload Files' }).click();
	await (await chooser).setFiles({ name: 'expenses.pdf', mimeType: 'application/pdf', buffer: pdf });
	await tab.page.getByRole('button', { name: /^expenses\.pdf/ }).waitFor();
	await tab.watch.settled();
	await send(tab, 'When are trips refunded? [1]', 'When are trips refunded?');
	await replyFinished(tab);
	await replyContains(tab, 'nineteen days');
	await stage.shot(tab, 'reply');
	const dialog = await openSource(tab, '1 Source', /expenses\.pdf/);
	await dialog.getByText('nineteen days').first().waitFor();
	await dialog.getByText('(page 1)').waitFor();
	await stage.shot(tab, 'citation');
	// The name leads to the document itself.
	const address = await dialog.getByRole('link', { name: 'expenses.pdf' }).getAttribute('href');
	const document = await tab.page.request.get(new URL(address, BASE_URL).href);
	assert.equal(document.headers()['content-type'], 'application/pdf');
	assert.ok(pdf.equals(await document.body()));
});

const MINUTES = {
	'harbour.txt': 'The harbour was deepened to fourteen metres in the spring.',
	'lighthouse.md': '# Lighthouse\n\nThe lighthouse shows a green flash every seven seconds.',
	'ferry.html': '<html><body><p>The ferry to the island leaves at half past six.</p></body></html>'
};
const KINDS = { txt: 'text/plain', md: 'text/markdown', html: 'text/html' };

/** What the scripted model is told to look for: models search their knowledge by a tool. */
const QUERY = '{"name": "query_knowledge_files", "arguments": {"query": "How often does the lighthouse flash?"}}';

/** Makes a knowledge base of some files, as its owner would. */
async function buildKnowledge(stage, owner, tab, name) {
	await tab.goto('/workspace/knowledge/create');
	await tab.page.getByPlaceholder('Name your knowledge base').fill(name);
	await tab.page.getByPlaceholder('Describe your knowledge base and objectives').fill('Minutes of the port');
	await tab.page.getByRole('button', { name: 'Create Knowledge', exact: true }).click();
	await tab.page.waitForURL(/\/workspace\/knowledge\/[0-9a-f-]{36}/);
	await tab.watch.settled();
	await tab.page.getByRole('button', { name: 'Add Content' }).click();
	const chooser = tab.page.waitForEvent('filechooser');
	await tab.page.getByRole('menu').getByRole('button', { name: 'Upload files' }).click();
	const files = Object.entries(MINUTES).map(([file, text]) => ({
		name: file,
		mimeType: KINDS[file.split('.')[1]],
		buffer: Buffer.from(text)
	}));
	await (await chooser).setFiles(files);
	const id = new URL(tab.page.url()).pathname.split('/').at(-1);
	await eventually(async () => {
		const { items } = await call('GET', `/api/v1/knowledge/${id}/files`, owner);
		assert.deepEqual(items.map((file) => file.filename).sort(), Object.keys(MINUTES).sort());
	});
	for (const file of Object.keys(MINUTES)) await tab.page.getByRole('main').getByText(file).first().waitFor();
	for (const state of ['Uploading', 'Processing']) await eventually(async () => assert.equal(await tab.page.getByText(state).count(), 0));
	await stage.shot(tab, 'knowledge');
	return id;
}

scenario('a knowledge base answers those who may read it, through a model', async (stage) => {
	const owner = await newAccount();
	const tab = await stage.window(owner);
	const name = unique('port');
	const base = await buildKnowledge(stage, owner, tab, name);
	await tab.goto('/workspace/models/create');
	const field = (label) => tab.page.getByRole('textbox', { name: label, exact: true });
	await field('Model Name').fill(name);
	const model = await field('Model ID').inputValue();
	await tab.page.getByRole('button', { name: 'Select a base model', exact: true }).click();
	await tab.page.getByRole('option', { name: 'Select tools model' }).click();
	await tab.page.getByRole('button', { name: /^Knowledge/ }).click();
	await tab.page.getByRole('button', { name }).first().click();
	await tab.page.getByRole('button', { name: 'Done', exact: true }).click();
	await stage.shot(tab, 'model');
	await tab.page.getByRole('button', { name: 'Save & Create', exact: true }).click();
	await notice(tab, 'Model created successfully!').waitFor();
	const stored = await call('GET', `/api/v1/models/model?id=${model}`, owner);
	assert.deepEqual(stored.meta.knowledge.map((item) => item.id), [base]);

	await publishModels(['tools']);
	const reader = await newAccount({ role: 'user' });
	const access_grants = [{ principal_type: 'user', principal_id: reader.id, permission: 'read' }];
	await call('POST', `/api/v1/knowledge/${base}/access/update`, { ...owner, body: { access_grants } });
	await call('POST', '/api/v1/models/model/access/update', { ...owner, body: { id: model, access_grants } });
	const other = await stage.window(reader);
	await other.start(`/?models=${model}`, () => chatReady(other));
	await send(other, QUERY);
	await replyFinished(other);
	await replyContains(other, 'a green flash every seven seconds');
	const dialog = await openSource(other, '3 Sources', /lighthouse\.md/);
	await dialog.getByText('a green flash every seven seconds').first().waitFor();
	await stage.shot(other, 'citation');
});
