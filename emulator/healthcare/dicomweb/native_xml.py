"""DICOM JSON as the XML of the Native DICOM Model (DICOM PS3.19 A.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_INVALID = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def native_xml(dataset: dict[str, Any], keywords: Mapping[str, str] | None = None) -> bytes:
    """A data set as an XML document.

    Args:
        dataset: a DICOM JSON object (DICOM PS3.18 F.2).
        keywords: of private attributes, by tag; where they are given, attributes that only name the creator are left
            out, whose name the others have.
    """
    return f"{_HEAD}{_attributes(dataset, keywords or {})}</NativeDicomModel>".encode()


def _attributes(dataset: dict[str, Any], keywords: Mapping[str, str]) -> str:
    creators = {
        tag[:4] + tag[6:]: (element.get("Value") or [""])[0]
        for tag, element in dataset.items()
        if int(tag[:4], 16) & 1 and tag[4:6] == "00"
    }
    return "".join(
        _attribute(tag, dataset[tag], creators, keywords)
        for tag in sorted(dataset)
        if not (keywords and int(tag[:4], 16) & 1 and tag[4:6] == "00")
    )


def _attribute(tag: str, element: dict[str, Any], creators: dict[str, str], keywords: Mapping[str, str]) -> str:
    from ..dicom.columns import column_for

    private = int(tag[:4], 16) & 1
    shown, more = tag, ""
    if private:
        creator = creators.get(tag[:6]) if tag[4:6] != "00" else None
        if creator:
            more = f' keyword="{keywords[tag]}"' if tag in keywords else ""
            shown, more = f"{tag[:4]}00{tag[6:]}", f"{more} privateCreator={quoteattr(_clean(str(creator)))}"
    else:
        keyword = column_for(int(tag, 16)).name
        more = f' keyword="{keyword}"' if not keyword.startswith("Tag_") else ""
    head = f'<DicomAttribute tag="{shown}" vr="{element.get("vr", "UN")}"{more}>'
    return f"{head}{_content(element, keywords)}</DicomAttribute>"


def _content(element: dict[str, Any], keywords: Mapping[str, str]) -> str:
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    if "InlineBinary" in element:
        return f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    parts = []
    for number, value in enumerate(element.get("Value") or [], 1):
        if value is None:
            continue
        if element.get("vr") == "SQ":
            parts.append(f'<Item number="{number}">{_attributes(value, keywords)}</Item>')
        elif isinstance(value, dict):
            parts.append(f'<PersonName number="{number}">{_name(value)}</PersonName>')
        else:
            parts.append(f'<Value number="{number}">{escape(_clean(str(value)))}</Value>')
    return "".join(parts)


def _name(groups: dict[str, str]) -> str:
    text = ""
    for group in ("Alphabetic", "Ideographic", "Phonetic"):
        if group in groups:
            values = groups[group].split("^")
            inner = "".join(
                f"<{part}>{escape(_clean(value))}</{part}>"
                for part, value in zip(_NAME_PARTS, values, strict=False)
                if value
            )
            text += f"<{group}>{inner}</{group}>"
    return text


def _clean(text: str) -> str:
    """Text without the characters that XML can't hold."""
    return _INVALID.sub("", text)
