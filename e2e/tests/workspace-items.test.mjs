import assert from 'node:assert/strict';
import { newAccount, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatReady, confirm, converse, notice, openApp } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

async function begin(stage, path) {
	const account = await newAccount();
	const tab = await stage.window(account);
	await tab.goto(path);
	return { account, tab };
}

const field = (tab, name) => tab.page.getByRole('textbox', { name, exact: true });

const press = (tab, name) => tab.page.getByRole('button', { name, exact: true }).click();

/** Sections whose list is searched by the page itself; the others ask the server. */
const SEARCHED_LOCALLY = new Set(['Tools']);

/** Finds an item in the list of its section and gives its row. */
async function find(tab, section, name) {
	const search = tab.page.getByPlaceholder(`Search ${section}`);
	await search.waitFor();
	// The page empties the field once it has asked for its first list.
	await tab.watch.settled();
	const answered = (response) => new URL(response.url()).searchParams.get('query') === name;
	const searched = SEARCHED_LOCALLY.has(section) ? undefined : tab.page.waitForResponse(answered);
	await search.fill(name);
	await searched;
	const row = tab.page.getByRole('main').locator('[role=presentation]').filter({ hasText: name });
	await row.waitFor();
	return row;
}

/** Deletes an item by the menu of its row. */
async function remove(tab, row, menu) {
	await row.getByRole('button', { name: menu }).click();
	await tab.page.getByRole('menu').getByRole('button', { name: 'Delete' }).click();
	await confirm(tab);
	await row.waitFor({ state: 'detached' });
}

scenario('a model is made from another, used and deleted', async (stage) => {
	const { account, tab } = await begin(stage, '/workspace/models/create');
	const name = unique('model');
	await field(tab, 'Model Name').fill(name);
	const id = await field(tab, 'Model ID').inputValue();
	await press(tab, 'Select a base model');
	await tab.page.getByRole('option', { name: 'Select echo model' }).click();
	await field(tab, 'System Prompt').fill('Be brief.');
	await stage.shot(tab, 'form');
	await press(tab, 'Save & Create');
	await notice(tab, 'Model created successfully!').waitFor();
	const stored = await call('GET', `/api/v1/models/model?id=${id}`, account);
	assert.equal(stored.base_model_id, 'echo');
	assert.equal(stored.params.system, 'Be brief.');

	let row = await find(tab, 'Models', name);
	await row.getByRole('link', { name: `Try in chat: ${name}` }).click();
	await tab.page.getByRole('button', { name: `Selected model: ${name}` }).waitFor();
	await converse(tab, 'Through my own model');

	await tab.goto('/workspace/models');
	row = await find(tab, 'Models', name);
	await row.getByRole('link', { name, exact: true }).click();
	await tab.page.getByText('Be brief.').waitFor();
	await field(tab, 'Model Name').fill(`${name} renamed`);
	await press(tab, 'Save & Update');
	await eventually(async () => {
		assert.equal((await call('GET', `/api/v1/models/model?id=${id}`, account)).name, `${name} renamed`);
	});

	await tab.goto('/workspace/models');
	row = await find(tab, 'Models', name);
	await remove(tab, row, /^More: /);
	const models = await call('GET', '/api/models', account);
	assert.equal(models.data.some((model) => model.id === id), false);
});

scenario('a prompt is made, called by its command, changed and deleted', async (stage) => {
	const { account, tab } = await begin(stage, '/workspace/prompts/create');
	const name = unique('prompt');
	await field(tab, 'Prompt Name').fill(name);
	const command = await field(tab, 'Command').inputValue();
	await field(tab, 'Prompt Content').fill('Greetings from a prompt');
	await press(tab, 'Save & Create');
	let row = await find(tab, 'Prompts', name);
	const stored = async () => (await call('GET', '/api/v1/prompts/', account)).find((prompt) => prompt.command === command);
	assert.equal((await stored()).content, 'Greetings from a prompt');

	await openApp(tab);
	const suggestion = tab.page.getByRole('option', { name: command }).or(tab.page.getByRole('button', { name: command })).first();
	// A slow page swallows keys until its editor listens; a person would type again.
	await eventually(async () => {
		await tab.page.locator('#chat-input').click();
		await tab.page.keyboard.press('ControlOrMeta+A');
		await tab.page.keyboard.press('Delete');
		await tab.page.keyboard.type(`/${command}`);
		await suggestion.waitFor({ timeout: 3000 });
	});
	await stage.shot(tab, 'command');
	await tab.page.keyboard.press('Enter');
	await tab.page.locator('#chat-input').getByText('Greetings from a prompt').waitFor();

	await tab.goto('/workspace/prompts');
	row = await find(tab, 'Prompts', name);
	await row.getByRole('link', { name, exact: true }).click();
	await eventually(async () => assert.equal(await field(tab, 'Prompt Content').inputValue(), 'Greetings from a prompt'));
	await field(tab, 'Prompt Content').fill('Changed greetings');
	await press(tab, 'Save');
	await eventually(async () => assert.equal((await stored()).content, 'Changed greetings'));

	await tab.goto('/workspace/prompts');
	await remove(tab, await find(tab, 'Prompts', name), 'Prompt Menu');
	assert.equal(await stored(), undefined);
});

