-- Limits on what people may use of models. `subject_type` is everyone, user or group; `subject_id` and `model_id` are `*`
-- where they do not choose. `amount` and `used` are numbers of messages or tokens, costs in billionths. Times are seconds.
CREATE TABLE oui_quota (
    id text NOT NULL PRIMARY KEY,
    name text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    model_id text NOT NULL,
    metric text NOT NULL,
    period text NOT NULL,
    amount bigint NOT NULL,
    shared bigint NOT NULL,
    enabled bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

-- What a million tokens of a model cost.
CREATE TABLE oui_model_price (
    model_id text NOT NULL PRIMARY KEY,
    input double precision NOT NULL,
    output double precision NOT NULL,
    updated_at bigint NOT NULL
);

-- What was used of a limit in a period, by one person or, where the limit is shared, by all together (`*`).
CREATE TABLE oui_quota_usage (
    quota_id text NOT NULL,
    holder text NOT NULL,
    period_start bigint NOT NULL,
    used bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (quota_id, holder, period_start)
);
CREATE INDEX oui_idx_quota_usage_holder ON oui_quota_usage (holder, period_start);
