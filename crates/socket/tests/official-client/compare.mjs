// Plays one sequence with the official socket.io-client and prints what each client hears, in order,
// one JSON line each, ids replaced by names. Run it against this crate's example and against the original
// server, and compare the two outputs:
//
//   npm install --prefix DIR socket.io-client@4
//   cargo run -p oui-socket --example echo -- 8170 [polling]
//   CLIENT_DIR=DIR node compare.mjs http://127.0.0.1:8170 example [polling]
//   CLIENT_DIR=DIR node compare.mjs http://127.0.0.1:8080 original [polling]
//
// Lines that begin with "afterwards" are of the example only, but for the last disconnects.
// For the original give ADMIN and USER as `email:password` of an administrator and a user.
import { createRequire } from 'node:module';

const { io } = createRequire(process.env.CLIENT_DIR + '/')('socket.io-client');
const [base, kind, transport = 'websocket'] = process.argv.slice(2);

const names = new Map();
const name = (id, as) => names.set(id, as);
const cleaned = (value) => {
	let text = JSON.stringify(value) ?? 'undefined';
	for (const [id, as] of names) text = text.replaceAll(id, as);
	return text.replace(/"last_read_at":\d+/g, '"last_read_at":0').replace(/"name":"[^"]*"/g, '"name":"N"');
};
// Kept per client: which of two clients hears something first is chance.
const logs = new Map();
let phase = '';
const say = (who, what, value) => {
	const users = value?.[0]?.data?.type === 'chat:presence' && value[0].data.data.users;
	// Sorted by id, and ids differ from server to server.
	if (users) users.sort((one, other) => names.get(one.id).localeCompare(names.get(other.id)));
	if (!logs.has(phase + who)) logs.set(phase + who, []);
	logs.get(phase + who).push([what, value]);
};
const pause = (ms = 250) => new Promise((done) => setTimeout(done, ms));

async function request(path, token, body) {
	const response = await fetch(base + path, {
		method: body === undefined ? 'GET' : 'POST',
		headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
		body: body === undefined ? undefined : JSON.stringify(body)
	});
	return response.json().catch(() => null);
}

// Two accounts, a chat and a channel that the first of them owns.
async function prepare() {
	if (kind === 'example') {
		return { users: ['alice', 'bob'], tokens: ['alice', 'bob'], chat: 'example-chat', channel: 'example-channel' };
	}
	const accounts = [];
	for (const account of [process.env.ADMIN, process.env.USER]) {
		const [email, password] = account.split(':');
		accounts.push(await request('/api/v1/auths/signin', null, { email, password }));
	}
	const [admin, user] = accounts;
	const chat = await request('/api/v1/chats/new', admin.token, { chat: { title: 'compare', messages: [] } });
	await request(`/api/v1/chats/${chat.id}/share`, admin.token, { share_mode: 'continue' });
	await request(`/api/v1/chats/shared/${chat.id}/access/update`, admin.token, {
		access_grants: [{ principal_type: 'user', principal_id: user.id, permission: 'read' }]
	});
	const config = await request('/api/v1/auths/admin/config', admin.token);
	await request('/api/v1/auths/admin/config', admin.token, { ...config, ENABLE_CHANNELS: true });
	const channel = await request('/api/v1/channels/create', admin.token, {
		name: 'compare',
		access_grants: [{ principal_type: 'user', principal_id: '*', permission: 'read' }]
	});
	return {
		users: [admin.id, user.id],
		tokens: [admin.token, user.token],
		chat: chat.id,
		channel: channel?.id
	};
}

const open = [];
function client(who, token) {
	const socket = io(base, {
		path: '/ws/socket.io',
		transports: [transport],
		auth: token === undefined ? {} : { token },
		reconnection: false,
		forceNew: true
	});
	socket.on('connect', () => {
		name(socket.id, `sid-${who}`);
		say(who, 'connected', socket.io.engine.transport.name);
	});
	socket.on('connect_error', (error) => say(who, 'connect_error', error.message));
	socket.on('disconnect', (reason) => say(who, 'disconnected', reason));
	socket.onAny((event, ...args) => say(who, event, args));
	open.push(socket);
	return socket;
}

