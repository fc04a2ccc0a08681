-- What the charts of the administration read of a message, but for the usage: a column of type json can not be part of
-- an index, and beside the columns of one it would refuse messages whose usage is long.
CREATE INDEX oui_idx_chat_message_charts ON chat_message (role, created_at, model_id, user_id, chat_id);
