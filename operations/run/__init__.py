"""One run: check, start, resume, wait, verify, report, and whether it runs again."""
