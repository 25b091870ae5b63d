-- One row for each patient.
SELECT
  {optional PatientID STRING} AS PatientID,
  ANY_VALUE({optional PatientSex STRING}) AS PatientSex,
  MIN({optional PatientBirthDate DATE}) AS PatientBirthDate,
  MIN({optional StudyDate DATE}) AS FirstStudyDate,
  MAX({optional StudyDate DATE}) AS LastStudyDate,
  COUNT(DISTINCT StudyInstanceUID) AS StudyCount,
  COUNT(DISTINCT SOPInstanceUID) AS InstanceCount
FROM `{table}`
GROUP BY 1
