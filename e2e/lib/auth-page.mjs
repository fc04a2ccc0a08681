/**
 * Using the sign-in page.
 */

/** The field for the e-mail address; it is there on every form of the page. */
export const emailField = (tab) => tab.page.locator('input[type=email]');

/** The field for the password. */
export const passwordField = (tab) => tab.page.locator('input[type=password]');

/** Fills the sign-in form and sends it. */
export async function signInByForm(tab, { email, password }) {
	await emailField(tab).fill(email);
	await passwordField(tab).fill(password);
	await tab.page.getByRole('button', { name: 'Sign in', exact: true }).click();
}
