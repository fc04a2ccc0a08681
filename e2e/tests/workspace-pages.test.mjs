import { newAccount } from '../lib/accounts.mjs';
import { scenario } from '../lib/stage.mjs';

/** Pages of the workspace and beside it, with a text or the name of a field that each shows. */
const PAGES = {
	'/workspace': { text: 'Models' },
	'/workspace/models': { field: 'Search Models' },
	'/workspace/models/create': { field: 'Model Name' },
	'/workspace/knowledge': { field: 'Search Knowledge' },
	'/workspace/knowledge/create': { text: 'Create a knowledge base' },
	'/workspace/prompts': { field: 'Search Prompts' },
	'/workspace/prompts/create': { field: 'Prompt Name' },
	'/workspace/skills': { field: 'Search Skills' },
	'/workspace/skills/create': { field: 'Skill Name' },
	'/workspace/tools': { field: 'Search Tools' },
	'/workspace/tools/create': { field: 'Tool Name' },
	'/notes': { field: 'Search Notes' },
	'/calendar': { text: 'Scheduled Tasks' },
	'/automations': { text: 'Automations' },
	'/playground': { field: 'Enter a user message here' },
	'/playground/completions': { text: 'Run' },
	'/playground/images': { text: 'Generated images will appear here' }
};

scenario('the pages of the workspace open', async (stage) => {
	const tab = await stage.window(await newAccount());
	for (const [path, { text, field }] of Object.entries(PAGES)) {
		await tab.goto(path);
		const mark = field ? tab.page.getByPlaceholder(field) : tab.page.getByText(text);
		await mark.filter({ visible: true }).first().waitFor();
		await tab.watch.settled();
		await stage.shot(tab, path);
	}
});

scenario('the sections of the workspace are reached by their links', async (stage) => {
	const tab = await stage.window(await newAccount());
	await tab.goto('/workspace');
	for (const name of ['Knowledge', 'Prompts', 'Skills', 'Tools', 'Models']) {
		await tab.page.getByRole('main').getByRole('link', { name: new RegExp(`^${name}`) }).first().click();
		await tab.page.getByRole('heading', { name, level: 1 }).waitFor();
	}
});
