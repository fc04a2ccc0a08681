/**
 * Using the settings dialog, personal and administrative pages alike.
 */

import { chooseInUserMenu } from './sidebar.mjs';

/** Tabs of the dialog by section, in their order; the second section is for administrators. */
export const SETTINGS = {
	Personal: [
		'General',
		'Interface',
		'Notifications',
		'Keyboard',
		'Personalization',
		'Audio',
		'Data Controls',
		'Usage',
		'Archived Chats',
		'Account',
		'About'
	],
	Admin: [
		'General',
		'Authentication',
		'Interface',
		'Connections',
		'Models',
		'Sub-agents',
		'Integrations',
		'Documents',
		'Audio',
		'Images',
		'Web Search',
		'Code Execution',
		'Pipelines',
		'Analytics',
		'Evaluations',
		'Database'
	]
};

const theDialog = (tab) => tab.page.getByRole('dialog', { name: 'Settings' });

/** Opens the dialog from the user menu. */
export async function openSettings(tab) {
	await chooseInUserMenu(tab, 'Settings');
	await theDialog(tab).getByRole('tablist', { name: 'Personal' }).waitFor();
	return theDialog(tab);
}

/**
 * Turns to a tab of the open dialog and waits until it shows the stored values: before that, what
 * is typed into its fields may be overwritten.
 */
export async function turnTo(tab, section, name) {
	const dialog = theDialog(tab);
	await dialog.getByRole('tablist', { name: section }).getByRole('tab', { name, exact: true }).click();
	await dialog.getByRole('heading', { level: 2, name: new RegExp(`^${name}`) }).waitFor();
	await tab.watch.settled();
	return dialog;
}

/** Opens the dialog at a tab. */
export async function chooseSettings(tab, section, name) {
	await openSettings(tab);
	return turnTo(tab, section, name);
}
