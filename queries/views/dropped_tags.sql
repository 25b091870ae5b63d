-- What the export left out, one row for each element of each instance: pixel data and other binary elements, and
-- values that did not fit their column.
SELECT
  StudyInstanceUID,
  SeriesInstanceUID,
  SOPInstanceUID,
  Dropped.TagName,
  Dropped.TagReference
FROM `{table}`,
  UNNEST({optional DroppedTags ARRAY<STRUCT<TagName STRING, TagReference STRING>>}) AS Dropped
