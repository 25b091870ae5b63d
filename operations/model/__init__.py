"""What is asked and answered: requests, URIs, MIME types, durations, filters, outcomes."""
