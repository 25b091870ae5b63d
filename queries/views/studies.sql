-- One row for each study.
SELECT
  StudyInstanceUID,
  ANY_VALUE({optional PatientID STRING}) AS PatientID,
  MAX({optional StudyDate DATE}) AS StudyDate,
  MAX({optional StudyTime TIME}) AS StudyTime,
  ANY_VALUE({optional AccessionNumber STRING}) AS AccessionNumber,
  ANY_VALUE({optional StudyDescription STRING}) AS StudyDescription,
  STRING_AGG(DISTINCT {optional Modality STRING}, ', ' ORDER BY {optional Modality STRING}) AS Modalities,
  COUNT(DISTINCT SeriesInstanceUID) AS SeriesCount,
  COUNT(DISTINCT SOPInstanceUID) AS InstanceCount
FROM `{table}`
GROUP BY StudyInstanceUID
