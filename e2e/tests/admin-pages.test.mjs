import { newAccount } from '../lib/accounts.mjs';
import { chatReady } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';

/** Pages of the admin panel with a text that each shows. */
const PAGES = {
	'/admin': 'Add User',
	'/admin/users/overview': 'Add User',
	'/admin/users/groups': 'Default permissions',
	'/admin/evaluations': 'fake-model',
	'/admin/evaluations/leaderboard': 'fake-model',
	'/admin/evaluations/feedback': 'Feedback',
	'/admin/functions': 'No functions found',
	'/admin/functions/create': 'Warning: Functions can execute arbitrary code.'
};

scenario('the pages of the admin panel open', async (stage) => {
	const tab = await stage.window(await newAccount());
	for (const [path, text] of Object.entries(PAGES)) {
		await tab.goto(path);
		await tab.page.getByText(text).first().waitFor();
		await tab.watch.settled();
		await stage.shot(tab, path);
	}
});

scenario('the admin panel is closed to other people', async (stage) => {
	const tab = await stage.window(await newAccount({ role: 'user' }));
	for (const path of ['/admin/users/overview', '/workspace/models', '/playground']) {
		await tab.goto(path);
		await tab.page.waitForURL((url) => url.pathname === '/');
		await chatReady(tab);
	}
});