scenario('a knowledge base is made and deleted', async (stage) => {
	const { account, tab } = await begin(stage, '/workspace/knowledge/create');
	const name = unique('knowledge');
	await tab.page.getByPlaceholder('Name your knowledge base').fill(name);
	await tab.page.getByPlaceholder('Describe your knowledge base and objectives').fill('All we know');
	await press(tab, 'Create Knowledge');
	await tab.page.waitForURL(/\/workspace\/knowledge\/[0-9a-f-]{36}/);
	const id = new URL(tab.page.url()).pathname.split('/').at(-1);
	await field(tab, 'Knowledge Name').waitFor();
	assert.equal(await field(tab, 'Knowledge Name').inputValue(), name);
	assert.equal((await call('GET', `/api/v1/knowledge/${id}`, account)).description, 'All we know');

	await tab.goto('/workspace/knowledge');
	await remove(tab, await find(tab, 'Knowledge', name), 'More Options');
	await assert.rejects(call('GET', `/api/v1/knowledge/${id}`, account));
});

scenario('a skill is made, changed and deleted', async (stage) => {
	const { account, tab } = await begin(stage, '/workspace/skills/create');
	const name = unique('skill');
	await field(tab, 'Skill Name').fill(name);
	await field(tab, 'Skill Description').fill('Answers in rhymes');
	const id = await field(tab, 'Skill ID').inputValue();
	await field(tab, 'Skill Instructions').fill('Rhyme every line.');
	await press(tab, 'Save & Create');
	await notice(tab, 'Skill created successfully').waitFor();
	assert.equal((await call('GET', `/api/v1/skills/id/${id}`, account)).description, 'Answers in rhymes');

	await tab.page.waitForURL(/\/workspace\/skills\/edit/);
	await tab.page.getByRole('button', { name: 'Save', exact: true }).waitFor();
	await tab.watch.settled();
	await field(tab, 'Skill Description').fill('Answers in verse');
	await press(tab, 'Save');
	await eventually(async () => assert.equal((await call('GET', `/api/v1/skills/id/${id}`, account)).description, 'Answers in verse'));
	// The page asks back when it is left before it has noticed that it is saved.
	await notice(tab, 'Skill updated successfully').waitFor();
	await tab.watch.settled();

	await tab.goto('/workspace/skills');
	await remove(tab, await find(tab, 'Skills', name), 'Skill Menu');
	await assert.rejects(call('GET', `/api/v1/skills/id/${id}`, account));
});

scenario('a tool is made and deleted', async (stage) => {
	const { account, tab } = await begin(stage, '/workspace/tools/create');
	const name = unique('tool');
	await field(tab, 'Tool Name').fill(name);
	const id = await field(tab, 'Tool ID').inputValue();
	await field(tab, 'Tool Description').fill('Tells the time');
	await press(tab, 'Save & Create');
	await confirm(tab);
	await notice(tab, 'Tool created successfully').waitFor();
	const stored = await call('GET', `/api/v1/tools/id/${id}`, account);
	assert.ok(stored.specs.some((spec) => spec.name === 'get_current_time'));

	await remove(tab, await find(tab, 'Tools', name), 'Tool Menu');
	await assert.rejects(call('GET', `/api/v1/tools/id/${id}`, account));
});

scenario('an item shared with everyone is found by another person', async (stage) => {
	const owner = await newAccount();
	const name = unique('shared');
	await call('POST', '/api/v1/models/create', {
		...owner,
		body: { id: name, name, base_model_id: 'echo', meta: {}, params: {}, access_grants: [] }
	});
	const tab = await stage.window(owner);
	await tab.goto('/workspace/models');
	const row = await find(tab, 'Models', name);
	await row.getByRole('button', { name: /^More: / }).click();
	await tab.page.getByRole('menu').getByRole('button', { name: 'Access' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('button', { name: 'Visibility Private' }).click();
	await tab.page.getByRole('menuitemradio', { name: 'Public' }).click();
	await dialog.getByRole('button', { name: 'Visibility Public' }).waitFor();
	await stage.shot(tab, 'access');
	const other = await stage.window(await newAccount({ role: 'user' }));
	await eventually(async () => {
		await other.goto(`/?models=${name}`);
		await chatReady(other);
		await other.page.getByRole('button', { name: `Selected model: ${name}` }).waitFor({ timeout: 3000 });
	});
});
