-- The rows of the benchmark: runs, task instances, earlier tries, rendered fields, notes and event log entries.
-- Parameters: runs_per_dag. Nothing is random: the same sizes always give the same rows.

SET session_replication_role = replica; -- the rows are consistent by construction: no check of foreign keys
SET work_mem = '256MB';
SET maintenance_work_mem = '512MB';

CREATE FUNCTION pg_temp.draw(seed text, sides integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
    $$ SELECT (hashtext(seed)::bigint & 2147483647)::bigint %% sides $$;

-- Like Airflow's ids (UUID version 7): the first 48 bits are a time in milliseconds, the others differ.
CREATE FUNCTION pg_temp.uuid_at(moment timestamptz, seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0')
               || '7' || substr(md5(seed), 1, 3) || '8' || substr(md5(seed), 4, 15))::uuid $$;

CREATE TEMPORARY TABLE planned_run AS
SELECT
    dag.dag_id,
    day,
    version.id AS version_id,
    logical_date,
    mod(day, 10) = 9 AS is_manual,
    logical_date + interval '1 day' + make_interval(secs => pg_temp.draw(dag.dag_id || day, 3600)) AS started,
    CASE
        WHEN chance < 85 THEN 'success'
        WHEN chance < 95 THEN 'failed'
        WHEN chance < 98 THEN 'running'
        ELSE 'queued'
    END AS state
FROM dag
JOIN dag_version AS version ON version.dag_id = dag.dag_id
CROSS JOIN generate_series(0, %(runs_per_dag)s - 1) AS day
CROSS JOIN LATERAL (
    SELECT
        timestamptz '2024-02-01 00:00:00+00' + make_interval(days => day) AS logical_date,
        pg_temp.draw('state' || dag.dag_id || day, 100) AS chance
) AS drawn
ORDER BY day, dag.dag_id;

-- Indexes are built faster at once than row by row.
CREATE TEMPORARY TABLE dropped_index AS
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
FROM pg_index
WHERE indrelid = 'task_instance'::regclass
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid);

DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT dropped_index.name FROM dropped_index LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
END $$;

