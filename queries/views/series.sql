-- One row for each series.
SELECT
  StudyInstanceUID,
  SeriesInstanceUID,
  ANY_VALUE({optional PatientID STRING}) AS PatientID,
  ANY_VALUE({optional Modality STRING}) AS Modality,
  MIN(SAFE_CAST({optional SeriesNumber STRING} AS INT64)) AS SeriesNumber,
  ANY_VALUE({optional SeriesDescription STRING}) AS SeriesDescription,
  ANY_VALUE({optional BodyPartExamined STRING}) AS BodyPartExamined,
  ANY_VALUE({optional Manufacturer STRING}) AS Manufacturer,
  MAX({optional StudyDate DATE}) AS StudyDate,
  COUNT(DISTINCT SOPInstanceUID) AS InstanceCount
FROM `{table}`
GROUP BY StudyInstanceUID, SeriesInstanceUID
