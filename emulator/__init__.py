"""A local Google Cloud: the APIs that DICOM imports and exports touch, on one loopback port."""
