/**
 * Chats as the server has them: made before a test looks at them, and read back.
 */

import { newAccount } from './accounts.mjs';
import { call } from './api.mjs';
import { chooseModel, openApp } from './chat.mjs';

/** A person with chats of these titles, each a message and its echo. */
export async function withChats(...titles) {
	const account = await newAccount();
	const ids = [];
	for (const title of titles) ids.push(await storeChat(account, title));
	return { account, ids };
}

/** Stores a finished chat by API and gives its id. */
export async function storeChat(account, title) {
	const question = crypto.randomUUID();
	const reply = crypto.randomUUID();
	const text = `Words of ${title}`;
	const common = { timestamp: Math.floor(Date.now() / 1000) };
	const messages = {
		[question]: { ...common, id: question, parentId: null, childrenIds: [reply], role: 'user', content: text, models: ['echo'] },
		[reply]: { ...common, id: reply, parentId: question, childrenIds: [], role: 'assistant', content: text, model: 'echo', modelName: 'echo', done: true }
	};
	const chat = { title, models: ['echo'], params: {}, history: { messages, currentId: reply }, tags: [], files: [], timestamp: Date.now() };
	const { id } = await call('POST', '/api/v1/chats/new', { token: account.token, body: { chat } });
	return id;
}

/** A window of a person who is about to begin a chat with a model. */
export async function beginChat(stage, model, account) {
	account ??= await newAccount();
	const tab = await stage.window(account);
	await openApp(tab);
	await chooseModel(tab, model);
	return { account, tab };
}

/** The messages of a stored chat along its current branch, the first one first. */
export async function branchOf(account, id) {
	const { chat } = await call('GET', `/api/v1/chats/${id}`, account);
	const branch = [];
	for (let at = chat.history.currentId; at; at = chat.history.messages[at].parentId) {
		branch.unshift(chat.history.messages[at]);
	}
	return branch;
}
