-- name: create_meta()!
-- One row per fact about the database as a whole: epoch, schema, queue.
create table meta (
    key text primary key,
    value text not null
) without rowid;

-- name: create_job()!
-- One row per export. `number` is the order of submission; times are ISO 8601 in UTC with
-- microseconds, so that they sort as text; spec, encoder, error, segments, notes and result
-- are JSON.
create table job (
    number integer primary key autoincrement,
    id text not null unique,
    spec text not null,
    kind text not null,
    output text not null,
    project text,
    state text not null check (
        state in ('queued', 'running', 'publishing', 'completed', 'failed', 'cancelled')
    ),
    priority integer not null,
    attempt integer not null,
    failures integer not null,
    lost_workers integer not null,
    paused integer not null,
    cancel_requested integer not null,
    allow_duplicate integer not null,
    not_before text,
    encoder text,
    error text,
    segments text not null,
    total_frames integer,
    notes text not null,
    part text,
    result text,
    idempotency_key text unique,
    created_at text not null,
    started_at text,
    finished_at text,
    check (state != 'publishing' or (part is not null and result is not null))
);

-- name: create_one_writer()!
-- The promise that two exports never write one file: one live job per output.
create unique index job_one_writer on job (output)
where state in ('queued', 'running', 'publishing');

-- name: create_live_index()!
-- The scheduler looks at live jobs only, however many have finished.
create index job_live on job (state, number)
where state in ('queued', 'running', 'publishing');

-- name: create_project_index()!
-- Lists of a project, and whether it is complete.
create index job_project on job (project, number);

-- name: create_finished_index()!
-- What finished lately.
create index job_finished on job (finished_at);

-- name: create_event()!
-- The event log, which the feed replays; AUTOINCREMENT, so that no number comes twice.
-- `data` is JSON: the job as it was then, without its spec.
create table event (
    seq integer primary key autoincrement,
    job_id text,
    type text not null,
    attempt integer,
    at text not null,
    data text not null
);

-- name: add_need()!
-- What a job needs of a GPU, as JSON; null when that is not known yet.
alter table job add column need text;

-- name: create_vram_peak()!
-- How much GPU memory exports took, by what their estimates go by: later estimates are better.
create table vram_peak (
    number integer primary key autoincrement,
    key text not null,
    mib integer not null,
    at text not null
);

-- name: create_state_index()!
-- The live jobs, however many have finished, and lists of one state.
create index job_state on job (state, number);

-- name: drop_live_index()!
-- The index of all states serves as well.
drop index job_live;

-- name: drop_project_index()!
-- Another takes its place.
drop index job_project;

-- name: create_project_state_index()!
-- Lists of a project, also of one state, and whether the project is complete.
create index job_project_state on job (project, number, state);

-- name: create_vram_peak_index()!
-- The latest peaks of a key.
create index vram_peak_key on vram_peak (key, number);

-- name: create_speed()!
-- How long exports took, beside what a machine of reference takes for the same (work, as JSON):
-- later estimates are better.
create table speed (
    number integer primary key autoincrement,
    key text not null,
    work text not null,
    seconds real not null,
    coded real not null,
    beside real not null,
    source text not null,
    at text not null
);

-- name: create_speed_index()!
-- The latest exports of a key.
create index speed_key on speed (key, number);
