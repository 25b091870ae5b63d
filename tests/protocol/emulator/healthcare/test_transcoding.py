"""Other transfer syntaxes through WADO and exports, and what happens when a decoder crashes or does not come to an end.

Which pixels come out is held by the unit tests; here the way there is: Accept, processes, failures.
"""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from emulator.healthcare import forms, pool
from emulator.healthcare.dicom.pixels import UnsupportedError
from emulator.healthcare.dicom.worker import send
from emulator.server.server import LocalEmulator

Client = Any
EXPLICIT, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
JPEG_2000, RLE, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.201"
MR = Path(str(get_testdata_file("MR_small.dcm", download=False)))
RLE_FILE = Path(str(get_testdata_file("SC_rgb_rle_2frame.dcm", download=False)))


def dataset_of(source: Path | bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(source if isinstance(source, Path) else io.BytesIO(source))


def address(ready: Client, source: Path) -> str:
    one = dataset_of(source)
    where = f"studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"
    return f"{ready.store}/dicomWeb/{where}"


@pytest.fixture
def filled(ready: Client) -> Client:
    for source in (MR, RLE_FILE):
        kind = {"Content-Type": "application/dicom"}
        assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", source.read_bytes(), kind)[0] == 200
    return ready


def get(ready: Client, path: str, accept: str) -> tuple[int, dict[str, str], bytes]:
    found: tuple[int, dict[str, str], bytes] = ready.raw("GET", path, None, {"Accept": accept})
    return found


def fresh_pool(local: LocalEmulator) -> pool.PixelPool:
    """The pool that decodes, without processes of earlier tests."""
    pixels = local.emulator.service(pool.PixelPool)
    pixels._workers._end_idle()
    return pixels


# -- Accept --


@pytest.mark.parametrize(
    "accept",
    [
        f"application/dicom; transfer-syntax={HTJ2K}",
        "application/dicom; transfer-syntax=1.2.3",
        "image/jpeg",
        "text/*",
        'multipart/related; type="text/*"',
    ],
)
def test_an_instance_that_can_not_be_had_that_way_answers_406(filled: Client, accept: str) -> None:
    status, _, answer = get(filled, address(filled, MR), accept)
    assert status == 406, answer


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE])
def test_an_instance_is_answered_in_the_accepted_transfer_syntax(filled: Client, syntax: str) -> None:
    status, headers, answer = get(filled, address(filled, MR), f"application/dicom; transfer-syntax={syntax}")
    assert (status, headers["content-type"]) == (200, f"application/dicom; transfer-syntax={syntax}")
    made = dataset_of(answer)
    assert made.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(made.pixel_array, dataset_of(MR).pixel_array)


def test_what_is_accepted_is_tried_in_the_order_of_its_weight(filled: Client) -> None:
    kind = "application/dicom; transfer-syntax="
    accept = f"{kind}{EXPLICIT}; q=0.1, {kind}{JPEG_LS}; q=0.5, {kind}{HTJ2K}; q=0.9"
    assert dataset_of(get(filled, address(filled, MR), accept)[2]).file_meta.TransferSyntaxUID == JPEG_LS


def test_studies_are_transcoded_whole(filled: Client) -> None:
    study = address(filled, RLE_FILE).partition("/series/")[0]
    status, headers, answer = get(
        filled, study, f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_LS}'
    )
    assert status == 200
    assert int(headers["content-length"]) == len(answer)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert f"application/dicom; transfer-syntax={JPEG_LS}".encode() in head
    made = dataset_of(rest[: rest.rindex(b"\r\n--")])
    assert np.array_equal(made.pixel_array, dataset_of(RLE_FILE).pixel_array)


@pytest.mark.parametrize(
    ("accept", "kind", "syntax"),
    [
        ('multipart/related; type="image/jls"', "image/jls", JPEG_LS),
        ("image/jls", "image/jls", JPEG_LS),
        (f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}', "image/jp2", JPEG_2000),
        ("image/jpeg", "image/jpeg", JPEG_LOSSLESS),
        ("image/dicom-rle", "image/dicom-rle", RLE),
        ("application/x-deflate", "application/x-deflate", "1.2.840.10008.1.2.8.1"),
        ("image/dicom-*, image/dicom-rle", "image/dicom-rle", RLE),
        ("application/octet-stream; transfer-syntax=*", "image/dicom-rle", RLE),
        ("*/*", "application/octet-stream", EXPLICIT),
    ],
)
def test_frames_are_answered_in_the_accepted_form(filled: Client, accept: str, kind: str, syntax: str) -> None:
    status, headers, answer = get(filled, f"{address(filled, RLE_FILE)}/frames/2", accept)
    assert status == 200, answer
    assert f"{kind}; transfer-syntax={syntax}" in headers["content-type"] + answer.decode("latin-1")


