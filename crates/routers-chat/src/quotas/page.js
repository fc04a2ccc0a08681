// The page of quotas: asks the API with the client's token, builds its rows from nodes, never from markup.
'use strict';
const $ = (id) => document.getElementById(id);
const form = $('quota');
let groups = [];

async function api(method, path, body) {
	const headers = { 'Content-Type': 'application/json' };
	const token = localStorage.getItem('token');
	if (token) headers.Authorization = `Bearer ${token}`;
	const answer = await fetch(path, { method, headers, credentials: 'same-origin', body: body && JSON.stringify(body) });
	const value = await answer.json().catch(() => null);
	if (answer.ok) return value;
	const detail = value && value.detail;
	const text = Array.isArray(detail) ? detail.map((one) => `${one.loc.slice(1).join('.')}: ${one.msg}`).join(', ') : detail;
	throw Object.assign(new Error(text || `${answer.status}`), { status: answer.status });
}

function say(text, bad) {
	$('message').textContent = text;
	$('message').className = bad ? 'bad' : '';
}

function act(work) {
	return async (event) => {
		if (event) event.preventDefault();
		try {
			await work(event);
		} catch (error) {
			say(error.message, true);
		}
	};
}

function node(name, content, attributes = {}) {
	const made = Object.assign(document.createElement(name), attributes);
	for (const part of [content].flat()) if (part !== undefined) made.append(part);
	return made;
}

const row = (...cells) => node('tr', cells.map((cell) => node('td', cell)));
const button = (text, work) => node('button', text, { type: 'button', onclick: act(work) });
const moment = (seconds) => new Date(seconds * 1000).toLocaleString();
const amount = (quota, value) => (quota.metric === 'cost' ? `${value} (cost)` : `${value} ${quota.metric.replace('_', ' ')}`);

async function showOwn() {
	const { quotas } = await api('GET', '/api/v1/quotas/usage');
	const shown = quotas.map((quota) =>
		node('p', [
			node('strong', quota.name), ` ${quota.model_id || 'every model'}: ${quota.used} of ${amount(quota, quota.limit)} per ${quota.period} `,
			node('progress', undefined, { max: quota.limit || 1, value: Math.min(quota.used, quota.limit || 1) }),
			` starts anew ${moment(quota.resets_at)}`,
		]),
	);
	$('own-list').replaceChildren(...(shown.length ? shown : [node('p', 'No limit applies to you.')]));
}

const subject = (quota) => {
	const group = groups.find((one) => one.id === quota.subject_id);
	return quota.subject_type === 'everyone' ? 'everyone' : `${quota.subject_type} ${group ? group.name : quota.subject_id}`;
};

async function showQuotas() {
	const quotas = await api('GET', '/api/v1/quotas');
	$('quotas').replaceChildren(...quotas.map((quota) => {
		const shown = row(
			quota.name, subject(quota), quota.model_id || 'every', `${amount(quota, quota.limit)} per ${quota.period}`,
			quota.shared ? 'together' : 'each',
			[
				button('Edit', () => edit(quota)), ' ', button('Use', () => showUse(quota)), ' ',
				button('Delete', async () => {
					if (!confirm(`Delete "${quota.name}"?`)) return;
					await api('DELETE', `/api/v1/quotas/id/${encodeURIComponent(quota.id)}`);
					await refresh();
				}),
			],
		);
		if (!quota.enabled) shown.className = 'off';
		return shown;
	}));
}

async function showUse(quota) {
	const path = `/api/v1/quotas/id/${encodeURIComponent(quota.id)}/usage`;
	const { usage } = await api('GET', path);
	$('use').hidden = false;
	$('use-title').textContent = `Use of ${quota.name}`;
	$('counters').replaceChildren(...usage.map((counter) => row(
		counter.user_id ? counter.name || counter.user_id : 'all together',
		moment(counter.period_start) + (counter.current ? ' (now)' : ''), String(counter.used),
		counter.current ? button('Reset', async () => {
			await api('DELETE', `${path}?user_id=${encodeURIComponent(counter.user_id || '*')}`);
			await showUse(quota);
			await showOwn();
		}) : '',
	)));
}

