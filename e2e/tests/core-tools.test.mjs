import assert from 'node:assert/strict';
import { newAccount, theAdmin } from '../lib/accounts.mjs';
import { call } from '../lib/api.mjs';
import { chatId, chatReady, messages, replyContains, replyFinished, send } from '../lib/chat.mjs';
import { scenario } from '../lib/stage.mjs';
import { branchOf } from '../lib/stored-chats.mjs';
import { eventually } from '../lib/wait.mjs';

const SOURCE = `
class Tools:
    async def weather(self, city: str, __event_emitter__=None) -> dict:
        """
        Tells the weather.
        :param city: Name of the city.
        """
        await __event_emitter__({"type": "status", "data": {"description": f"Looking at {city}", "done": True}})
        return {"city": city, "sky": "clear"}
`;

const EVERYBODY = [{ principal_type: 'user', principal_id: '*', permission: 'read' }];

/** A model that has the tool and the given parameters, for everybody. */
async function modelWithTool(params) {
	const admin = await theAdmin();
	const id = `weather_${crypto.randomUUID().slice(0, 8)}`;
	const tool = { id, name: id, content: SOURCE, meta: {}, access_grants: EVERYBODY };
	await call('POST', '/api/v1/tools/create', { token: admin.token, body: tool });
	const model = { id, name: id, base_model_id: 'tools', meta: { toolIds: [id] }, params, access_grants: EVERYBODY };
	await call('POST', '/api/v1/models/create', { token: admin.token, body: model });
	return id;
}

/** A window of a new person who is about to ask a model. The list of models is too long to find it there. */
async function beginWith(stage, model) {
	const account = await newAccount();
	const tab = await stage.window(account);
	await tab.start(`/?models=${model}`, () => chatReady(tab));
	await tab.page.getByRole('button', { name: `Selected model: ${model}`, exact: true }).waitFor();
	return { account, tab };
}

const QUESTION = '{"name": "weather", "arguments": {"city": "Oslo"}}';

scenario('a tool is called and its result is shown', async (stage) => {
	const model = await modelWithTool({});
	const { account, tab } = await beginWith(stage, model);
	await send(tab, QUESTION);
	await replyFinished(tab);
	await replyContains(tab, '"sky": "clear"');
	await messages(tab).last().getByText('Looking at Oslo').waitFor();
	const [, reply] = await branchOf(account, await chatId(tab));
	const result = reply.output.find((item) => item.type === 'function_call_output');
	assert.deepEqual(JSON.parse(result.output[0].text), { city: 'Oslo', sky: 'clear' });
	await messages(tab).last().getByText('View Result from weather').click();
	await messages(tab).last().getByText('Oslo', { exact: false }).first().waitFor();
	await stage.shot(tab, 'result');
});

scenario('a tool waits for consent', async (stage) => {
	const admin = await theAdmin();
	const settings = { ENABLE_CONTEXT_COMPACTION: false, CONTEXT_COMPACTION_PROMPT_TEMPLATE: '', ENABLE_TOOL_PERMISSIONS: true };
	await call('POST', '/api/v1/chats/config', { token: admin.token, body: settings });
	const model = await modelWithTool({ tool_approval_mode: 'ask' });
	const { account, tab } = await beginWith(stage, model);
	const status = async () => (await branchOf(account, await chatId(tab))).at(-1).output[0].status;
	await send(tab, QUESTION);
	await messages(tab).last().getByText('Allow weather?').waitFor();
	await stage.shot(tab, 'question');
	assert.equal(await status(), 'pending');
	// The question is still there when the page is loaded again.
	await tab.page.reload();
	await messages(tab).last().getByRole('button', { name: 'Allow', exact: true }).click();
	await replyContains(tab, '"sky": "clear"');
	await replyFinished(tab);
	assert.equal(await status(), 'completed');
	await send(tab, QUESTION);
	await messages(tab).last().getByRole('button', { name: 'Deny', exact: true }).click();
	await eventually(async () => assert.equal(await status(), 'rejected'));
});
