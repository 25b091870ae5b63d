-- Which images does this patient have?
--
-- Parameters: @patient_id STRING, the patient's ID as it stands in the images.
-- Reads the table of a metadata export with the flattened schema. Every column is one that the images of any
-- modality have (DICOM PS3.3, types 1 and 2), so the table has it as soon as it holds images.
-- InstanceNumber is text in DICOM (VR IS), so it is made a number to sort by.
SELECT
  StudyDate,
  StudyInstanceUID,
  Modality,
  SeriesInstanceUID,
  SAFE_CAST(InstanceNumber AS INT64) AS InstanceNumber,
  SOPInstanceUID
FROM `{table}`
WHERE PatientID = @patient_id
ORDER BY StudyDate, StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID
