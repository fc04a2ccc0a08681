//! Work that models give away: sub-agents and timers, their limits, and what is left of them after a crash.

use std::time::Duration;

use oui_fake_provider::{Ending, Part, Plan, Reply, Script};
use oui_models::chat_edits::{self, NewChat};
use oui_models::stream_journal::JournalRow;
use oui_models::{chats, timers};
use oui_testkit::{Client, both};
use serde_json::{Value, json};

use crate::tools::{ask, reply};

fn call(name: &str, arguments: Value) -> Part {
    Part::ToolCall {
        name: name.into(),
        arguments,
    }
}

async fn switch_on(client: &Client, more: Value) {
    let mut settings = json!({
        "ENABLE_SUBAGENTS": true, "SUBAGENTS_BACKGROUND_ENABLED": true, "SUBAGENTS_MAX_CONCURRENT": 20,
        "SUBAGENTS_MAX_ASYNC": 20, "SUBAGENTS_MAX_ITERATIONS": 30, "SUBAGENTS_MAX_OUTPUT": 30000,
        "SUBAGENTS_SYSTEM_PROMPT": "You help.",
    });
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    client.post("/api/v1/configs/subagents", settings).await.ok();
}

/// The messages of a chat, once one of them satisfies the condition.
async fn until(client: &Client, chat_id: &str, found: impl Fn(&Value) -> bool) -> (Value, Value) {
    for _ in 0..400 {
        let chat = client.get(&format!("/api/v1/chats/{chat_id}")).await.ok();
        let messages = chat["chat"]["history"]["messages"].clone();
        if let Some(message) = messages
            .as_object()
            .unwrap()
            .values()
            .find(|message| found(message))
        {
            return (message.clone(), messages.clone());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the message does not come");
}

fn results(reply: &Value) -> Vec<&str> {
    let items = reply["output"].as_array().unwrap().iter();
    let results = items.filter(|item| item["type"] == "function_call_output");
    results
        .map(|item| item["output"][0]["text"].as_str().unwrap())
        .collect()
}

fn said(text: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["role"] == "assistant" && message["content"] == text && message["done"] == true
}

both! {
    async fn sub_agents_work_side_by_side_and_hidden(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({})).await;
        app.provider.script(Script::parts([
            call("delegate_task", json!({"task": "Count wrens"})),
            call("get_current_timestamp", json!({})),
            call("delegate_task", json!({"task": "Count owls", "context": "At night"})),
        ]));
        app.provider.script(Script::text("A sub-agent's result."));
        app.provider.script(Script::text("A sub-agent's result."));
        app.provider.script(Script::text("Counted."));
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        let results = results(&reply);
        assert_eq!((results[0], results[2]), ("A sub-agent's result.", "A sub-agent's result."));
        assert!(results[1].contains("current_timestamp"), "{reply}");
        assert_eq!(reply["content"], "Counted.");
        let listed = admin.get("/api/v1/chats/").await.ok();
        assert_eq!(listed.as_array().unwrap().len(), 1, "sub-agents' chats are hidden");
        let sent = app.provider.requests_to("/v1/chat/completions");
        let tools_of = |at: usize| {
            let tools = sent[at].body["tools"].as_array().cloned().unwrap_or_default();
            tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(tools_of(0).contains(&"delegate_task".to_owned()) && tools_of(0).contains(&"timer".to_owned()));
        assert!(!tools_of(1).contains(&"delegate_task".to_owned()), "sub-agents have none of their own");
        assert_eq!(sent[1].body["messages"][0]["content"], "You help.");
        let tasks: Vec<&Value> = sent[1..3].iter().map(|request| &request.body["messages"][1]["content"]).collect();
        assert!(tasks.contains(&&json!("Count owls\n\n## Context\nAt night")), "{tasks:?}");
    }

    async fn sub_agents_have_limits(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({"SUBAGENTS_MAX_ITERATIONS": 1, "SUBAGENTS_MAX_OUTPUT": 5, "SUBAGENTS_MAX_ASYNC": 1})).await;
        app.provider.script(Script::tool_call("delegate_task", json!({"task": "Talk"})));
        app.provider.script(Script::text("Much too long."));
        app.provider.script(Script::tool_call("delegate_task", json!({"task": "Loop"})));
        app.provider.script(Script::tool_call("get_current_timestamp", json!({})));
        app.provider.script(Script::tool_call("get_current_timestamp", json!({})));
        app.provider.script(Script::text("Done."));
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        let results = results(&reply);
        assert_eq!(results[0], "Much \n\n[output truncated]");
        assert_eq!(results[1], "Error: Tool-call limit reached (1 iterations).");
    }

    async fn a_result_from_the_background_is_answered_when_the_chat_is_idle(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({})).await;
        let first = Script::tool_call("delegate_task", json!({"task": "Count wrens", "background": true}));
        app.provider.script(first.for_model("tools"));
        app.provider.script(Script::text("In the background."));
        app.provider.script(Script::text("In the background."));
        app.provider.script(Script::text("So there are two."));
        let chat_id = ask(&admin, json!({})).await;
        let (last, messages) = until(&admin, &chat_id, said("So there are two.")).await;
        let told = &messages[last["parentId"].as_str().unwrap()];
        assert_eq!((&told["meta"]["internal"], &told["meta"]["type"]), (&json!(true), &json!("subagent")));
        let text = told["content"].as_str().unwrap();
        assert!(text.contains("Original task: Count wrens") && text.contains("In the background."), "{text}");
        assert_eq!(told["parentId"], "answer");
        let dispatched: Value = serde_json::from_str(results(&messages["answer"])[0]).unwrap();
        assert_eq!((&dispatched["status"], &dispatched["task"]), (&json!("dispatched"), &json!("Count wrens")));
        let hidden = chats::by_id(app.db(), dispatched["subagent_chat_id"].as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(hidden.meta_object()["parent_chat_id"], chat_id.as_str());
        assert_eq!(told["meta"]["delegation_id"], dispatched["delegation_id"]);
    }

    async fn stopping_a_chat_stops_its_sub_agent(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({})).await;
        app.provider.script(Script::tool_call("delegate_task", json!({"task": "Wait"})));
        app.provider.script(Script::reply(Reply::Plan(Plan::texts(["well"]).ending(Ending::Hang))));
        let chat_id = ask(&admin, json!({})).await;
        let child = loop {
            let tasks = admin.get("/api/tasks").await.ok();
            if tasks["tasks"].as_array().unwrap().len() == 2 {
                break app.provider.requests_to("/v1/chat/completions").len();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(child >= 1);
        admin.post(&format!("/api/tasks/chat/{chat_id}/stop"), json!({})).await.ok();
        for _ in 0..200 {
            if admin.get("/api/tasks").await.ok()["tasks"] == json!([]) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(admin.get("/api/tasks").await.ok()["tasks"], json!([]));
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!((&reply["done"], &reply["output"][0]["status"]), (&json!(true), &json!("incomplete")));
    }

    async fn a_timer_comes_back_into_its_chat(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({})).await;
        app.provider.script(Script::tool_call("timer", json!({"prompt": "Is it there?", "at": "1s"})));
        app.provider.script(Script::text("Set."));
        app.provider.script(Script::text("It is."));
        let chat_id = ask(&admin, json!({})).await;
        let (last, messages) = until(&admin, &chat_id, said("It is.")).await;
        let prompt = &messages[last["parentId"].as_str().unwrap()];
        assert_eq!((&prompt["content"], &prompt["parentId"]), (&json!("Is it there?"), &json!("answer")));
        let timer = prompt["meta"]["timer_id"].as_str().unwrap();
        let timer = chats::by_id(app.db(), timer).await.unwrap().unwrap();
        assert_eq!((timer.timer_at, &timer.meta_object()["status"]), (None, &json!("completed")));
    }

    async fn a_word_of_the_user_calls_a_timer_off(app: TestApp) {
        let admin = app.admin().await;
        switch_on(&admin, json!({})).await;
        let at = json!({"prompt": "Still there?", "at": "1h", "cancel_on": ["chat.user_message"]});
        app.provider.script(Script::tool_call("timer", at));
        app.provider.script(Script::text("Set."));
        let chat_id = ask(&admin, json!({})).await;
        reply(&admin, &chat_id, "answer").await;
        let pending = "WHERE timer_at IS NOT NULL";
        assert_eq!(chats::ChatRow::count(app.db(), pending, vec![]).await.unwrap(), 1);
        let again = json!({
            "stream": true, "model": "tools", "session_id": "tab", "id": "answer2", "parent_id": "answer", "chat_id": chat_id,
            "user_message": {"id": "question2", "parentId": "answer", "childrenIds": ["answer2"], "role": "user",
                "content": "And?", "timestamp": 2, "models": ["tools"]},
            "background_tasks": {},
        });
        app.provider.script(Script::text("Yes."));
        admin.post("/api/chat/completions", again).await.ok();
        reply(&admin, &chat_id, "answer2").await;
        assert_eq!(chats::ChatRow::count(app.db(), pending, vec![]).await.unwrap(), 0);
    }

    async fn a_timer_that_was_due_while_nobody_ran_goes_off_later_and_once(app: TestApp) {
        let admin = app.admin().await;
        app.provider.script(Script::text("Hello."));
        let chat_id = ask(&admin, json!({})).await;
        reply(&admin, &chat_id, "answer").await;
        let chat = chats::by_id(app.db(), &chat_id).await.unwrap().unwrap();
        let document = json!({"title": "Timer: x", "history": {"currentId": "t", "messages": {
            "t": {"id": "t", "role": "user", "content": "Late?", "parentId": null, "childrenIds": []}}}});
        // As a server leaves it that died after it had claimed the timer.
        let meta = json!({
            "internal": true, "type": "timer", "parent_chat_id": chat_id, "status": "running", "timer_claim_id": "dead",
            "timer_at": 5, "timer_task_message_id": "t", "run": {"model_id": "tools"},
        });
        app.provider.script(Script::text("Late."));
        let new = NewChat {
            id: "timer-1".into(),
            user_id: chat.user_id.unwrap(),
            document: document.as_object().cloned().unwrap(),
            meta: meta.as_object().cloned().unwrap(),
            timer_at: Some(5),
            ..NewChat::default()
        };
        let other = app.beside(&[]).await;
        chat_edits::create(app.db(), new).await.unwrap();
        let (_, messages) = until(&admin, &chat_id, |message| message["role"] == "assistant" && message["id"] != "answer" && message["done"] == true).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let (_, after) = until(&admin, &chat_id, said("Hello.")).await;
        assert_eq!(after.as_object().unwrap().len(), messages.as_object().unwrap().len(), "it went off once");
        assert_eq!(messages.as_object().unwrap().len(), 4);
        assert!(timers::claim_due(app.db(), 10).await.unwrap().is_empty());
        other.stop().await;
    }

    async fn a_sub_agent_cut_off_by_a_crash_is_told_of(app: TestApp) {
        let admin = app.admin().await;
        app.provider.script(Script::text("Hello."));
        let chat_id = ask(&admin, json!({})).await;
        reply(&admin, &chat_id, "answer").await;
        let owner = chats::by_id(app.db(), &chat_id).await.unwrap().unwrap().user_id.unwrap();
        let document = json!({"title": "Sub-agent: x", "models": ["tools"], "history": {"currentId": "r", "messages": {
            "t": {"id": "t", "role": "user", "content": "Count owls", "parentId": null, "childrenIds": ["r"]},
            "r": {"id": "r", "role": "assistant", "content": "", "done": false, "parentId": "t", "childrenIds": [], "model": "tools"}}}});
        let meta = json!({
            "internal": true, "type": "subagent", "mode": "background", "parent_chat_id": chat_id,
            "parent_message_id": "answer", "delegation_id": "deleg_1",
        });
        let new = NewChat {
            id: "agent-1".into(),
            user_id: owner.clone(),
            document: document.as_object().cloned().unwrap(),
            meta: meta.as_object().cloned().unwrap(),
            ..NewChat::default()
        };
        chat_edits::create(app.db(), new).await.unwrap();
        let row = JournalRow {
            message_id: "r".into(), chat_id: "agent-1".into(), user_id: owner, task_id: "gone".into(), updated_at: 1,
            state: Some(json!({"output": [{"type": "message", "id": "m", "status": "in_progress", "role": "assistant",
                "content": [{"type": "output_text", "text": "One owl so far"}]}]})),
        };
        row.insert(app.db()).await.unwrap();
        app.provider.script(Script::text("A pity."));
        assert_eq!(app.running().app.chat.recover().await.unwrap(), 1);
        let (last, messages) = until(&admin, &chat_id, said("A pity.")).await;
        let told = messages[last["parentId"].as_str().unwrap()]["content"].as_str().unwrap();
        assert!(told.contains("interrupted") && told.contains("One owl so far") && told.contains("Count owls"), "{told}");
    }
}
