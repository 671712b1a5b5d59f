"""What `airflow dynamics …` does, one file a command.

The files import freely, since `cli` names them by text and only the command that is run is imported.
"""
