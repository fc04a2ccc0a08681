/**
 * The people of the tests. Every test makes the accounts it needs, so that tests do not see each
 * other's chats; only the first administrator is shared.
 */

import { call } from './api.mjs';

/**
 * @typedef {{ id?: string, name: string, email: string, password: string, role?: string, token?: string }} Account
 */

const PASSWORD = 'Secret-e2e-1';
const RUN = Date.now().toString(36);
let counter = 0;

/** A name that no other test and no earlier run has used; the prefix marks it as ours in recordings. */
export function unique(what) {
	counter += 1;
	return `e2e_${what}_${RUN}${counter}`;
}

/**
 * The account with which the server's first sign-up is made.
 *
 * @type {Readonly<Account>}
 */
export const FIRST_ADMIN = Object.freeze({ name: 'Ada Admin', email: 'ada.admin@example.com', password: PASSWORD });

/** Signs an account in by API; the answer holds `id`, `role` and `token`. */
export function signIn({ email, password }) {
	return call('POST', '/api/v1/auths/signin', { body: { email, password } });
}

/** Whether the server has no account yet. */
export async function isFresh() {
	return (await call('GET', '/api/config')).onboarding === true;
}

let firstAdmin;

/**
 * The first administrator's session. Signs up when the server is fresh, for runs that leave the
 * onboarding test out.
 *
 * @returns {Promise<Account>}
 */
export function theAdmin() {
	firstAdmin ??= (async () => {
		const { name, email, password } = FIRST_ADMIN;
		const session = (await isFresh())
			? await call('POST', '/api/v1/auths/signup', { body: { name, email, password, profile_image_url: '' } })
			: await signIn(FIRST_ADMIN);
		return { ...FIRST_ADMIN, id: session.id, role: session.role, token: session.token };
	})();
	return firstAdmin;
}

/** Details for an account that does not exist yet. */
export function someone(name = 'Eve Example') {
	return { name, email: `${unique('user')}@example.com`, password: PASSWORD };
}

/**
 * Adds an account by API; the answer brings a session for it.
 *
 * An administrator has read the release notes already, which would otherwise cover the page.
 *
 * @param {{ role?: 'admin' | 'user' | 'pending', name?: string }} [options]
 * @returns {Promise<Account>}
 */
export async function newAccount({ role = 'admin', name } = {}) {
	const account = someone(name);
	const { token: adminToken } = await theAdmin();
	const { id, token } = await call('POST', '/api/v1/auths/add', {
		token: adminToken,
		body: { name: account.name, email: account.email, password: account.password, role }
	});
	if (role === 'admin') await readReleaseNotes(token);
	return { ...account, id, role, token };
}

async function readReleaseNotes(token) {
	const { version } = await call('GET', '/api/config');
	await call('POST', '/api/v1/users/user/settings/update', { token, body: { ui: { version } } });
}

/**
 * Lets everyone use models of the provider; without this only administrators see them.
 *
 * @param {string[]} ids
 */
export async function publishModels(ids) {
	const { token } = await theAdmin();
	for (const id of ids) {
		const body = {
			id,
			name: id,
			base_model_id: null,
			meta: {},
			params: {},
			access_grants: [{ principal_type: 'user', principal_id: '*', permission: 'read' }]
		};
		const known = await call('GET', `/api/v1/models/model?id=${id}`, { token }).catch(() => null);
		if (!known?.access_grants) await call('POST', '/api/v1/models/create', { token, body });
	}
}
