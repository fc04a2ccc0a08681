import assert from 'node:assert/strict';
import { newAccount, signIn, someone, theAdmin, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { notice, openApp } from '../lib/chat.mjs';
import { chooseSettings } from '../lib/settings-dialog.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

const file = (name, mimeType, text) => ({ name, mimeType, buffer: Buffer.from(text) });

async function contentOf(download) {
	const chunks = [];
	for await (const chunk of await (await download).createReadStream()) chunks.push(chunk);
	return Buffer.concat(chunks);
}

scenario('people are imported from a CSV file', async (stage) => {
	const tab = await stage.window(await newAccount());
	await tab.goto('/admin/users/overview');
	await tab.page.getByRole('button', { name: 'Add User' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('button', { name: 'CSV Import' }).click();
	const template = await dialog.getByRole('link', { name: /template/ }).getAttribute('href');
	const [header] = (await (await fetch(new URL(template, tab.page.url()))).text()).split('\n');
	assert.equal(header.trim(), 'Name,Email,Password,Role');
	const people = [someone('Carla Csv'), someone('Chris Csv')];
	const rows = people.map(({ name, email, password }, at) => `${name},${email},${password},${at ? 'pending' : 'user'}`);
	await tab.page.locator('#upload-user-csv-input').setInputFiles(file('people.csv', 'text/csv', [header, ...rows].join('\n')));
	await dialog.getByRole('button', { name: 'Save' }).click();
	await notice(tab, /2/).first().waitFor();
	for (const [at, account] of people.entries()) {
		const { role } = await signIn(account);
		assert.equal(role, at ? 'pending' : 'user');
	}
	await stage.shot(tab, 'imported');
});

scenario('a configuration that was exported is imported again', async (stage) => {
	const admin = await theAdmin();
	const tab = await stage.window(await newAccount());
	await openApp(tab);
	const dialog = await chooseSettings(tab, 'Admin', 'Database');
	const download = tab.page.waitForEvent('download');
	await dialog.getByRole('button', { name: 'Export Config' }).click();
	const exported = JSON.parse(await contentOf(download));
	const before = await call('GET', '/api/v1/auths/admin/config', admin);
	const changed = { ...before, RESPONSE_WATERMARK: unique('mark') };
	await call('POST', '/api/v1/auths/admin/config', { ...admin, body: changed });
	const chooser = tab.page.waitForEvent('filechooser');
	await dialog.getByRole('button', { name: 'Import Config' }).click();
	await (await chooser).setFiles(file('config.json', 'application/json', JSON.stringify(exported)));
	await eventually(async () => {
		const now = await call('GET', '/api/v1/auths/admin/config', admin);
		assert.equal(now.RESPONSE_WATERMARK, before.RESPONSE_WATERMARK);
	});
});

scenario('the picture of an account is made of initials, and found at Gravatar', async (stage) => {
	const account = await newAccount({ role: 'user', name: 'Ines Initial' });
	const tab = await stage.window(account);
	await openApp(tab);
	const dialog = await chooseSettings(tab, 'Personal', 'Account');
	await dialog.getByRole('button', { name: 'Initials' }).click();
	await dialog.getByRole('button', { name: 'Save', exact: true }).click();
	await notice(tab, 'Settings saved successfully!').waitFor();
	const picture = async () => (await call('GET', '/api/v1/auths/', account)).profile_image_url;
	const shown = async () => fetch(new URL(`/api/v1/users/${account.id}/profile/image`, tab.page.url()), {
		headers: { Authorization: `Bearer ${account.token}` },
		redirect: 'manual'
	});
	await eventually(async () => assert.match(await picture(), /^data:image\/png;base64,/));
	const drawn = await shown();
	assert.equal(drawn.headers.get('content-type'), 'image/png');
	assert.deepEqual([...new Uint8Array(await drawn.arrayBuffer()).slice(1, 4)], [0x50, 0x4e, 0x47]);
	// Nobody reaches Gravatar here: its address is what counts.
	tab.watch.tolerate({ message: /^/, reason: 'no network' });
	await tab.page.route(/gravatar\.com/, (route) => route.fulfill({ status: 200, contentType: 'image/png', body: '' }));
	await dialog.getByRole('button', { name: 'Gravatar' }).click();
	await dialog.getByRole('button', { name: 'Save', exact: true }).click();
	await eventually(async () => assert.match(await picture(), /^https:\/\/www\.gravatar\.com\/avatar\/[0-9a-f]{64}/));
	const elsewhere = await shown();
	assert.deepEqual([elsewhere.status, elsewhere.headers.get('location')], [302, await picture()]);
	// Other pages show everybody's picture and would look for this one.
	const plain = { name: 'Ines Initial', profile_image_url: '/user.png' };
	await call('POST', '/api/v1/auths/update/profile', { ...account, body: plain });
});

scenario('a skill is exported as an archive and imported again', async (stage) => {
	const account = await newAccount();
	const id = unique('skill');
	const body = { id, name: id, description: 'Sorts', content: `---\nname: ${id}\ndescription: Sorts\n---\nSort everything by name.` };
	await call('POST', '/api/v1/skills/create', { ...account, body });
	const tab = await stage.window(account);
	await tab.goto('/workspace/skills');
	const row = tab.page.getByRole('main').locator('[role=presentation]').filter({ hasText: id });
	await row.waitFor();
	const download = tab.page.waitForEvent('download');
	await row.getByRole('button', { name: 'Skill Menu' }).click();
	await tab.page.getByRole('menu').getByRole('button', { name: 'Export .skill' }).click();
	const archive = await contentOf(download);
	assert.equal(archive.subarray(0, 2).toString(), 'PK');
	await call('DELETE', `/api/v1/skills/id/${id}/delete`, account);
	await tab.page.reload();
	await tab.watch.settled();
	await tab.page
		.locator('input[type=file][accept*=".skill"]')
		.setInputFiles({ name: 'one.skill', mimeType: 'application/zip', buffer: archive });
	await tab.page.getByRole('button', { name: 'Import selected' }).click();
	await eventually(async () => {
		const found = (await call('GET', '/api/v1/skills/', account)).find(({ name }) => name === id);
		assert.equal(found?.description, 'Sorts');
	});
});
