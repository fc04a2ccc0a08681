import assert from 'node:assert/strict';
import { newAccount, signIn, someone, theAdmin, unique } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { signInByForm } from '../lib/auth-page.mjs';
import { chatReady, confirm, notice } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';
import { eventually } from '../lib/wait.mjs';

/** Opens the list of users. */
async function userList(stage) {
	const tab = await stage.window(await newAccount());
	await tab.goto('/admin/users/overview');
	await tab.page.getByRole('button', { name: 'Add User' }).waitFor();
	return tab;
}

/** The row of a person in the list, found with the list's search. */
async function rowOf(tab, { email }) {
	await tab.page.getByPlaceholder('Search').last().fill(email);
	const row = tab.page.getByRole('row').filter({ hasText: email });
	await row.waitFor();
	return row;
}

const stored = async ({ id }) => call('GET', `/api/v1/users/${id}`, await theAdmin());

/** Fills the form for a new person and sends it. */
async function addByForm(tab, account, role) {
	await tab.page.getByRole('button', { name: 'Add User' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('combobox', { name: 'Role' }).selectOption(role);
	await dialog.getByPlaceholder('Enter Your Full Name').fill(account.name);
	await dialog.getByPlaceholder('Enter Your Email').fill(account.email);
	await dialog.getByLabel('Enter Your Password').fill(account.password);
	await saveAndClose(dialog);
}

async function saveAndClose(dialog) {
	await dialog.getByRole('button', { name: 'Save' }).click();
	await dialog.waitFor({ state: 'detached' });
}

scenario('an added person can sign in', async (stage) => {
	const tab = await userList(stage);
	const account = someone('Amir Added');
	await addByForm(tab, account, 'user');
	const row = await rowOf(tab, account);
	await row.getByText('Amir Added').first().waitFor();
	assert.equal((await signIn(account)).role, 'user');
});

scenario('a person who signed up waits until an administrator lets them in', async (stage) => {
	const admin = await theAdmin();
	const config = await call('GET', '/api/v1/auths/admin/config', admin);
	await call('POST', '/api/v1/auths/admin/config', { ...admin, body: { ...config, ENABLE_SIGNUP: true, DEFAULT_USER_ROLE: 'pending' } });
	try {
		const account = someone('Sven Signup');
		const visitor = await stage.window();
		await visitor.goto('/auth');
		await visitor.page.getByRole('button', { name: 'Sign up' }).click();
		await visitor.page.getByLabel('Name', { exact: true }).fill(account.name);
		await visitor.page.locator('input[type=email]').fill(account.email);
		await visitor.page.locator('input[type=password]').first().fill(account.password);
		await visitor.page.getByRole('button', { name: 'Create Account' }).click();
		await visitor.page.getByText('Account Activation Pending').waitFor();
		await stage.shot(visitor, 'pending');

		const tab = await userList(stage);
		const row = await rowOf(tab, account);
		await row.getByRole('button', { name: 'Change User Role' }).click();
		const dialog = tab.page.getByRole('dialog');
		await dialog.getByRole('combobox', { name: 'Role' }).selectOption('user');
		await saveAndClose(dialog);
		await row.getByRole('button', { name: 'Change User Role' }).getByText('user').waitFor();

		await visitor.page.getByRole('button', { name: 'Check Again' }).click();
		await chatReady(visitor);
	} finally {
		await call('POST', '/api/v1/auths/admin/config', { ...admin, body: config });
	}
});

scenario('a person is renamed and gets a new password', async (stage) => {
	const account = await newAccount({ role: 'user', name: 'Before Rename' });
	const tab = await userList(stage);
	const row = await rowOf(tab, account);
	await row.getByRole('button', { name: 'Edit User' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByPlaceholder('Enter Your Name').fill('After Rename');
	await dialog.getByLabel('Enter New Password').fill('Reset-e2e-3');
	await saveAndClose(dialog);
	await row.getByText('After Rename').first().waitFor();
	assert.equal((await signIn({ ...account, password: 'Reset-e2e-3' })).name, 'After Rename');
});

scenario('a person is deleted', async (stage) => {
	const account = await newAccount({ role: 'user', name: 'Dora Deleted' });
	const tab = await userList(stage);
	const row = await rowOf(tab, account);
	await row.getByRole('button', { name: 'Delete User' }).click();
	await confirm(tab);
	await row.waitFor({ state: 'detached' });
	await assert.rejects(stored(account), { status: 400 });
	await assert.rejects(signIn(account), { status: 400 });
});

scenario('a demoted administrator loses the admin panel', async (stage) => {
	const account = await newAccount({ name: 'Dirk Demoted' });
	const theirs = await stage.window();
	await theirs.goto('/auth');
	await signInByForm(theirs, account);
	await chatReady(theirs);

	const tab = await userList(stage);
	const row = await rowOf(tab, account);
	await row.getByRole('button', { name: 'Change User Role' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('combobox', { name: 'Role' }).selectOption('user');
	await saveAndClose(dialog);
	await eventually(async () => assert.equal((await stored(account)).role, 'user'));

	await theirs.goto('/admin/users/overview');
	await chatReady(theirs);
	assert.equal(new URL(theirs.page.url()).pathname, '/');
});

scenario('a group is made, filled and deleted', async (stage) => {
	const admin = await newAccount();
	const member = await newAccount({ role: 'user', name: 'Mia Member' });
	const stored = async () => (await call('GET', '/api/v1/groups/', admin)).find((one) => one.name === name);
	const name = unique('group');
	const tab = await stage.window(admin);
	await tab.goto('/admin/users/groups');
	await tab.page.getByRole('button', { name: 'New Group' }).click();
	const dialog = tab.page.getByRole('dialog');
	await dialog.getByRole('textbox', { name: 'Group Name' }).fill(name);
	await saveAndClose(dialog);
	await notice(tab, 'Group created successfully').waitFor();

	const entry = tab.page.getByRole('group', { name });
	await entry.getByRole('button').first().click();
	await dialog.getByRole('button', { name: 'Permissions' }).click();
	await dialog.getByRole('switch', { name: 'Prompts Access' }).click();
	await stage.shot(tab, 'permissions');
	await saveAndClose(dialog);
	await eventually(async () => assert.equal((await stored()).permissions.workspace.prompts, true));

	await entry.getByRole('button').first().click();
	await dialog.getByRole('button', { name: 'Users', exact: true }).click();
	await dialog.getByPlaceholder('Search').fill(member.email);
	await dialog.getByRole('checkbox', { name: 'Mia Member' }).click();
	await eventually(async () => assert.equal((await stored()).member_count, 1));
	await stage.shot(tab, 'members');
	await dialog.getByRole('button', { name: 'Close' }).click();
	await dialog.waitFor({ state: 'detached' });

	const theirs = await stage.window(member);
	await theirs.goto('/workspace/prompts');
	await theirs.page.getByRole('heading', { name: 'Prompts', level: 1 }).waitFor();

	await entry.getByRole('button').first().click();
	await dialog.getByRole('button', { name: 'General' }).click();
	await dialog.getByRole('button', { name: 'Delete' }).click();
	await tab.page.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
	await entry.waitFor({ state: 'detached' });
	assert.equal(await stored(), undefined);
});
