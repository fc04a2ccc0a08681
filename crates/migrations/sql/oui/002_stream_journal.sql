-- Replies in flight. A row is written while a reply streams and removed when the reply is stored; what is found at
-- start belongs to replies that a crash interrupted, which are then completed from `state`. Times are seconds.
CREATE TABLE oui_stream_journal (
    message_id text NOT NULL PRIMARY KEY,
    chat_id text NOT NULL,
    user_id text NOT NULL,
    task_id text,
    state json,
    updated_at bigint NOT NULL
);