def test_frames_of_large_instances_are_cut_out_in_another_process(
    filled: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "_LARGE", 100)
    pixels = fresh_pool(filled.local)
    _, _, answer = get(filled, f"{address(filled, MR)}/frames/1", "application/octet-stream")
    assert answer == dataset_of(MR).PixelData
    assert len(pixels._workers._idle) == 1


def test_frames_that_can_not_be_had_that_way_answer_406(filled: Client) -> None:
    frame = f"{address(filled, RLE_FILE)}/frames/2"
    for accept in (
        f"image/jls; transfer-syntax={JPEG_2000}",
        f"image/jphc; transfer-syntax={HTJ2K}",
        "image/png",
        f"application/octet-stream; transfer-syntax={JPEG_LS}",
    ):
        assert get(filled, frame, accept)[0] == 406
    assert get(filled, f"{address(filled, RLE_FILE)}/frames/1,2", "image/jls")[0] == 406


def test_pictures_take_any_kind_of_image(filled: Client) -> None:
    assert get(filled, f"{address(filled, MR)}/rendered", "image/*")[1]["content-type"] == "image/jpeg"
    status, _, answer = get(filled, f"{address(filled, MR)}/rendered", "image/gif, image/png; q=0.2")
    assert (status, answer[1:4]) == (200, b"PNG")


BAD_VIEWPORTS = ["x", "1", "0,5", "5,0", "-1,5", "10001,5", "1,2,3,4,5,6,7", "5,5,nan", "5,5,1e99", "5,5,x"]


@pytest.mark.parametrize("viewport", BAD_VIEWPORTS)
def test_a_viewport_that_is_none_is_refused(filled: Client, viewport: str) -> None:
    assert filled.refused("GET", f"{address(filled, MR)}/rendered?viewport={viewport}")[0] == 400


# -- exports --


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE])
def test_exports_are_in_the_transfer_syntax_that_was_asked_for(filled: Client, syntax: str) -> None:
    filled.bucket("out-1", {}, "roles/storage.objectAdmin")
    destination = {"uriPrefix": "gs://out-1", "mimeType": f"application/dicom; transfer-syntax={syntax}"}
    assert filled.run("export", {"gcsDestination": destination})["metadata"]["counter"] == {"success": "2"}
    for data in filled.objects("out-1").values():
        made = dataset_of(data)
        source = MR if made.SOPInstanceUID == dataset_of(MR).SOPInstanceUID else RLE_FILE
        assert made.file_meta.TransferSyntaxUID == syntax
        assert np.array_equal(made.pixel_array, dataset_of(source).pixel_array)


def test_exported_frames_have_no_extension(filled: Client) -> None:
    filled.bucket("out-1", {}, "roles/storage.objectAdmin")
    destination = {"uriPrefix": "gs://out-1/x/", "mimeType": f"application/octet-stream; transfer-syntax={EXPLICIT}"}
    assert filled.run("export", {"gcsDestination": destination})["metadata"]["counter"] == {"success": "2"}
    several = dataset_of(RLE_FILE)
    base = f"x/{several.StudyInstanceUID}/{several.SeriesInstanceUID}/{several.SOPInstanceUID}"
    objects = filled.objects("out-1")
    assert [objects[f"{base}/{number}"] for number in (1, 2)] == [frame.tobytes() for frame in several.pixel_array]
    assert len(objects) == 3


# -- processes --


