"""Where the code of DAGs runs for a test or a rendering: in a process of its own, bounded, which leaves nothing behind.

The service starts a warden for each trial (`attempt.py`), the warden starts and bounds the child (`warden.py`), and the
child does with the task what a worker does with it, against a server that remembers nothing (`child/`). In contrast to
the sandbox, where files of callers are parsed, the child has Airflow's configuration, its database and its connections:
it runs what a worker of this installation would run.
"""
