"""The page in Airflow's UI where people see how each connection signs in, and sign in themselves.

Nothing is imported here: Airflow imports the plugin in every process, and only its API server serves the page.
"""
