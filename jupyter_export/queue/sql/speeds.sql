-- name: add_speed(key, work, seconds, coded, beside, source, at)!
-- What an export took.
insert into speed (key, work, seconds, coded, beside, source, at)
values (:key, :work, :seconds, :coded, :beside, :source, :at);

-- name: latest_speeds(key, limit)
-- What the latest exports of a key took, the last one first.
select work, seconds, coded, beside, source
from speed where key = :key order by number desc limit :limit;

-- name: other_speeds(key, limit)
-- What the latest exports of other keys took, the last one first.
select work, seconds, coded, beside, source
from speed where key != :key order by number desc limit :limit;

-- name: trim_speeds(key, keep)!
-- Forget what is too old to count.
delete from speed
where
    key = :key
    and number not in (
        select number from speed where key = :key order by number desc limit :keep
    );
