"""QIDO: searching for studies, series and instances.

What can be searched for and what is answered by default: Google's DICOM conformance statement. A search that finds
nothing answers 204 without a body, as was seen (GoogleCloudPlatform/healthcare-api-dicomweb-cli issue 44,
ImagingDataCommons/slim issue 51).
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ...core.errors import invalid
from ...http.routing import Routes
from ..instances import Instances
from ..stored import Path
from .accept import JSON, XML, Multipart, choose
from .common import READ, is_number, root, store_and_path
from .native_xml import native_xml

if TYPE_CHECKING:
    from ...http.call import Call

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets.dicomStores"

_STUDY = {
    "StudyInstanceUID": ("0020000D", "t.uid"),
    "PatientName": ("00100010", "t.patient_name"),
    "PatientID": ("00100020", "t.patient_id"),
    "AccessionNumber": ("00080050", "t.accession"),
    "ReferringPhysicianName": ("00080090", "t.referring"),
    "StudyDate": ("00080020", "t.study_date"),
}
_SERIES = {**_STUDY, "SeriesInstanceUID": ("0020000E", "s.uid"), "Modality": ("00080060", "s.modality")}
_INSTANCE = {**_SERIES, "SOPInstanceUID": ("00080018", "i.uid")}
#: What an instance may have of its own in place of what its series and study have.
_OWN = frozenset({"PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "StudyDate", "Modality"})
_DEFAULT_LIMIT = {"study": 100, "series": 100, "instance": 1000}
_MOST = {"study": 5000, "series": 5000, "instance": 50_000}
_LARGEST_OFFSET = 1_000_000
#: Attributes that the service was seen to refuse in ``includefield``: AvailableTransferSyntaxUID, which no instance has
#: (imi-bigpicture/wsidicom issue 141). Others that a level does not offer are left out of the answer: viewers that work
#: with the service ask for them.
_NOT_INCLUDED = frozenset({0x00083002})
_HEXADECIMAL = re.compile("[0-9A-Fa-f]{8}")
#: What can be asked for beyond the default attributes of studies and series; of instances, anything.
_MORE_KEYWORDS = {
    "study": """
        PersonIdentificationCodeSequence PersonAddress PersonTelephoneNumbers PersonTelecomInformation InstitutionName
        InstitutionAddress InstitutionCodeSequence ReferringPhysicianIdentificationSequence ConsultingPhysicianName
        ConsultingPhysicianIdentificationSequence IssuerOfAccessionNumberSequence LocalNamespaceEntityID
        UniversalEntityID UniversalEntityIDType StudyDescription PhysiciansOfRecord
        PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
        PhysiciansReadingStudyIdentificationSequence RequestingServiceCodeSequence ReferencedStudySequence
        ProcedureCodeSequence ReasonForPerformedProcedureCodeSequence
    """,
    "series": "SeriesNumber Laterality SeriesDate SeriesTime",
}


@dataclass(slots=True)
class _Search:
    level: str
    store: int
    conditions: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)
    include: set[str] = field(default_factory=set)
    everything: bool = False
    limit: int = 0
    offset: int = 0
    #: Instances are searched for by their own attributes, where they contradict those of their series and study.
    own: bool = False


@routes.method(f"{_PREFIX}.searchForStudies", blocking=True)
def studies(call: Call) -> Response:
    """Search for studies."""
    return _answer(call, "study")


@routes.method(f"{_PREFIX}.searchForSeries", f"{_PREFIX}.studies.searchForSeries", blocking=True)
def series(call: Call) -> Response:
    """Search for series, in the store or in a study."""
    return _answer(call, "series")


@routes.method(
    f"{_PREFIX}.searchForInstances",
    f"{_PREFIX}.studies.searchForInstances",
    f"{_PREFIX}.studies.series.searchForInstances",
    blocking=True,
)
def instances(call: Call) -> Response:
    """Search for instances, in the store, in a study or in a series."""
    return _answer(call, "instance")


def _answer(call: Call, level: str) -> Response:
    store, number, path = store_and_path(call, READ)
    form = choose(call, [(JSON, False), ("application/json", False), (XML, True)], (JSON, False))
    search = _parsed(call, level, number, path)
    found = _run(call.emulator.service(Instances), search, path)
    if not found:
        return Response(status_code=HTTPStatus.NO_CONTENT, media_type="text/html")
    if form.kind == XML:
        parts = Multipart(XML)
        body = b"".join(parts.part(XML) + native_xml(json.loads(text)) for text in found) + parts.end()
        return Response(body, media_type=parts.content_type)
    text = "[" + ",".join(found) + "]"
    base = root(call, store)
    if '"BulkDataURI":"bulkdata/' in text:
        text = text.replace('"BulkDataURI":"bulkdata/', f'"BulkDataURI":"{base}/bulkdata/')
    return Response(text, media_type=JSON)


def _parsed(call: Call, level: str, number: int, path: Path) -> _Search:
    """The search that a query describes.

    Raises:
        ApiError: 400 naming what is not understood.
    """
    known = {"study": _STUDY, "series": _SERIES, "instance": _INSTANCE}[level]
    by_tag = {tag: name for name, (tag, _) in known.items()}
    alias = {"study": "t", "series": "s", "instance": "i"}[level]
    search = _Search(level, number, limit=_DEFAULT_LIMIT[level])
    search.own = level == "instance" and call.emulator.service(Instances).contradicting(number)
    for value, column in ((path.study, "t.uid"), (path.series, "s.uid")):
        if value:
            search.conditions.append(f"{column} = ?")
            search.arguments.append(value)
    fuzzy = False
    filters: list[tuple[str, str]] = []
    for name, value in call.query.multi_items():
        match name:
            case "limit" | "offset":
                most = _MOST[level] if name == "limit" else _LARGEST_OFFSET
                if not is_number(value) or int(value) > most or (name == "limit" and int(value) < 1):
                    raise invalid(f"{name}={value!r}: a whole number of at most {most} is expected")
                setattr(search, name, int(value))
            case "fuzzymatching":
                if value not in ("true", "false"):
                    raise invalid(f"fuzzymatching={value!r}: true or false is expected")
                fuzzy = value == "true"
            case "includefield":
                for one in value.split(","):
                    if one == "all":
                        search.everything = True
                    else:
                        search.include.add(_tag(one))
            case "accept" | "alt" | "$alt" | "prettyPrint" | "key" | "quotaUser" | "access_token" | "fields":
                pass
            case _:
                keyword = by_tag.get(name.upper(), name)
                if keyword not in known:
                    raise invalid(
                        f"{name} is not a supported {level} attribute; there are {', '.join(known)}, and the "
                        "parameters limit, offset, includefield and fuzzymatching"
                    )
                filters.append((keyword, value))
    for keyword, value in filters:
        _add_filter(search, keyword, known[keyword][1], value, fuzzy=fuzzy)
    # The store is part of every index: it is compared in the table whose index is to be used.
    used = " ".join(search.conditions)
    index = next((table for table in ("i", "t", "s") if f"{table}." in used), alias)
    search.conditions.insert(0, f"{index}.store = ?")
    search.arguments.insert(0, number)
    return search


def _add_filter(search: _Search, keyword: str, column: str, value: str, *, fuzzy: bool) -> None:
    if search.own and keyword in _OWN:
        column = f"COALESCE(o.{column.partition('.')[2]}, {column})"
    if keyword == "StudyDate" and "-" in value:
        low, _, high = value.partition("-")
        for text, operator in ((low, ">="), (high, "<=")):
            if text and not (is_number(text) and len(text) == 8):
                raise invalid(f"StudyDate={value!r}: YYYYMMDD or a range YYYYMMDD-YYYYMMDD is expected")
            if text:
                search.conditions.append(f"{column} {operator} ?")
                search.arguments.append(text)
        if not low and not high:
            raise invalid("StudyDate: a range needs a beginning or an end")
        search.conditions.append(f"{column} != ''")
        return
    if keyword == "PatientName" and fuzzy and search.own:
        search.conditions.append(f"name_matches({column}, ?)")
        search.arguments.append(value)
        return
    if keyword == "PatientName" and fuzzy:
        search.conditions.append("t.id IN (SELECT id FROM studies WHERE store = ? AND name_matches(patient_name, ?))")
        search.arguments += [search.store, value]
        return
    search.conditions.append(f"{column} = ?")
    search.arguments.append(value)


def _tag(text: str) -> str:
    """An attribute named by tag or keyword, as eight hexadecimal digits.

    Raises:
        ApiError: 400 if there is none of that name, or none that can be had.
    """
    from pydicom.datadict import tag_for_keyword

    tag = int(text, 16) if _HEXADECIMAL.fullmatch(text) else tag_for_keyword(text)
    if tag is None or tag in _NOT_INCLUDED:
        raise invalid(f"unknown/unsupported QIDO attribute: {text}")
    return f"{tag:08X}"


def _run(instances: Instances, search: _Search, path: Path) -> list[str]:
    """The DICOM JSON objects that were found."""
    where = " AND ".join(search.conditions)
    tables = {
        "study": "studies t",
        "series": "series s JOIN studies t ON t.id = s.study",
        "instance": "instances i JOIN series s ON s.id = i.series JOIN studies t ON t.id = s.study",
    }[search.level]
    own = {"study": "t", "series": "s", "instance": "i"}[search.level]
    parts = {"study": "t.json, '', ''", "series": "t.json, s.json, ''", "instance": "t.json, s.json, i.json"}
    if search.own:
        tables += " LEFT JOIN own o ON o.id = i.id"
        parts["instance"] = "COALESCE(o.study_json, t.json), COALESCE(o.series_json, s.json), i.json"
    rows = instances.query(
        f"SELECT {own}.id, {parts[search.level]} FROM {tables} WHERE {where} ORDER BY {own}.id LIMIT ? OFFSET ?",  # noqa: S608 - constants
        (*search.arguments, search.limit, search.offset),
    )
    more = _further(instances, search, [row[0] for row in rows])
    found = []
    for number, *texts in rows:
        members: dict[str, Any] = {}
        for level, text in zip(("study", "series", "instance"), texts, strict=True):
            if level == search.level or not getattr(path, level):
                members.update(_members(text))
            elif text:
                members.update({tag: one for tag, one in _members(text).items() if tag in ("0020000D", "0020000E")})
        members.update(more.get(number, {}))
        found.append("{" + ",".join(members[tag] for tag in sorted(members)) + "}")
    return found


@lru_cache(maxsize=4096)
def _members(text: str) -> dict[str, str]:
    """The members of a DICOM JSON object by tag, each as text."""
    parsed = json.loads(f"{{{text}}}")
    return {tag: f'"{tag}":{json.dumps(one, ensure_ascii=False, separators=(",", ":"))}' for tag, one in parsed.items()}


@lru_cache
def _available(level: str) -> frozenset[str]:
    """What can be asked for of studies and series: tags as eight hexadecimal digits."""
    from pydicom.datadict import tag_for_keyword

    from ..dicom.reader import SERIES_TAGS, STUDY_TAGS

    tags = {*STUDY_TAGS, *(tag_for_keyword(keyword) or 0 for keyword in _MORE_KEYWORDS["study"].split())}
    if level == "series":
        tags |= {*SERIES_TAGS, *(tag_for_keyword(keyword) or 0 for keyword in _MORE_KEYWORDS["series"].split())}
    return frozenset(f"{tag:08X}" for tag in tags)


def _further(instances: Instances, search: _Search, ids: list[int]) -> dict[int, dict[str, str]]:
    """Members that were asked for beyond the default ones, by id. Those of a study are read from its first instance."""
    if not search.include and not search.everything:
        return {}
    first = {
        "study": "SELECT MIN(i.id) FROM series s JOIN instances i ON i.series = s.id WHERE s.study = ?",
        "series": "SELECT id FROM instances WHERE series = ? ORDER BY id LIMIT 1",
        "instance": "SELECT id FROM instances WHERE id = ?",
    }[search.level]
    available = None if search.level == "instance" else _available(search.level)
    more: dict[int, dict[str, str]] = {}
    for number in ids:
        members: dict[str, str] = {}
        for (one,) in instances.query(first, (number,)):
            for metadata in instances.metadata([one]).values():
                for tag, element in json.loads(zlib.decompress(metadata)).items():
                    # The file meta information is the file's, not the instance's.
                    if tag.startswith("0002"):
                        continue
                    if (search.everything or tag in search.include) and (available is None or tag in available):
                        text = json.dumps(element, ensure_ascii=False, separators=(",", ":"))
                        members[tag] = f'"{tag}":{text}'
        more[number] = members
    return more