async function ask(who, socket, event, ...args) {
	const answer = await new Promise((done) => {
		const timer = setTimeout(() => done('no acknowledgement'), 1000);
		socket.emit(event, ...args, (...values) => {
			clearTimeout(timer);
			done(values);
		});
	});
	say(who, `acknowledged ${event} ${args[0]?.data?.type ?? ''}`.trim(), answer);
	await pause(120);
}

const world = await prepare();
const [alice, bob] = world.tokens;
name(world.users[0], 'ALICE');
name(world.users[1], 'BOB');
name(world.chat, 'CHAT');
name(world.channel, 'CHANNEL');
const inChat = (type, data) => ({ chat_id: world.chat, data: { type, ...(data ? { data } : {}) } });
const inChannel = (type, data) => ({ channel_id: world.channel, message_id: null, data: { type, data } });

const a = client('a', alice);
const b = client('b', bob);
const stranger = client('stranger', 'no token');
const nobody = client('nobody');
await pause(1500);

await ask('a', a, 'user-join', { auth: { token: alice } });
await ask('b', b, 'user-join', { auth: { token: bob } });
await ask('stranger', stranger, 'user-join', { auth: { token: 'no token' } });
await ask('a', a, 'heartbeat', {});
await ask('a', a, 'heartbeat');
await ask('a', a, 'usage', { model: 'm' });
await ask('a', a, 'usage', {});
await ask('a', a, 'no-such-event', 1, 2);
await ask('a', a, 'x:y:z', { done: true });
await ask('b', b, 'join-channels', { auth: { token: bob } });
await ask('b', b, 'join-note', { auth: { token: bob }, note_id: 'none' });

await ask('a', a, 'events:chat', inChat('typing', { typing: true }));
await ask('a', a, 'events:chat', inChat('join'));
await ask('b', b, 'events:chat', inChat('join'));
await ask('a', a, 'events:chat', inChat('typing', { typing: true }));
await ask('b', b, 'events:chat', inChat('typing', { typing: false }));
await ask('b', b, 'events:chat', inChat('typing', { typing: 'yes' }));
await ask('a', a, 'events:chat', inChat('last_read_at'));
await ask('a', a, 'events:chat', inChat('unknown'));
await ask('a', a, 'events:chat', { chat_id: 'local:x', data: { type: 'join' } });
await ask('a', a, 'events:chat', { chat_id: 'none', data: { type: 'join' } });

await ask('a', a, 'events:channel', inChannel('typing', { typing: true }));
await ask('b', b, 'events:channel', inChannel('last_read_at'));
await ask('b', b, 'events:channel', { ...inChannel('typing', {}), channel_id: 'none' });

b.disconnect();
await pause();
await ask('a', a, 'events:chat', inChat('leave'));
await ask('a', a, 'events:chat', inChat('leave'));
stranger.emit('heartbeat', {});
nobody.emit('usage', { model: 'm' });
await pause(600);

// The same client comes back after leaving.
b.connect();
await pause(600);
await ask('b', b, 'user-join', { auth: { token: bob } });
await ask('b', b, 'binary', new Uint8Array([1, 2, 3]));
await ask('b', b, 'heartbeat', {});

phase = 'afterwards ';
if (kind === 'example') {
	a.on('ask', (question, answer) => answer({ answered: question.q }));
	say('call', 'answer', await request('/call', null, { user: 'alice', session: a.id, event: 'ask', payload: { q: 1 } }));
	await request('/emit', null, { user: 'alice', event: 'events', payload: { hello: 'ü' } });
	await pause();
	await request('/kick', null, { user: 'alice' });
	await pause(600);
}
for (const socket of open) socket.disconnect();
for (const [who, lines] of [...logs].sort()) {
	for (const [what, value] of lines) console.log(JSON.stringify([who, what]), cleaned(value));
}
process.exit(0);
