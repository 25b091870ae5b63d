"""The parts of a person name (DICOM PS3.5 6.2.1.2), as BigQuery and DICOM JSON call them."""

NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