const option = (value, text) => node('option', text, { value });

async function offerSubjects(chosen) {
	const kind = form.subject_type.value;
	$('who').hidden = kind === 'everyone';
	form.search.hidden = kind !== 'user';
	$('who-kind').textContent = kind;
	if (kind === 'group') form.subject_id.replaceChildren(...groups.map((group) => option(group.id, group.name)));
	if (kind === 'user') {
		const { users } = await api('GET', `/api/v1/users/?query=${encodeURIComponent(form.search.value)}`);
		form.subject_id.replaceChildren(...users.map((user) => option(user.id, `${user.name} (${user.email})`)));
	}
	if (chosen) {
		if (![...form.subject_id.options].some((one) => one.value === chosen)) form.subject_id.append(option(chosen, chosen));
		form.subject_id.value = chosen;
	}
}

async function edit(quota) {
	$('quota-title').textContent = `Change ${quota.name}`;
	for (const name of ['id', 'name', 'subject_type', 'metric', 'period', 'limit']) form.elements[name].value = quota[name];
	form.model_id.value = quota.model_id || '';
	form.shared.checked = quota.shared;
	form.enabled.checked = quota.enabled;
	await offerSubjects(quota.subject_id);
}

function priceRow(price) {
	const field = (name, value, more) => node('input', undefined, { name, value, required: true, ...more });
	const number = { type: 'number', min: '0', step: 'any' };
	const model = field('model_id', price.model_id);
	model.setAttribute('list', 'models');
	const shown = row(model, field('input', price.input, number), field('output', price.output, number), button('Remove', () => shown.remove()));
	return shown;
}

async function showPrices() {
	const { prices } = await api('GET', '/api/v1/quotas/prices');
	$('price-rows').replaceChildren(...prices.map(priceRow));
}

async function refresh() {
	await Promise.all([showOwn(), showQuotas(), showPrices()]);
}

form.subject_type.onchange = act(() => offerSubjects());
form.search.oninput = act(() => offerSubjects());
form.onreset = () => {
	form.elements.id.value = '';
	$('quota-title').textContent = 'New limit';
	$('who').hidden = true;
};
form.onsubmit = act(async () => {
	const value = (name) => form.elements[name].value;
	const quota = {
		name: value('name'), subject_type: value('subject_type'), subject_id: value('subject_id') || null,
		model_id: value('model_id') || null, metric: value('metric'), period: value('period'), limit: Number(value('limit')),
		shared: form.shared.checked, enabled: form.enabled.checked,
	};
	if (quota.subject_type === 'everyone') quota.subject_id = null;
	const id = value('id');
	await api('POST', id ? `/api/v1/quotas/id/${encodeURIComponent(id)}` : '/api/v1/quotas', quota);
	form.reset();
	await refresh();
	say('Saved.');
});
$('add-price').onclick = () => $('price-rows').append(priceRow({ model_id: '', input: 0, output: 0 }));
$('prices').onsubmit = act(async () => {
	const prices = [...$('price-rows').rows].map((shown) => {
		const value = (name) => shown.querySelector(`[name=${name}]`).value;
		return { model_id: value('model_id'), input: Number(value('input')), output: Number(value('output')) };
	});
	await api('POST', '/api/v1/quotas/prices', { prices });
	await showPrices();
	say('Saved.');
});

act(async () => {
	try {
		await showOwn();
	} catch (error) {
		if (error.status === 401) return say('Please sign in first.', true);
		throw error;
	}
	try {
		groups = await api('GET', '/api/v1/groups/');
		await Promise.all([showQuotas(), showPrices()]);
	} catch (error) {
		if (error.status === 401) return;
		throw error;
	}
	$('admin').hidden = false;
	const { data } = await api('GET', '/api/models');
	$('models').replaceChildren(...data.map((model) => option(model.id)));
})();
