-- name: has_meta()^
-- Whether the database has been set up at all.
select count(*) from sqlite_master where type = 'table' and name = 'meta';

-- name: get_meta(key)^
-- One fact about the database.
select value from meta where key = :key;

-- name: set_meta(key, value)!
-- Set one fact about the database.
insert into meta (key, value) values (:key, :value)
on conflict (key) do update set value = excluded.value;
