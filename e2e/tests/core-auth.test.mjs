import assert from 'node:assert/strict';
import { FIRST_ADMIN, isFresh, newAccount, signIn } from '../lib/accounts.mjs';
import { emailField, passwordField, signInByForm } from '../lib/auth-page.mjs';
import { chatReady, notice, openApp } from '../lib/chat.mjs';
import { chooseInUserMenu, sidebar } from '../lib/sidebar.mjs';
import { scenario } from '../lib/stage.mjs';

scenario('the first visitor signs up and becomes the administrator', async (stage, t) => {
	if (!(await isFresh())) {
		// Only an earlier run of this suite may have taken the place of the first visitor.
		assert.equal((await signIn(FIRST_ADMIN)).role, 'admin', 'a server that is not fresh knows our administrator');
		return t.skip('the server has its administrator from an earlier run');
	}
	const tab = await stage.window();
	await tab.goto('/');
	await tab.page.getByRole('button', { name: 'Get started' }).waitFor();
	await stage.shot(tab, 'welcome');
	await tab.page.getByRole('button', { name: 'Get started' }).click();
	await tab.page.getByLabel('Name', { exact: true }).fill(FIRST_ADMIN.name);
	await emailField(tab).fill(FIRST_ADMIN.email);
	await passwordField(tab).fill(FIRST_ADMIN.password);
	await stage.shot(tab, 'form');
	await tab.page.getByRole('button', { name: 'Create Admin Account' }).click();

	await chatReady(tab);
	const news = tab.page.getByRole('dialog');
	await news.getByText("What's New in Open WebUI").waitFor();
	await stage.shot(tab, 'release-notes');
	await news.getByRole('button', { name: "Okay, Let's Go!" }).click();
	await news.waitFor({ state: 'detached' });
	await sidebar(tab).getByText(FIRST_ADMIN.name).waitFor();

	const session = await signIn(FIRST_ADMIN);
	assert.equal(session.role, 'admin');
	assert.equal(session.name, FIRST_ADMIN.name);
	assert.equal(await isFresh(), false);
});

scenario('release notes that were read do not come back', async (stage) => {
	const tab = await stage.window({ ...FIRST_ADMIN, ...(await signIn(FIRST_ADMIN)) });
	await openApp(tab);
	await tab.page.getByRole('button', { name: /^Selected model/ }).waitFor();
	assert.equal(await tab.page.getByRole('dialog').count(), 0);
});

scenario('signing in leads to the page that was asked for', async (stage) => {
	const account = await newAccount({ role: 'user', name: 'Sina Signin' });
	const tab = await stage.window();
	await tab.goto('/notes');
	await emailField(tab).waitFor();
	await signInByForm(tab, account);
	await notice(tab, "You're now logged in.").waitFor();
	await tab.page.waitForURL(/\/notes$/);
	await sidebar(tab).getByText(account.name).waitFor();
});

scenario('signing out ends the session', async (stage) => {
	const account = await newAccount({ role: 'user', name: 'Otto Signout' });
	const tab = await stage.window(account);
	await openApp(tab);
	await chooseInUserMenu(tab, 'Sign Out');
	await emailField(tab).waitFor();
	const kept = await tab.page.context().storageState();
	assert.equal(kept.origins.flatMap((origin) => origin.localStorage).find((item) => item.name === 'token'), undefined);
	assert.equal(kept.cookies.find((cookie) => cookie.name === 'token'), undefined);

	await tab.goto('/');
	await emailField(tab).waitFor();
	await signInByForm(tab, account);
	await chatReady(tab);
});

scenario('a wrong password is refused with a message', async (stage) => {
	const account = await newAccount({ role: 'user' });
	const tab = await stage.window();
	tab.watch.expect({ call: 'POST /api/v1/auths/signin', status: 400 });
	await tab.goto('/auth');
	await signInByForm(tab, { ...account, password: 'wrong' });
	await notice(tab, 'The email or password provided is incorrect.').waitFor();
	assert.match(tab.page.url(), /\/auth/);
});

scenario('a pending account waits, and gets in once it is activated', async (stage) => {
	const account = await newAccount({ role: 'pending', name: 'Petra Pending' });
	const tab = await stage.window();
	await tab.goto('/auth');
	await signInByForm(tab, account);
	await tab.page.getByText('Account Activation Pending').waitFor();
	await tab.page.getByText(FIRST_ADMIN.email).waitFor();
	await stage.shot(tab, 'pending');
	await tab.page.getByRole('button', { name: 'Check Again' }).click();
	await tab.page.getByText('Account Activation Pending').waitFor();
});
