-- name: insert_job(id, spec, kind, output, project, state, priority, attempt, failures, lost_workers, paused, cancel_requested, allow_duplicate, not_before, need, encoder, error, segments, total_frames, notes, part, result, idempotency_key, created_at, started_at, finished_at)!
-- A new job.
insert into job (
    id, spec, kind, output, project, state, priority, attempt, failures, lost_workers,
    paused, cancel_requested, allow_duplicate, not_before, need, encoder, error, segments,
    total_frames, notes, part, result, idempotency_key, created_at, started_at, finished_at
) values (
    :id, :spec, :kind, :output, :project, :state, :priority, :attempt, :failures, :lost_workers,
    :paused, :cancel_requested, :allow_duplicate, :not_before, :need, :encoder, :error, :segments,
    :total_frames, :notes, :part, :result, :idempotency_key, :created_at, :started_at, :finished_at
);

-- name: update_job(id, was_attempt, was_state, state, priority, attempt, failures, lost_workers, paused, cancel_requested, not_before, need, encoder, error, segments, total_frames, notes, part, result, started_at, finished_at)!
-- Every move of a job. No row is changed when another attempt, or another state, has come
-- in between: whoever asked was replaced.
update job set
    state = :state,
    priority = :priority,
    attempt = :attempt,
    failures = :failures,
    lost_workers = :lost_workers,
    paused = :paused,
    cancel_requested = :cancel_requested,
    not_before = :not_before,
    need = :need,
    encoder = :encoder,
    error = :error,
    segments = :segments,
    total_frames = :total_frames,
    notes = :notes,
    part = :part,
    result = :result,
    started_at = :started_at,
    finished_at = :finished_at
where id = :id and attempt = :was_attempt and state = :was_state;

-- name: delete_job(id)!
-- Forget a finished job.
delete from job where id = :id and state in ('completed', 'failed', 'cancelled');

-- name: outdated_jobs(keep, before, limit)
-- The oldest of those that finished before `before`, or before the `keep` latest.
select id from job
where
    finished_at < max(
        :before,
        coalesce(
            (
                select oldest.finished_at from job as oldest
                where oldest.finished_at is not null
                order by oldest.finished_at desc
                limit 1 offset :keep - 1
            ),
            ''
        )
    )
order by finished_at
limit :limit;

-- name: get_job(id)^
-- One job.
select * from job where id = :id;

-- name: job_by_key(key)^
-- The job that was submitted with this idempotency key.
select * from job where idempotency_key = :key;

-- name: live_by_output(output)^
-- The one live job that owns an output.
select * from job
where output = :output and state in ('queued', 'running', 'publishing');

-- name: live_by_project(project, kind, except_id)^
-- The oldest other live job of a project and kind. `+`: not by the project's index, which
-- leads through all that it has ever exported.
select * from job
where
    +project = :project
    and kind = :kind
    and id != :except_id
    and state in ('queued', 'running', 'publishing')
order by number
limit 1;

-- name: number_of(id)^
-- A job's place in the order of submission.
select number from job where id = :id;

-- name: list_jobs(before, limit)
-- A page of jobs, newest first, below the number `before`. One query for each filter, so that
-- each has its index, however long the history is.
select * from job
where number < :before
order by number desc
limit :limit;

-- name: list_jobs_of_state(state, before, limit)
-- A page of jobs in one state, newest first.
select * from job
where state = :state and number < :before
order by number desc
limit :limit;

-- name: list_jobs_of_project(project, state, before, limit)
-- A page of a project's jobs, newest first; null means any state.
select * from job
where
    number in (
        select number from job
        where
            project = :project
            and number < :before
            and (:state is null or state = :state)
        order by number desc
        limit :limit
    )
order by number desc;

-- name: active_jobs(project)
-- The live jobs, oldest first.
select * from job
where
    state in ('queued', 'running', 'publishing')
    and (:project is null or project = :project)
order by number;

-- name: recent_jobs(since, project)
-- What finished at `since` or later, the latest first.
select * from job
where finished_at >= :since and (:project is null or project = :project)
order by finished_at desc, number desc;

-- name: latest_finished(limit)
-- What finished last, the latest first; `+`: in the order of the index of ends.
select * from job
where finished_at is not null and +state in ('completed', 'failed', 'cancelled')
order by finished_at desc, number desc
limit :limit;

-- name: projects()
-- Every project with the state of its latest job.
select
    job.project as name,
    count(*) as jobs,
    (
        select latest.state from job as latest
        where latest.project = job.project
        order by latest.number desc
        limit 1
    ) as state
from job
where job.project is not null
group by job.project
order by job.project;

-- name: entries()
-- What the scheduler needs to know of each live job, without the large columns.
select number, id, project, state, priority, attempt, paused, cancel_requested, not_before, need
from job
where state in ('queued', 'running', 'publishing')
order by number;

-- name: count_queued()^
-- How many jobs wait.
select count(*) from job where state = 'queued';