def test_a_decoder_that_does_not_come_to_an_end_is_ended(
    emulator: LocalEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PIXEL_SECONDS", 0.5)
    os.mkfifo(tmp_path / "endless")  # nobody writes to it, so reading it takes forever
    pixels = fresh_pool(emulator)
    with pytest.raises(UnsupportedError, match=r"within 0\.5 s"):
        pixels.do("transcode", tmp_path / "endless", RLE)
    monkeypatch.setattr(pool, "PIXEL_SECONDS", 60)
    assert dataset_of(pixels.do("transcode", MR, RLE)).file_meta.TransferSyntaxUID == RLE


def test_a_process_whose_emulator_is_gone_ends_by_itself(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    program = "from emulator.healthcare.dicom import worker; worker.ALARM_SECONDS = 1; worker.main('pixels')"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(pool.__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    send(process.stdin, ("transcode", (tmp_path / "endless", RLE)))  # type: ignore[arg-type]
    process.stdin.close()
    assert process.wait(30) == -signal.SIGALRM
    process.stdout.close()


def test_requests_that_wait_for_pixels_hold_no_other_up(
    filled: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PIXEL_SECONDS", 0.5)
    os.mkfifo(tmp_path / "endless")
    monkeypatch.setattr(forms, "source_of", lambda *_: tmp_path / "endless")
    waiting = [threading.Thread(target=get, args=(filled, f"{address(filled, MR)}/rendered", "*/*")) for _ in range(12)]
    for thread in waiting:
        thread.start()
    # Listing and storing are done by the threads that requests share, of which there are fewer than twelve.
    for _ in range(20):
        assert len(filled.ok("GET", f"{filled.store}/dicomWeb/instances")) == 2
    assert any(thread.is_alive() for thread in waiting)
    for thread in waiting:
        thread.join()


def test_a_decoder_that_crashes_spoils_one_instance_and_nothing_else(emulator: LocalEmulator, tmp_path: Path) -> None:
    pixels = fresh_pool(emulator)
    assert pixels.do("frames", MR, [1], RLE)
    (worker,) = pixels._workers._idle
    os.mkfifo(tmp_path / "crash")
    # The process that is about to be used again waits for this file, and dies as it would of a wrong address.
    timer = threading.Timer(0.2, os.kill, (worker._process.pid, signal.SIGSEGV))
    timer.start()
    with pytest.raises(UnsupportedError, match="crash"):
        pixels.do("transcode", tmp_path / "crash", RLE)
    timer.join()
    assert dataset_of(pixels.do("transcode", MR, RLE)).file_meta.TransferSyntaxUID == RLE


KILLED_IN_THE_ENCODER = """
import os, pathlib, signal, gdcm

def read(reader):
    folder = pathlib.Path(os.environ["TMPDIR"])
    found = "".join(f"{path}\\n" for path in folder.rglob("plain"))
    pathlib.Path(os.environ["SEEN"]).write_text(found)
    os.kill(os.getpid(), signal.SIGKILL)

gdcm.ImageReader.Read = read
"""


@pytest.mark.parametrize("data", [None, Path("kept")], ids=["in memory", "in a directory of a relative path"])
def test_an_encoder_that_is_killed_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path | None
) -> None:
    system = tmp_path / "system"
    system.mkdir()
    (tmp_path / "sitecustomize.py").write_text(KILLED_IN_THE_ENCODER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("TMPDIR", str(system))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    with LocalEmulator(data) as local:
        temporary = local.emulator.state.temporary
        before = set(temporary.rglob("*"))
        with pytest.raises(UnsupportedError, match="crash"):
            local.emulator.service(pool.PixelPool).do("transcode", MR, JPEG_LOSSLESS)
        (used,) = (tmp_path / "seen").read_text().splitlines()
        assert Path(used).is_relative_to(tmp_path / "kept" / "temporary" if data else system)
        assert Path(used).is_relative_to(temporary)
        assert set(temporary.rglob("*")) == before
    assert list(system.iterdir()) == []


def enormous() -> bytes:
    """A JPEG 2000 image that says of itself that it is 60,000 pixels wide and high, in an instance that does not."""
    data = bytearray(Path(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False))).read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8  # behind SOC, the SIZ marker, its length and its capabilities
    for place in (0, 4, 16, 20):  # the image's and the tile's size (ISO 15444-1 A.5.1)
        struct.pack_into(">I", data, at + place, 60_000)
    return bytes(data)


def test_an_image_that_claims_to_be_enormous_takes_bounded_memory(emulator: LocalEmulator) -> None:
    pixels = fresh_pool(emulator)
    assert pixels.do("frames", MR, [1], JPEG_2000)
    (worker,) = pixels._workers._idle
    with pytest.raises(UnsupportedError):
        pixels.do("transcode", enormous(), EXPLICIT)
    with pytest.raises(UnsupportedError):
        pixels.do("render", enormous(), [1], "image/png", None)
    for line in Path(f"/proc/{worker._process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            assert int(line.split()[1]) < 1024 * 1024  # KiB
    assert pixels.do("frames", MR, [1], JPEG_2000)
