"""How requests are sent: the session and its retries, the pace, batches and change sets, and the guard of definitions."""
