"""Where processes of Airflow are kept alive: detached from the service, which may be restarted or killed meanwhile.

For each started instance there are two processes beside the component (`__main__.py`): a keeper, which starts it,
takes its output, starts it again and ends it (`keeper.py`), and the keeper's parent, a guardian, which has another
keeper go on where one was killed (`guardian.py`). What they know is in a folder of the instance (`folders.py`): a
record (`records.py`), the log (`log_files.py`), a lock that they hold as long as they live, and a pipe through which
they are told to end. `registry.py` is the room's door.

No library does this. supervisord and circus are one daemon for all, with a configuration and an address of their own;
when that daemon is killed, its children are forgotten, and the next one starts doubles. Both send signals to bare
process numbers. systemd, which does it well, is absent where most Airflows run: in containers.
"""
