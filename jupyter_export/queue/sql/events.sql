-- name: append_event(job_id, type, attempt, at, data)<!
-- One event; gives its number.
insert into event (job_id, type, attempt, at, data)
values (:job_id, :type, :attempt, :at, :data);

-- name: events_since(seq, limit)
-- What happened after `seq`, oldest first, with the spec that the events leave out.
select event.seq, event.job_id, event.type, event.attempt, event.at, event.data, job.spec
from event
left join job on job.id = event.job_id
where event.seq > :seq
order by event.seq
limit :limit;

-- name: last_seq()^
-- The number of the latest event ever, also of one that was trimmed.
select coalesce(max(seq), 0) from sqlite_sequence where name = 'event';

-- name: first_seq()^
-- The number of the oldest event that is still kept; null when none is.
select min(seq) from event;

-- name: trim_events(upto)!
-- Forget the oldest events.
delete from event where seq <= :upto;
