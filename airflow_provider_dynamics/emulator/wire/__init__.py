"""The server: TLS, requests and answers, batches, refusals and the controls of a test."""
