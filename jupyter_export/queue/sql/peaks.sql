-- name: add_peak(key, mib, at)!
-- What an export was measured to take.
insert into vram_peak (key, mib, at) values (:key, :mib, :at);

-- name: latest_peaks(key, limit)
-- What the latest exports of a key took.
select mib from vram_peak where key = :key order by number desc limit :limit;

-- name: trim_peaks(key, keep)!
-- Forget what is too old to count.
delete from vram_peak
where
    key = :key
    and number not in (
        select number from vram_peak where key = :key order by number desc limit :keep
    );
