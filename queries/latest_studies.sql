-- Which studies are the latest?
--
-- Parameters: @limit INT64, how many studies to show.
-- Reads the table of a metadata export with the flattened schema; the columns are those that images of any modality
-- have (DICOM PS3.3, types 1 and 2). Instances are counted by UID: a table that is appended to holds them repeatedly.
SELECT
  MAX(StudyDate) AS Date,
  MAX(StudyTime) AS Time,
  ANY_VALUE(PatientID) AS PatientID,
  STRING_AGG(DISTINCT Modality, ', ' ORDER BY Modality) AS Modalities,
  COUNT(DISTINCT SeriesInstanceUID) AS Series,
  COUNT(DISTINCT SOPInstanceUID) AS Instances,
  StudyInstanceUID
FROM `{table}`
GROUP BY StudyInstanceUID
ORDER BY Date DESC NULLS LAST, Time DESC NULLS LAST, StudyInstanceUID
LIMIT @limit
