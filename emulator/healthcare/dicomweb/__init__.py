"""DICOMweb: STOW, QIDO, WADO and deletes of one DICOM store (DICOM PS3.18 and Google's conformance statement)."""
