/**
 * Using the list of chats in the sidebar.
 */

/** The sidebar. */
export function sidebar(tab) {
	return tab.page.locator('#sidebar[data-state="true"]');
}

/** The row of a chat, by its id. */
export function row(tab, id) {
	return sidebar(tab).locator(`[data-sidebar-chat-id="${id}"]`);
}

/** All rows. */
export function rows(tab) {
	return sidebar(tab).locator('[data-sidebar-chat-id]');
}

/** Waits until a chat is listed under a title. */
export async function listedAs(tab, id, title) {
	await row(tab, id).getByText(title, { exact: true }).waitFor();
}

/** Chooses an entry of a chat's menu. */
export async function chooseInMenu(tab, id, entry) {
	await row(tab, id).hover();
	await row(tab, id).getByRole('button', { name: 'Chat Menu' }).click();
	await tab.page.getByRole('menuitem', { name: entry, exact: true }).click();
}

/** Starts a new chat. */
export async function newChat(tab) {
	await sidebar(tab).locator('#sidebar-new-chat-button').click();
	await tab.page.getByRole('heading', { name: 'New Chat', level: 1 }).waitFor();
}

/** Opens a chat by clicking its row. */
export async function openFromSidebar(tab, id) {
	await row(tab, id).locator('a').click();
	await tab.page.waitForURL(new RegExp(`/c/${id}`));
	await tab.page.locator('[role=log] [role=listitem]').first().waitFor();
}

/** Opens the menu of the signed-in user and chooses an entry. */
export async function chooseInUserMenu(tab, entry) {
	await sidebar(tab).getByRole('button', { name: 'Open User Profile Menu' }).click();
	await tab.page.getByRole('menuitem', { name: entry, exact: true }).click();
}
