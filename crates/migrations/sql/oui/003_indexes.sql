-- Lookups that the original schema leaves to full scans. Plain columns only: the original must be able to read and
-- write these tables, and its own later migrations must be able to rebuild them.
CREATE INDEX oui_idx_message_channel ON message (channel_id, created_at);
CREATE INDEX oui_idx_message_parent ON message (parent_id);
CREATE INDEX oui_idx_message_reaction_message ON message_reaction (message_id);
CREATE INDEX oui_idx_channel_member_channel_user ON channel_member (channel_id, user_id);
CREATE INDEX oui_idx_channel_member_user ON channel_member (user_id);
CREATE INDEX oui_idx_channel_webhook_channel ON channel_webhook (channel_id);
CREATE INDEX oui_idx_folder_user_parent ON folder (user_id, parent_id);
CREATE INDEX oui_idx_file_user ON file (user_id);
CREATE INDEX oui_idx_note_user ON note (user_id);
CREATE INDEX oui_idx_feedback_user ON feedback (user_id);
CREATE INDEX oui_idx_shared_chat_chat ON shared_chat (chat_id);
