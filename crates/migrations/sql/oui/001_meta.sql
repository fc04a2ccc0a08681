-- What has been applied of the files in this folder.
CREATE TABLE oui_migration (
    version bigint NOT NULL PRIMARY KEY,
    name text NOT NULL,
    applied_at bigint NOT NULL
);

-- Marks of this installation, one value per key.
CREATE TABLE oui_meta (
    key text NOT NULL PRIMARY KEY,
    value text
);
