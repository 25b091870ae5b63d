"""How Google is called: connection, credentials, retries, errors, Cloud Storage, BigQuery, logs, metrics."""