INSERT INTO dag_run (
    dag_id, run_id, run_type, state, logical_date, data_interval_start, data_interval_end, run_after, queued_at,
    start_date, end_date, last_scheduling_decision, created_at, updated_at, triggered_by, triggering_user_name, conf,
    context_carrier, log_template_id, created_dag_version_id
)
SELECT
    dag_id,
    CASE WHEN is_manual THEN 'manual__' ELSE 'scheduled__' END
        || to_char(logical_date AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00',
    CASE WHEN is_manual THEN 'manual' ELSE 'scheduled' END,
    state, logical_date, logical_date, logical_date + interval '1 day', logical_date + interval '1 day',
    started - interval '2 seconds',
    CASE WHEN state <> 'queued' THEN started END,
    CASE WHEN state IN ('success', 'failed') THEN started + interval '5 minutes' END,
    CASE WHEN state <> 'queued' THEN started + interval '5 minutes' END,
    started - interval '2 seconds', started + interval '5 minutes',
    CASE WHEN is_manual THEN 'REST_API' ELSE 'TIMETABLE' END,
    CASE WHEN is_manual THEN 'bench' END,
    CASE WHEN is_manual THEN jsonb_build_object('country', 'fr', 'day', day) ELSE '{}' END,
    '{"__var": {}, "__type": "dict"}',
    (SELECT max(id) FROM log_template),
    version_id
FROM planned_run
ORDER BY day, dag_id;

INSERT INTO task_instance (
    id, dag_id, task_id, run_id, map_index, state, start_date, end_date, duration, try_number, max_tries, hostname,
    unixname, pool, pool_slots, queue, priority_weight, operator, queued_dttm, scheduled_dttm, pid, executor_config,
    updated_at, context_carrier, task_display_name, dag_version_id
)
SELECT
    pg_temp.uuid_at(coalesce(began, queued_at), dag_id || run_id || task_id),
    dag_id, task_id, run_id, -1, state,
    began,
    CASE WHEN state IN ('success', 'failed') THEN began + make_interval(secs => seconds) END,
    CASE WHEN state IN ('success', 'failed') THEN seconds END,
    CASE WHEN began IS NULL THEN 0 WHEN pg_temp.draw('try' || dag_id || run_id || task_id, 20) = 0 THEN 2 ELSE 1 END,
    1,
    CASE WHEN began IS NULL THEN '' ELSE 'worker-' || position END,
    'airflow', 'default_pool', 1, 'default', 6 - position, 'BashOperator',
    began - interval '1 second', began - interval '2 seconds',
    CASE WHEN began IS NOT NULL THEN 1000 + position END,
    '\x80047d942e', -- an empty dict, pickled
    coalesce(began, queued_at), '{"__var": {}, "__type": "dict"}', task_id, created_dag_version_id
FROM (
    SELECT
        run.*, task.task_id, task.position, chosen.state,
        CASE WHEN chosen.state IN ('success', 'failed', 'running')
            THEN run.start_date + make_interval(secs => 60 * (task.position - 1))
        END AS began,
        1 + pg_temp.draw('seconds' || run.dag_id || run.run_id || task.task_id, 55000) / 1000.0 AS seconds
    FROM (SELECT id, dag_id, run_id, state AS run_state, start_date, queued_at, created_dag_version_id FROM dag_run) AS run
    CROSS JOIN unnest(ARRAY['extract', 'check', 'transform', 'load', 'report'])
        WITH ORDINALITY AS task (task_id, position)
    CROSS JOIN LATERAL (
        SELECT CASE run_state
            WHEN 'success' THEN CASE WHEN position = 2 AND mod(id, 20) = 0 THEN 'skipped' ELSE 'success' END
            WHEN 'failed' THEN (ARRAY['success', 'success', 'success', 'failed', 'upstream_failed'])[position]
            WHEN 'running' THEN (ARRAY['success', 'success', 'running', NULL, NULL])[position]
        END AS state
    ) AS chosen
    ORDER BY run.id, task.position
) AS planned;

DO $$ DECLARE definition text; BEGIN
    FOR definition IN SELECT dropped_index.definition FROM dropped_index LOOP EXECUTE definition; END LOOP;
END $$;

INSERT INTO task_instance_history (
    task_instance_id, dag_id, task_id, run_id, map_index, try_number, state, start_date, end_date, duration, max_tries,
    hostname, unixname, pool, pool_slots, queue, priority_weight, operator, queued_dttm, scheduled_dttm, pid,
    executor_config, updated_at, context_carrier, task_display_name, dag_version_id
)
SELECT
    pg_temp.uuid_at(start_date - interval '1 minute', 'first' || id), dag_id, task_id, run_id, map_index, 1, 'failed',
    start_date - interval '1 minute', start_date - interval '30 seconds', 30, max_tries, hostname, unixname, pool,
    pool_slots, queue, priority_weight, operator, queued_dttm - interval '1 minute',
    scheduled_dttm - interval '1 minute', pid, executor_config, start_date, context_carrier, task_display_name,
    dag_version_id
FROM task_instance
WHERE try_number = 2;

-- Airflow keeps the rendered fields of a task's last 30 runs.
INSERT INTO rendered_task_instance_fields (dag_id, task_id, run_id, map_index, rendered_fields)
SELECT
    dag_id, task_id, run_id, map_index,
    json_build_object('bash_command', 'echo ' || task_id || ' ' || run_id, 'env', NULL, 'cwd', NULL)
FROM task_instance
JOIN (
    SELECT dag_id, run_id, row_number() OVER (PARTITION BY dag_id ORDER BY logical_date DESC) AS age FROM dag_run
) AS recent USING (dag_id, run_id)
WHERE age <= 30;

INSERT INTO dag_run_note (dag_run_id, user_id, content, created_at, updated_at)
SELECT id, 'bench', 'Looked at on ' || run_after::date, run_after, run_after FROM dag_run WHERE mod(id, 50) = 0;

INSERT INTO log (dttm, dag_id, task_id, run_id, event, logical_date, owner, owner_display_name, extra, try_number)
SELECT
    run.queued_at, run.dag_id, CASE WHEN mod(entry, 3) = 0 THEN 'load' END, run.run_id,
    (ARRAY['success', 'failed', 'patch_dag_run', 'running', 'post_clear_task_instances'])[1 + mod(entry, 5)],
    run.logical_date, 'bench', 'bench',
    json_build_object('dag_id', run.dag_id, 'method', 'POST', 'entry', entry)::text,
    CASE WHEN mod(entry, 3) = 0 THEN 1 END
FROM generate_series(1, 5000) AS entry
JOIN dag_run AS run ON run.id = 1 + mod(entry * 7, (SELECT count(*) FROM dag_run));

UPDATE dag SET is_paused = mod(substr(dag_id, 7)::integer, 4) = 0;
