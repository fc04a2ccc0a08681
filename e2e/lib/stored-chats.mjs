/**
 * Chats that are there before a test looks at them, stored by API.
 */

import { newAccount } from './accounts.mjs';
import { call } from './api.mjs';

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
