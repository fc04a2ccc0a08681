-- Everything that the charts of the administration read of a message, in the order of time, so that they need not read
-- the messages themselves, which are long. New messages come to its end. Texts of any length have room in it here.
CREATE INDEX oui_idx_chat_message_charts ON chat_message (role, created_at, model_id, user_id, chat_id, usage);
