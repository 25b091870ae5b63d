"""What is in a DICOM file: reading it, its DICOM JSON, its BigQuery row. Imports pydicom, so it is imported late."""
