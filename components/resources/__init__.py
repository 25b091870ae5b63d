"""What is declared: datasets, DICOM stores, BigQuery datasets, buckets, topics, views."""
