-- What the export left out, one row for each element of each instance: pixel data, other binary elements and what is
-- nested too deeply. Elements over about 1 MB are left out without being listed; text that fits no column is in
-- OtherElements. TagReference is empty at the top of an instance.
SELECT
  StudyInstanceUID,
  SeriesInstanceUID,
  SOPInstanceUID,
  Dropped.TagName,
  Dropped.TagReference
FROM `{table}`,
  UNNEST({optional DroppedTags ARRAY<STRUCT<TagName STRING, TagReference STRING>>}) AS Dropped
